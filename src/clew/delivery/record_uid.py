"""Unique IDs of log records (`log.record.uid`): ULIDs, so that a repeat after a replay can be told.

https://github.com/ulid/spec: 10 characters of milliseconds, 16 of randomness; here the randomness is 10 characters of
the process and 6 of a counter, which costs a fraction of asking the system for each.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from typing import Final

from clew.entry import LogEntry

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


def _crockford(number: int, pairs: int) -> str:
    """Write the lowest `10 * pairs` bits of `number`."""
    return "".join([_PAIRS[number >> 10 * place & 1023] for place in reversed(range(pairs))])


class _Source:
    """What makes the IDs of one process."""

    def __init__(self) -> None:
        self.process = _crockford(secrets.randbits(50), 5)
        self.next = itertools.count(secrets.randbits(29)).__next__
        self.head = (0, "")


_source = _Source()


def new_uid() -> str:
    """Return a ULID that no record of any process has; safe from any thread."""
    source = _source
    now_ms = time.time_ns() // 1_000_000
    made_ms, head = source.head
    if now_ms != made_ms:
        head = _crockford(now_ms, 5) + source.process
        source.head = (now_ms, head)
    number = source.next()
    return head + _PAIRS[number >> 20 & 1023] + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]


def with_uid(entry: LogEntry) -> LogEntry:
    """Return `entry` with an ID; itself if it has one."""
    if entry.uid is not None:
        return entry
    # A third of what `_replace` takes.
    return tuple.__new__(LogEntry, (*entry[:_UID], new_uid(), *entry[_UID + 1 :]))


_UID: Final = LogEntry._fields.index("uid")


def _renew() -> None:
    """Tell a forked child's records from its parent's."""
    global _source  # noqa: PLW0603 - replaced whole, so a reader has one or the other
    _source = _Source()


os.register_at_fork(after_in_child=_renew)
