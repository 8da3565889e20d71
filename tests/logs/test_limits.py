"""A log record keeps to OpenTelemetry's limits of attributes."""

from __future__ import annotations

from typing import Any

import pytest

from clew.entry import LogEntry
from clew.logs.limits import bound
from clew.otel_variables import AttributeLimits, log_attribute_limits


def _entry(attributes: dict[str, Any] | None) -> LogEntry:
    return LogEntry(1, 9, "INFO", "app", "said", None, 0, 0, 0, None, attributes, None, None, None, None)


@pytest.mark.parametrize(
    ("limits", "attributes", "dropped"),
    [
        (AttributeLimits(None, None), {"a": "text", "b": 2, "c": ["text"]}, 0),
        (AttributeLimits(2, None), {"a": "text", "b": 2}, 1),
        (AttributeLimits(0, None), None, 3),
        (AttributeLimits(None, 2), {"a": "te", "b": 2, "c": ["te"]}, 0),
        (AttributeLimits(3, 4), {"a": "text", "b": 2, "c": ["text"]}, 0),
    ],
)
def test_attributes_are_bounded(limits: AttributeLimits, attributes: dict[str, Any] | None, dropped: int) -> None:
    """The first attributes stay, strings are cut at any depth, and what is left out is counted."""
    bounded = bound(_entry({"a": "text", "b": 2, "c": ["text"]}), limits)

    assert (attributes, dropped) == (bounded.attributes, bounded.dropped_attributes)


def test_entry_without_attributes_is_itself() -> None:
    """There is nothing to bound, and nothing is made anew."""
    entry = _entry(None)

    assert bound(entry, AttributeLimits(0, 0)) is entry


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, AttributeLimits(128, None)),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "5"}, AttributeLimits(5, None)),
        (
            {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "7"},
            AttributeLimits(128, 7),
        ),
        ({"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "many"}, AttributeLimits(128, None)),
    ],
)
def test_limits_are_opentelemetrys(environ: dict[str, str], expected: AttributeLimits) -> None:
    """The log record's own variable goes before the general one; a bad value leaves the default."""
    assert expected == log_attribute_limits(environ)
