"""The thread that delivery works on, and how others wake it, wait for it and stop it.

Threads and locks are the interpreter's own, taken when this module is imported: a program that later lets gevent
replace them has its own waits made cooperative, not ours, which would stop all its greenlets. Nor is the thread among
those that the program lists or counts.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import time
from _thread import allocate_lock
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import context as otel_context

from clew import signal_mask

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

FIRST_WAIT_S: Final = 0.2
"""How soon after its start the thread first works: soon enough for a short program, late enough to find a batch."""

_LOOK_S: Final = 0.05
_SUPPRESS_KEY: Final = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")


_REST_S: Final = 50e-6
"""How long a rest is at least: whoever waits for the interpreter gets it at once."""

_never: Final = allocate_lock()
_never.acquire()


def rest() -> None:
    """Let other threads run."""
    _never.acquire(timeout=_REST_S)


class Step(Protocol):
    """One round of work."""

    def __call__(self, *, deadline: float = math.inf, drain: bool = False) -> float:
        """Work, with `drain` until nothing is left; return the seconds until the next round."""


class WorkerThread:
    """Calls `step` again and again on one thread, and on the caller's where no thread can be started any more.

    Waking takes no lock, so that it is safe in a signal handler.
    """

    def __init__(self, step: Step, suppress: Callable[[], AbstractContextManager[object]]) -> None:
        self._step, self._suppress = step, suppress
        self._starting = allocate_lock()
        self._wake = allocate_lock()
        self._wake.acquire()
        self._turn = allocate_lock()
        self._flushes: deque[tuple[float, Callable[[], object]]] = deque()
        self._ended = False
        self.is_running = False
        self.cpu_time_s = 0.0

    def start(self) -> bool:
        """Start if it does not run; return whether it runs then: it cannot be started when the interpreter ends."""
        if self.is_running:
            return True
        if not self._starting.acquire(blocking=False):
            return False
        try:
            if not self.is_running:
                signal_mask.start_thread(functools.partial(contextvars.Context().run, self._run))
                self.is_running = True
        except RuntimeError:
            return False
        finally:
            self._starting.release()
        return True

    def rouse(self) -> None:
        """Begin the next round now."""
        with contextlib.suppress(RuntimeError):
            self._wake.release()

    def flush(self, deadline: float, reserve_s: Callable[[], float]) -> bool:
        """Have everything delivered or stored; return whether that was done in time.

        Args:
            deadline: Time (monotonic) until which to wait.
            reserve_s: How long before the deadline to give up, asked again and again while waiting.
        """
        if not self.start():
            with self._turn:
                self._suppressed(lambda: self._step(deadline=deadline - reserve_s(), drain=True))
            return True
        done = allocate_lock()
        done.acquire()
        # Its own waits end a little before ours, so that it is there to store what it could not send.
        self._flushes.append((deadline - reserve_s() - _LOOK_S, done.release))
        self.rouse()
        while True:
            left_s = deadline - time.monotonic() - reserve_s()
            if done.acquire(timeout=max(0.0, min(left_s, _LOOK_S))):
                return True
            if left_s <= 0:
                return False

    def end(self) -> bool:
        """Let it do nothing more; return False if it is in the middle of a round, which is not waited for."""
        self._ended = True
        return self._turn.acquire(timeout=_LOOK_S)

    def _run(self) -> None:
        self.is_running = True  # a signal's handler may have raised right after the start
        self._suppressed(self._work)

    def _suppressed(self, call: Callable[[], object]) -> None:
        """Call in a context in which nothing is instrumented or captured."""
        token = otel_context.attach(otel_context.set_value(_SUPPRESS_KEY, value=True))
        try:
            with self._suppress():
                call()
        finally:
            otel_context.detach(token)

    def _work(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._ended:
            self._wake.acquire(timeout=wait_s)
            flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
            with self._turn:
                if self._ended:
                    return
                deadline = min((deadline for deadline, _ in flushes), default=math.inf)
                wait_s = self._step(deadline=deadline, drain=bool(flushes))
            self.cpu_time_s = time.thread_time()
            for _, release in flushes:
                release()
