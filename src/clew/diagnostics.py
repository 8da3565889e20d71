"""Clew's own trouble: one line on stderr, rate limited, never through the pipeline that may be the trouble.

The runtime half calls `report` instead of raising or logging. Nothing here takes part in logging, and nothing here
raises.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Final

REPEAT_AFTER_S: Final = 60.0
"""How long one topic stays silent after it was told: trouble that lasts is one line a minute, with a count."""

_lock = threading.Lock()
_told_at: dict[str, float] = {}
_held_back: dict[str, int] = {}


def report(topic: str, message: str) -> None:
    """Tell a person about trouble of ours, at most once a minute for each topic.

    The line is `clew: <message>`; when the topic comes again after its silence, the line says how many were held back.
    Safe from any thread and at interpreter shutdown; never raises.

    Args:
        topic: What is rate limited as one thing, such as `export-failed`. Not printed.
        message: What failed, the value, where, and the cure. One line, no secrets.
    """
    try:
        line = _line(topic, message)
        if line is not None:
            sys.stderr.write(line)
            sys.stderr.flush()
    except Exception:  # noqa: BLE001, S110 - stderr may be closed or None; there is nowhere left to tell it
        pass


def _line(topic: str, message: str) -> str | None:
    """Return the line to print for `message`, or None while its topic is silent."""
    now = time.monotonic()
    with _lock:
        told_at = _told_at.get(topic)
        if told_at is not None and now - told_at < REPEAT_AFTER_S:
            _held_back[topic] = _held_back.get(topic, 0) + 1
            return None
        _told_at[topic] = now
        held_back = _held_back.pop(topic, 0)
    again = f" ({held_back} more since)" if held_back else ""
    return f"clew: {' '.join(message.splitlines())}{again}\n"


def forget() -> None:
    """Start afresh, as a forked child does: a new lock, nothing told yet."""
    global _lock  # noqa: PLW0603 - the parent's lock may be held by a thread that the child does not have
    _lock = threading.Lock()
    _told_at.clear()
    _held_back.clear()
