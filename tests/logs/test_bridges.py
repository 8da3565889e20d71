"""An event of structlog or loguru is one record with its key-values, and the console does not change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LAST = ("event of logging", "WARNING", {}, None)
NESTED = {"bound": "b", "user": 7, "nested": {"a": [1, None]}}
TWO = ("event one", "INFO", NESTED, None)

EXPECTED: dict[str, list[tuple[str, str, dict[str, Any] | None, str | None]]] = {
    "structlog_native": [
        ("event one", "INFO", {**NESTED, "ctx": "c"}, None),
        ("event two", "ERROR", {"bound": "b", "ctx": "c", "password": "x"}, "ValueError"),
    ],
    "structlog_unconfigured": [
        ("event one", "INFO", {"user": 7}, None),
        ("event two", "INFO", {"bound": "b"}, None),
    ],
    "structlog_dropped": [("event one", "INFO", {"user": 7}, None)],
    "structlog_stdlib": [TWO, ("event two", "ERROR", {"bound": "b", "password": "x"}, "ValueError")],
    "structlog_kwargs": [TWO, ("event two", "ERROR", {"bound": "b", "password": "x"}, "ValueError")],
    "structlog_formatter": [
        TWO,
        ("event two", "ERROR", {"bound": "b", "password": "x"}, "ValueError"),
        ("foreign", "WARNING", {"x": 1}, None),
    ],
    "loguru_native": [TWO, ("event two", "ERROR", {"bound": "b"}, "ValueError")],
    "loguru_without_sinks": [],
    "loguru_intercept": [
        ("event one", "INFO", {"user": 7, "bound": "b"}, None),
        ("event two", "WARNING", {"user": 8}, None),
    ],
    "loguru_propagate": [TWO, ("event two", "ERROR", {"bound": "b"}, "ValueError")],
    "loguru_propagate_enqueued": [TWO, ("event two", "ERROR", {"bound": "b"}, "ValueError")],
    "loguru_propagate_by_function": [TWO, ("event two", "ERROR", {"bound": "b"}, "ValueError")],
}


def _steady(shown: Any) -> list[str]:
    return [re.sub(r"0x[0-9a-f]+|\d\d\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?", "*", str(part)) for part in shown]


@pytest.mark.parametrize("way", EXPECTED)
def test_each_event_is_one_record(run_program: Callable[..., Any], way: str) -> None:
    """One record for each event, its text as body and its key-values as attributes; stdout and stderr are plain."""
    plain = run_program("libraries.py", way, clew=False)
    clewed = run_program("libraries.py", way, clew=True)
    found = [
        (record["body"], record["severity_text"], record["attributes"], (record["exception"] or [None])[0])
        for record in clewed.records
    ]

    assert _steady(plain.shown) == _steady(clewed.shown)
    assert [*EXPECTED[way], LAST] == found
    assert all(record["code"][0].endswith("libraries.py") for record in clewed.records)


def test_failing_processor_fails_as_ever(run_program: Callable[..., Any]) -> None:
    """A traceback out of structlog's processors shows no frame of ours."""
    plain = run_program("libraries.py", "structlog_fails", clew=False)
    clewed = run_program("libraries.py", "structlog_fails", clew=True)

    assert plain.shown == clewed.shown
