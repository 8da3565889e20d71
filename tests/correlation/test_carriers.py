"""The current IDs go along to threads and executors, and no frame of ours shows there."""

from __future__ import annotations

import asyncio
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import get_current

from clew.correlation import carriers
from clew.correlation.context import bind, correlation_id, current_ids
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Bench


@pytest.fixture(autouse=True)
def _carriers() -> Iterator[None]:
    carriers.install(Settings())
    yield
    carriers.uninstall()


def _in_thread(make: Callable[[Callable[[], None]], threading.Thread]) -> str | None:
    found: list[str | None] = []
    thread = make(lambda: found.append(correlation_id()))
    thread.start()
    thread.join()
    return found[0]


def test_threads_carry_the_id() -> None:
    """A thread started inside a request works for it, and one started outside works for none."""
    with bind("job-1"):
        inside = _in_thread(lambda call: threading.Thread(target=call))
    outside = _in_thread(lambda call: threading.Thread(target=call))

    assert ("job-1", None) == (inside, outside)


def test_timers_carry_the_id() -> None:
    """A timer runs for the request that set it."""
    with bind("job-1"):
        assert "job-1" == _in_thread(lambda call: threading.Timer(0.001, call))


def test_threads_carry_the_span(install: Callable[..., Bench]) -> None:
    """A span in a thread is a child of the span that started it."""
    bench = install()

    with bench.tracer.start_as_current_span("server") as server:
        thread = threading.Thread(target=lambda: bench.tracer.start_span("child").end())
        thread.start()
        thread.join()

    assert server.get_span_context().span_id == bench.spans()["child"].parent.span_id


def test_executors_carry_each_calls_id() -> None:
    """One worker runs each call for the request that submitted it, and for none where there was none."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        with bind("job-1"):
            first = executor.submit(correlation_id)
        with bind("job-2"):
            second = executor.submit(correlation_id)
        third = executor.submit(correlation_id)
        empty = executor.submit(lambda: len(get_current()))

    assert ["job-1", "job-2", None, 0] == [first.result(), second.result(), third.result(), empty.result()]


def test_thread_pools_carry_each_tasks_id() -> None:
    """A worker of `ThreadPool` runs each task for the request that asked for it, with the very span."""
    with ThreadPool(1) as pool:
        with bind("job-1"):
            first = pool.map(lambda _: correlation_id(), [1, 2])
        second = pool.apply(correlation_id)

    assert (["job-1", "job-1"], None) == (first, second)


def test_failing_calls_leave_no_id_behind() -> None:
    """A call that raises leaves its worker as clean as one that returns."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        with bind("job-1"):
            failed = executor.submit(int, "x")
        after = executor.submit(correlation_id)

    assert failed.exception() is not None
    assert after.result() is None


def test_event_loops_carry_the_id() -> None:
    """Tasks, callbacks, `to_thread` and `run_in_executor` all work for the request that started them."""

    async def work() -> list[str | None]:
        loop = asyncio.get_running_loop()
        called: asyncio.Future[str | None] = loop.create_future()
        loop.call_soon(lambda: called.set_result(correlation_id()))
        return [
            await asyncio.create_task(_read()),
            await asyncio.to_thread(correlation_id),
            await loop.run_in_executor(None, correlation_id),
            await called,
        ]

    with bind("job-1"):
        assert ["job-1"] * 4 == asyncio.run(work())


async def _read() -> str | None:
    return correlation_id()


def _fail() -> None:
    raise ValueError("no")


def _failures() -> list[str]:
    """Return the traceback of a failing thread and that of a failing call."""
    texts: list[str] = []
    hook, threading.excepthook = threading.excepthook, lambda told: texts.append(_text(told.exc_value))
    try:
        thread = threading.Thread(target=_fail)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = hook
    with ThreadPoolExecutor(max_workers=1) as executor:
        texts.append(_text(executor.submit(_fail).exception()))
    with pytest.raises(RuntimeError) as raised:
        thread.start()
    return [*texts, _text(raised.value)]


def _text(error: Any) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def test_tracebacks_are_pythons_own() -> None:
    """What a failing thread, a failing call and a wrong start show is what they show without Clew."""
    with bind("job-1"):
        carried = _failures()
    carriers.uninstall()

    assert _failures() == carried


def test_exception_hooks_see_the_id() -> None:
    """Whoever tells a thread's exception still has the IDs of its request."""
    seen: list[str | None] = []
    hook, threading.excepthook = threading.excepthook, lambda told: seen.append(correlation_id())
    try:
        with bind("job-1"):
            thread = threading.Thread(target=_fail)
            thread.start()
            thread.join()
    finally:
        threading.excepthook = hook

    assert ["job-1"] == seen


def test_installing_twice_weaves_once() -> None:
    """Installing is idempotent, and uninstalling puts the standard library's own functions back."""
    woven = threading.Thread.start
    carriers.install(Settings())
    assert woven is threading.Thread.start

    carriers.uninstall()
    assert woven is not threading.Thread.start
    with bind("job-1"):
        assert _in_thread(lambda call: threading.Thread(target=call)) is None


def test_outside_costs_and_carries_nothing() -> None:
    """Outside any work there is no ID, and a thread is left as it is."""
    thread = threading.Thread(target=lambda: None)
    before = set(vars(thread))
    thread.start()
    thread.join()

    assert (0, 0, 0, None) == current_ids()
    assert before >= set(vars(thread)) - {"_os_thread_handle"}
