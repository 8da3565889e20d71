"""The delivery thread works when it is due or woken, flushes in time, and is not among the program's threads."""

from __future__ import annotations

import math
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from opentelemetry import context

from clew.delivery.thread import WorkerThread

if TYPE_CHECKING:
    import pytest


class Work:
    """Rounds of work that a test can look at and hold up."""

    def __init__(self, wait_s: float = 60.0) -> None:
        """Make work whose next round is `wait_s` away."""
        self.rounds: list[tuple[float, bool]] = []
        self.wait_s = wait_s
        self.let_go = threading.Event()
        self.let_go.set()
        self.suppressed: object = None

    def __call__(self, *, deadline: float = math.inf, drain: bool = False) -> float:
        """Note the round."""
        self.suppressed = context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY)
        self.rounds.append((deadline, drain))
        self.let_go.wait()
        return self.wait_s


def eventually(condition: object, timeout_s: float = 5.0) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_rounds() -> None:
    """It works soon after its start, then when the last round said, in a context that suppresses instrumentation."""
    work = Work(0.01)
    thread = WorkerThread(work, nullcontext)
    assert thread.start()
    eventually(lambda: len(work.rounds) >= 3)

    assert {(math.inf, False)} == set(work.rounds)
    assert work.suppressed
    assert None is context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY)
    thread.end()


def test_rouse() -> None:
    """Waking begins the next round at once, however often it is done."""
    work = Work()
    thread = WorkerThread(work, nullcontext)
    thread.start()
    for _ in range(5):
        thread.rouse()
    eventually(lambda: work.rounds)
    rounds = len(work.rounds)
    thread.rouse()
    eventually(lambda: len(work.rounds) > rounds)
    thread.end()


def test_flush() -> None:
    """A flush drains with the deadline less what is kept back, and returns when that is done."""
    work = Work()
    thread = WorkerThread(work, nullcontext)
    deadline = time.monotonic() + 5

    assert thread.flush(deadline, lambda: 1.0)
    ((given, drain),) = work.rounds
    assert drain
    assert deadline - 1.1 <= given < deadline - 1
    thread.end()


def test_flush_in_vain() -> None:
    """A flush that is held up gives up in time for what is kept back."""
    work = Work()
    work.let_go.clear()
    thread = WorkerThread(work, nullcontext)
    begun = time.monotonic()

    assert not thread.flush(begun + 10, lambda: 9.7)
    assert 0.3 <= time.monotonic() - begun < 5
    eventually(lambda: work.rounds)
    assert not thread.end()
    work.let_go.set()


def test_flushes_of_many_threads() -> None:
    """Every one of many flushes at once is answered."""
    work = Work(0.001)
    thread = WorkerThread(work, nullcontext)
    answers: list[bool] = []
    flushers = [
        threading.Thread(target=lambda: answers.extend(thread.flush(time.monotonic() + 10, float) for _ in range(50)))
        for _ in range(8)
    ]
    for flusher in flushers:
        flusher.start()
    for flusher in flushers:
        flusher.join()

    assert [True] * 400 == answers
    thread.end()


def test_end() -> None:
    """After its end it works no more."""
    work = Work(60.0)
    thread = WorkerThread(work, nullcontext)
    thread.start()
    thread.rouse()
    eventually(lambda: work.rounds)

    assert thread.end()
    rounds = len(work.rounds)
    thread.rouse()
    time.sleep(0.05)
    assert rounds == len(work.rounds)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, as when the interpreter ends, a flush works on the caller's."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("clew.signal_mask.start_thread", refuse)
    work = Work()
    thread = WorkerThread(work, nullcontext)

    assert not thread.start()
    assert thread.flush(100.0, lambda: 1.0)
    assert [(99.0, True)] == work.rounds


def test_not_listed() -> None:
    """The program does not find the thread among its own."""
    before = threading.enumerate()
    work = Work(0.01)
    thread = WorkerThread(work, nullcontext)
    thread.start()
    eventually(lambda: work.rounds)

    assert set(threading.enumerate()) <= set(before)
    thread.end()
