"""Times as logs write them, to Unix nanoseconds."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any, Final

_ISO: Final = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)(?:[T _](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|z|UTC|[+-]\d\d:?(?:\d\d)?)?)?"
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_CLF: Final = re.compile(r"(\d{1,2})/([A-Za-z]{3})/(\d{4}):? ?(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ([+-]\d{4}))?")
_CTIME: Final = re.compile(
    r"(?:[A-Za-z]{3},? )?([A-Za-z]{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: (\d{4}))?"
)

_NS_PER_S: Final = 1_000_000_000
_EPOCH_UNITS: Final = ((10**11, _NS_PER_S), (10**14, 1_000_000), (10**17, 1000), (10**20, 1))
"""Epoch numbers by size: below the bound, nanoseconds per unit: seconds, milliseconds, microseconds, nanoseconds."""

_FUTURE: Final = timedelta(days=1)


def parse_timestamp(text: str, reference: datetime | None = None) -> int | None:
    """Parse ISO 8601 and its relatives, Apache's and syslog's forms to Unix nanoseconds; None if it is none of them.

    A time without an offset is local time, as `logging` writes it. A time without a year (syslog) is the last such
    day that is not after `reference` (default: now).
    """
    text = text.strip()
    try:
        if match := _ISO.fullmatch(text):
            year, month, day, hour, minute, second, fraction, zone = match.groups()
            return _nanoseconds((int(year), int(month), int(day)), (hour, minute, second), fraction, zone)
        if match := _CLF.fullmatch(text):
            day, name, year, hour, minute, second, fraction, zone = match.groups()
            return _nanoseconds((int(year), _MONTHS[name.lower()], int(day)), (hour, minute, second), fraction, zone)
        if match := _CTIME.fullmatch(text):
            return _ctime(match, reference)
    except (ValueError, KeyError, OverflowError, OSError):
        return None
    return None


def parse_epoch(value: Any) -> int | None:
    """Read an epoch number as JSON logs have it, its unit told by its size; None if it is no number or before 1973."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 10**8 <= value < 10**20:
        return None
    scale = next(scale for bound, scale in _EPOCH_UNITS if value < bound)
    return value * scale if isinstance(value, int) else round(value * 1e6) * scale // 1_000_000


def parse_any(value: Any) -> int | None:
    """Read a timestamp of a JSON log: a text in one of the forms above, a number, or a number in a text."""
    if not isinstance(value, str):
        return parse_epoch(value)
    parsed = parse_timestamp(value)
    if parsed is not None:
        return parsed
    try:
        return parse_epoch(int(value) if value.isdigit() else float(value))
    except ValueError:
        return None


def format_timestamp(time_ns: int, *, utc: bool = True) -> str:
    """Write a time as ISO 8601 with microseconds, in UTC or local time; 0 and what is beyond 9999 is empty."""
    try:
        moment = datetime.fromtimestamp(time_ns // _NS_PER_S, tz=timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    if time_ns == 0:
        return ""
    moment = moment.replace(microsecond=time_ns % _NS_PER_S // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if utc else moment.astimezone().isoformat(timespec="microseconds")


def format_local(time_ns: int, *, digits: int = 0) -> str:
    """Write a time as a person reads it, in local time, to the second or with so many digits more; 0 is empty."""
    return format_timestamp(time_ns, utc=False)[: 20 + digits if digits else 19].replace("T", " ")


def _ctime(match: re.Match[str], reference: datetime | None) -> int:
    """Read `[Sun] Dec 04 04:47:44[.123] [2005]`."""
    name, day, hour, minute, second, fraction, year = match.groups()
    month, clock = _MONTHS[name.lower()], (hour, minute, second)
    if year:
        return _nanoseconds((int(year), month, int(day)), clock, fraction, None)
    latest = (reference or datetime.now(timezone.utc)).astimezone() + _FUTURE
    guess = _nanoseconds((latest.year, month, int(day)), clock, fraction, None) if month <= latest.month else None
    if guess is not None and guess <= latest.timestamp() * _NS_PER_S:
        return guess
    return _nanoseconds((latest.year - 1, month, int(day)), clock, fraction, None)


def _nanoseconds(
    day: tuple[int, int, int], clock: tuple[str | None, str | None, str | None], fraction: str | None, zone: str | None
) -> int:
    """Put the parts together; local time where there is no zone."""
    hour, minute, second = (int(part or 0) for part in clock)
    moment = datetime(*day, hour, minute, min(second, 59), tzinfo=_zone(zone))
    leap = 1 if second == 60 else 0  # noqa: PLR2004 - a leap second
    return (int(moment.timestamp()) + leap) * _NS_PER_S + int((fraction or "0").ljust(9, "0"))


def _zone(zone: str | None) -> timezone | None:
    """Read `Z`, `UTC`, `+01:00`, `+0100` or `+01`."""
    if not zone:
        return None
    if zone.upper() in {"Z", "UTC"}:
        return timezone.utc
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if zone[0] == "-" else offset)
