"""Notice that a signal has arrived, even while the main thread cannot run its Python handler.

A Python handler runs when the main thread comes back to the interpreter. A thread that is about to block when the
signal arrives, as a worker of a multiprocessing pool that its parent terminates, may never come back, and one inside
native code may take long; without a handler both would die at once. `faulthandler` writes to a pipe from within the
signal itself, and a thread of ours that reads the pipe sees to it that the handler runs, or that it is not needed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import functools
import os
import resource
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from clew import signal_mask

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S: Final = 0.1
_POKES: Final = 10
_FIRST_DESCRIPTOR: Final = 900
"""Descriptors are taken from here up, so that a program that closes all it finds does not get their numbers again."""


class SignalWatch:
    """Watches one signal in this process and in each forked child."""

    def __init__(
        self, signum: int, *, is_ours: Callable[[], bool], is_handled: Callable[[], bool], act: Callable[[], object]
    ) -> None:
        """Make a watch; `start` begins it.

        Args:
            signum: The signal.
            is_ours: Whether the handler that is set is the one that is watched over.
            is_handled: Whether that handler has begun.
            act: Called on the watching thread where the handler cannot be brought to run.
        """
        self._signum, self._is_ours, self._is_handled, self._act = signum, is_ours, is_handled, act
        self._reading: int | None = None
        self._writing: int | None = None

    def start(self) -> None:
        """Begin to watch, here and from now on in forked children."""
        self._begin()
        os.register_at_fork(before=self._pause, after_in_parent=self._resume, after_in_child=self._renew)

    def _begin(self) -> None:
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._reading, self._writing = _make_pipe()
            signal_mask.start_thread(functools.partial(self._watch, self._reading, os.getpid()))
            self._resume()

    def _pause(self) -> None:
        """Leave the signal to Python alone: a child that has no pipe of its own yet would write to the parent's."""
        if self._writing is not None and self._is_ours():
            faulthandler.unregister(self._signum)

    def _resume(self) -> None:
        if self._writing is not None and self._is_ours():
            faulthandler.register(self._signum, file=self._writing, all_threads=False, chain=True)

    def _renew(self) -> None:
        """Watch on a pipe and a thread of its own in a forked child."""
        inherited = [end for end in (self._reading, self._writing) if end is not None]
        self._reading = self._writing = None
        for end in inherited:
            with contextlib.suppress(OSError):
                os.close(end)
        if self._is_ours():
            self._begin()

    def _watch(self, reading: int, pid: int) -> None:
        """Wait for the signal, then see to it that the handler begins."""
        with contextlib.suppress(OSError):
            while os.read(reading, 65536):
                time.sleep(_PATIENCE_S)
                for _ in range(_POKES):
                    if self._is_handled() or pid != os.getpid():
                        break
                    # Whatever the main thread blocks in is interrupted, and the handler runs on the way out.
                    signal.pthread_kill(threading.main_thread().ident or 0, self._signum)
                    time.sleep(_PATIENCE_S)
                else:
                    self._act()


def _make_pipe() -> tuple[int, int]:
    """Return the ends of a pipe, with high numbers, the writing one never blocking."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = max(3, min(_FIRST_DESCRIPTOR, limit - 16))
    low = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    try:
        reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, first) for end in low)
    finally:
        for end in low:
            os.close(end)
    os.set_blocking(writing, False)
    return reading, writing
