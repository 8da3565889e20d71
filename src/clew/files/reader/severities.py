"""Level names and numbers of the logging world to OpenTelemetry's SeverityNumber."""

from __future__ import annotations

import re
from typing import Any, Final

_NUMBERS: Final = {
    **dict.fromkeys(("TRACE", "NOTSET", "FINEST", "FINER"), 1),
    **dict.fromkeys(("DEBUG", "DBG", "D", "FINE", "VERBOSE"), 5),
    **dict.fromkeys(("INFO", "INF", "I", "INFORMATION", "INFORMATIONAL", "CONFIG"), 9),
    **dict.fromkeys(("NOTICE", "SUCCESS"), 10),
    **dict.fromkeys(("WARN", "WARNING", "WRN", "W"), 13),
    **dict.fromkeys(("ERROR", "ERR", "E", "SEVERE", "EXCEPTION"), 17),
    **dict.fromkeys(("CRITICAL", "CRIT", "FATAL", "C", "F"), 21),
    **dict.fromkeys(("ALERT",), 22),
    **dict.fromkeys(("EMERG", "EMERGENCY", "PANIC"), 24),
}

LEVEL_PATTERN: Final = (
    r"(?:(?i:TRACE\d?|DEBUG|INFO|NOTICE|SUCCESS|WARN(?:ING)?|ERR(?:OR)?|CRIT(?:ICAL)?|FATAL|ALERT|EMERG(?:ENCY)?|PANIC|SEVERE)"
    r"|NOTSET|Level \d+)"
)
"""What a level looks like in a text log."""

_PYTHON: Final = ((50, 21), (40, 17), (30, 13), (20, 9), (10, 5), (1, 1))
_NODE: Final = ((60, 21), (50, 17), (40, 13), (30, 9), (20, 5), (1, 1))


def severity_of(level: Any, *, node: bool = False) -> int:
    """Return the SeverityNumber of a level's name or number, 0 where it is neither.

    Numbers are those of Python's logging; with `node` those of bunyan and pino, in which 30 is INFO.
    """
    if isinstance(level, (int, float)) and not isinstance(level, bool):
        return next((severity for least, severity in (_NODE if node else _PYTHON) if level >= least), 0)
    if not isinstance(level, str):
        return 0
    name = level.strip().upper()
    number = _NUMBERS.get(name) or _NUMBERS.get(name.rstrip("0123456789"), 0)
    if number:
        return number
    digits = re.fullmatch(r"(?:LEVEL )?(\d+)", name)
    return severity_of(int(digits[1]), node=node) if digits else 0
