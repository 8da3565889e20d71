"""Points in time in human words: `10 minutes ago`, `yesterday 14:00`, `2h`, ISO 8601, an epoch number."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from clew.errors import SettingsError
from clew.files.reader import timestamps

_UNITS_S: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 604800),
}
_NUMBERS: Final = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_AGO: Final = re.compile(r"(?:last )?(?:(\d+(?:\.\d+)?) ?|([a-z]+) )?([a-z]+)(?: ago)?")
_DAY: Final = re.compile(
    r"(today|yesterday|(?:last )?[a-z]+day)?(?: ?(?:at )?(\d{1,2})(?::(\d\d)(?::(\d\d))?)?(am|pm)?)?"
)
_NOON: Final = 12
_DAY_HOURS: Final = 24


def parse_when(text: str, now: datetime) -> int:
    """Return Unix nanoseconds of a point in time that a person wrote, in the zone of `now`.

    Known: `now`; `10 minutes ago`, `10m`, `2 hours`, `an hour ago`, `last week`; `today`, `yesterday`, `monday`, each
    with a clock time or at midnight; `14:00`, `2pm` (the last time it was that); ISO 8601; an epoch number.

    Raises:
        SettingsError: If it is none of them.
    """
    words = " ".join(text.lower().replace(",", " ").split())
    if words == "now":
        return _nanoseconds(now)
    exact = timestamps.parse_any(text.strip())
    if exact is not None:
        return exact
    moment = _ago(words, now) or _day(words, now)
    if moment is None:
        raise SettingsError(
            f"{text!r} is no time that Clew knows; write '10 minutes ago', 'yesterday 14:00' or '2026-01-31T14:00'"
        )
    return _nanoseconds(moment)


def _ago(words: str, now: datetime) -> datetime | None:
    """Read an amount of time before now."""
    match = _AGO.fullmatch(words)
    if match is None or match[3] not in _UNITS_S:
        return None
    count = _NUMBERS.get(match[2]) if match[2] else float(match[1] or 1)
    if count is None:
        return None
    try:
        return now - timedelta(seconds=count * _UNITS_S[match[3]])
    except OverflowError:
        return None


def _day(words: str, now: datetime) -> datetime | None:
    """Read a day, a clock time, or both."""
    match = _DAY.fullmatch(words)
    if match is None or not words:
        return None
    day, hour, minute, second, half = match.groups()
    if day is None and minute is None and half is None:
        return None
    back = _days_back(day, now)
    clock = _clock(hour, minute, second, half)
    if back is None or clock is None:
        return None
    moment = (now - timedelta(days=back)).replace(hour=clock[0], minute=clock[1], second=clock[2], microsecond=0)
    return moment - timedelta(days=1) if day is None and moment > now else moment


def _days_back(day: str | None, now: datetime) -> int | None:
    """Return how many days ago a named day was; a weekday is the last one before today."""
    if day in {None, "today"}:
        return 0
    if day == "yesterday":
        return 1
    name = (day or "").removeprefix("last ")
    return (now.weekday() - _WEEKDAYS.index(name) - 1) % 7 + 1 if name in _WEEKDAYS else None


def _clock(hour: str | None, minute: str | None, second: str | None, half: str | None) -> tuple[int, int, int] | None:
    """Return hour, minute, second of a clock time; midnight where there is none."""
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    if half is not None:
        if not 1 <= hours <= _NOON:
            return None
        hours = hours % _NOON + (_NOON if half == "pm" else 0)
    return (hours, minutes, seconds) if hours < _DAY_HOURS and minutes < 60 and seconds < 60 else None  # noqa: PLR2004 - clock


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
