"""Repeats of one message folded into one record with an exact count."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from clew import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.entry import LogEntry

_KEYS_MAX: Final = 4096
"""Messages watched at one time; with more, all that is folded is emitted and the windows begin anew."""


class _Window:
    """One message in its window: when it ends, the last repeat, how many."""

    __slots__ = ("ends_at", "last", "repeats")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.last: LogEntry | None = None
        self.repeats = 0


class Folding:
    """Passes the first record of a message and folds those that follow in its window into one, the last.

    The sum of `clew.log.repeated`, counting 1 where there is none, is the number of records that came in. Records are
    of one message when logger, level, text and exception are the same; their other attributes and IDs may differ, and
    only those of the last are kept. Safe from any thread; what is folded is emitted when the window ends, at `flush`.
    """

    def __init__(
        self, sink: Callable[[LogEntry], None], window_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sink = sink
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.RLock()
        self._windows: dict[Any, _Window] = {}
        self._timer: threading.Timer | None = None
        os.register_at_fork(after_in_child=self._forget)

    def put(self, entry: LogEntry) -> None:
        """Pass `entry` on, or count it."""
        key = (entry.scope, entry.severity_number, entry.body, entry.exception and entry.exception[:2])
        now = self._clock()
        with self._lock:
            ended = self._take_ended(now)
            window = self._windows.get(key)
            if window is None:
                self._windows[key] = _Window(now + self._window_s)
            else:
                window.last, window.repeats = entry, window.repeats + 1
                self._ensure_timer()
        self._emit(ended)
        if window is None:
            self._sink(entry)

    def flush(self) -> None:
        """Emit every count now; the windows begin anew."""
        with self._lock:
            ended = self._take_ended(float("inf"))
        self._emit(ended)

    def _take_ended(self, now: float) -> list[_Window]:
        """Take out the windows that have ended; they are in order of their ends, since all are of one length."""
        if len(self._windows) >= _KEYS_MAX:
            now = float("inf")
        ended = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.ends_at > now:
                break
            ended.append(window)
            del self._windows[key]
        return ended

    def _emit(self, ended: list[_Window]) -> None:
        for window in ended:
            if window.last is not None:
                attributes = {**(window.last.attributes or {}), schema.LOG_REPEATED: window.repeats}
                self._sink(window.last._replace(attributes=attributes))

    def _ensure_timer(self) -> None:
        """See to it that a program which falls silent still emits its counts."""
        if self._timer is None:
            self._timer = threading.Timer(self._window_s, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            self._timer = None
            ended = self._take_ended(self._clock())
            if any(window.last is not None for window in self._windows.values()):
                self._ensure_timer()
        self._emit(ended)

    def _forget(self) -> None:
        """Start afresh, as a forked child does: what the parent has folded is the parent's to tell."""
        self._lock = threading.RLock()
        self._windows = {}
        self._timer = None
