"""Points in time as people write them."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.desk.when import parse_when
from clew.errors import SettingsError
from clew.files.reader.timestamps import format_timestamp, parse_any, parse_timestamp

NOW = datetime(2026, 1, 28, 14, 30, 15, tzinfo=timezone(timedelta(hours=2)))  # a Wednesday


def _at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=NOW.tzinfo).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", _at(2026, 1, 28, 14, 30, 15)),
        ("10 minutes ago", _at(2026, 1, 28, 14, 20, 15)),
        ("10m", _at(2026, 1, 28, 14, 20, 15)),
        ("1.5 hours", _at(2026, 1, 28, 13, 0, 15)),
        ("an hour ago", _at(2026, 1, 28, 13, 30, 15)),
        ("last week", _at(2026, 1, 21, 14, 30, 15)),
        ("today", _at(2026, 1, 28)),
        ("Yesterday, 14:00", _at(2026, 1, 27, 14)),
        ("yesterday at 2pm", _at(2026, 1, 27, 14)),
        ("monday", _at(2026, 1, 26)),
        ("last wednesday 08:15", _at(2026, 1, 21, 8, 15)),
        ("14:00", _at(2026, 1, 28, 14)),
        ("15:00", _at(2026, 1, 27, 15)),
        ("12am", _at(2026, 1, 28)),
        ("2026-01-20T08:00:00+02:00", _at(2026, 1, 20, 8)),
        ("1769608215", 1769608215 * 10**9),
    ],
)
def test_words(text: str, expected: int) -> None:
    """Each way to say it is one point in time."""
    assert expected == parse_when(text, NOW)


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "13pm", "10 parsecs ago", "2026-13-01", "someday", "99999999999999 weeks"]
)
def test_no_time(text: str) -> None:
    """What is no time is refused with examples of what is."""
    with pytest.raises(SettingsError, match="write '10 minutes ago'"):
        parse_when(text, NOW)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 12))  # noqa: DTZ001 - hypothesis wants it
def test_iso_times(moment: datetime, hours: int) -> None:
    """An ISO time with an offset is read to the microsecond, and written in UTC it is read the same."""
    moment = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    expected = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1) * 1000

    assert expected == parse_timestamp(moment.isoformat())
    assert expected == parse_timestamp(format_timestamp(expected))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1769608215, 1769608215 * 10**9),
        (1769608215.5, 1769608215500000000),
        (1769608215123, 1769608215123 * 10**6),
        ("1769608215123456", 1769608215123456 * 10**3),
        ("1769608215123456789", 1769608215123456789),
        ("28/Jan/2026:13:50:15 +0000", 1769608215 * 10**9),
        ("Wed Jan 28 2026", None),
        (True, None),
        (None, None),
        ({}, None),
        (float("nan"), None),
        (12, None),
    ],
)
def test_times_of_json_logs(value: object, expected: int | None) -> None:
    """Epoch numbers tell their unit by their size; what is no time is None."""
    assert expected == parse_any(value)


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """No text raises anything else than the one error."""
    parse_timestamp(text)
    with contextlib.suppress(SettingsError):
        parse_when(text, NOW)
