"""The current ID can be read and bound anywhere, with or without an SDK, and never leaks out of its work."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import time
import timeit
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, set_value

from clew.correlation import context, ids
from clew.correlation.context import CurrentIds, bind, correlation_id, current_ids
from clew.correlation.origin import configure
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from conftest import Bench


def test_nothing_is_current_outside() -> None:
    """Outside any work there is no ID of any kind."""
    assert CurrentIds(0, 0, 0, None) == current_ids()
    assert correlation_id() is None


def test_bind_without_an_sdk() -> None:
    """Bound work has its ID with nothing installed, and no trace ID yet."""
    with bind("job-42") as bound:
        inside = current_ids()

    assert ("job-42", CurrentIds(0, 0, 0, "job-42"), None) == (bound, inside, correlation_id())


def test_nested_binds_restore() -> None:
    """Each bind gives way to the one around it, also when it ends by an exception."""
    seen: list[str | None] = []

    def fail() -> None:
        with bind("inner"):
            seen.append(correlation_id())
            raise ValueError("stop")

    with bind("outer"):
        with pytest.raises(ValueError, match="stop"):
            fail()
        seen.append(correlation_id())
    assert ["inner", "outer", None] == [*seen, correlation_id()]


def test_one_bind_serves_many_entries() -> None:
    """The same bind can be entered again inside itself, with a new ID each time."""
    bound = bind()

    with bound as first:
        with bound as second:
            inside = correlation_id()
        after = correlation_id()

    assert (second, first, None) == (inside, after, correlation_id())
    assert first != second


def test_one_bind_serves_many_tasks() -> None:
    """Tasks and threads that share a bind do not end each other's."""
    bound = bind()

    async def work() -> tuple[bool, str | None]:
        with bound as own:
            await asyncio.sleep(0.001)
            same = own == correlation_id()
        return same, correlation_id()

    async def main() -> list[tuple[bool, str | None]]:
        return await asyncio.gather(*(work() for _ in range(5)))

    assert [(True, None)] * 5 == asyncio.run(main())


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "\r\n", 7, b"x"])
def test_unusable_ids_are_told_and_replaced(given: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A program that binds what is no ID gets a new one and one line; nothing is raised or echoed."""
    from clew import diagnostics  # noqa: PLC0415 - only here

    diagnostics.forget()
    with bind(given) as bound:
        assert ids.is_trace_id(bound)

    told = capfd.readouterr().err
    assert 1 == told.count("\n")
    assert told.startswith("clew: clew.bind got an ID it can't use and made a new one")
    assert repr(given) not in told


def test_bind_keeps_other_values() -> None:
    """Binding changes the ID and the span; the program's own context values and baggage stay."""
    attach(baggage.set_baggage("tenant", "t-1", set_value("own", 1)))

    with bind("job-42"):
        from opentelemetry.context import get_value  # noqa: PLC0415 - only here

        assert 1 == get_value("own")
        assert {"tenant": "t-1", "correlation.id": "job-42"} == dict(baggage.get_all())
        assert trace.INVALID_SPAN is trace.get_current_span()
    assert {"tenant": "t-1"} == dict(baggage.get_all())


def test_leaving_out_of_order_keeps_the_inner_context() -> None:
    """A Context that someone attached inside and forgot is gone with the bind."""
    with bind("job-42"):
        attach(set_value("forgotten", 1))
    assert correlation_id() is None


class TestDecorator:
    """`@bind()` on functions of every kind."""

    def test_function(self) -> None:
        """Each call is bound, the function keeps its name and signature, and results and errors pass through."""

        @bind("job-42")
        def work(number: int) -> tuple[str | None, float]:
            """Divide."""
            return correlation_id(), 1 / number

        assert ("job-42", 0.5) == work(2)
        assert ("work", "Divide.", ["number"]) == (work.__name__, work.__doc__, [*inspect.signature(work).parameters])
        with pytest.raises(ZeroDivisionError, match="division"):
            work(0)
        assert correlation_id() is None

    def test_each_call_has_its_own_id(self) -> None:
        """Without an ID each call gets a new one."""
        work = bind()(correlation_id)

        assert 3 == len({work(), work(), work()} - {None})

    def test_coroutine_function(self) -> None:
        """Coroutines that run at the same time keep apart."""

        @bind()
        async def work() -> bool:
            before = correlation_id()
            await asyncio.sleep(0.001)
            return before is not None and before == correlation_id()

        async def main() -> list[bool]:
            return await asyncio.gather(*(work() for _ in range(5)))

        assert inspect.iscoroutinefunction(work)
        assert [True] * 5 == asyncio.run(main())

    def test_generator_function(self) -> None:
        """A generator is bound while it computes; its caller is not, whatever passes between them."""
        seen: list[object] = []

        @bind("job-42")
        def work() -> Iterator[str | None]:
            try:
                seen.append((yield correlation_id()))
            except KeyError as error:
                seen.append(error.args)
            try:
                yield correlation_id()
            finally:
                seen.append(correlation_id())

        generator: Any = work()
        first = next(generator)
        between = correlation_id()
        second = generator.throw(KeyError("k"))
        generator.close()

        assert ("job-42", None, "job-42") == (first, between, second)
        assert [("k",), "job-42"] == seen
        assert correlation_id() is None

    def test_generator_returns(self) -> None:
        """What is sent goes in and what is returned comes out, as in a plain generator."""

        @bind()
        def work() -> Any:
            received = yield 1
            return received

        generator = work()
        next(generator)
        with pytest.raises(StopIteration, match="sent") as stopped:
            generator.send("sent")
        assert "sent" == stopped.value.value

    def test_async_generator_function(self) -> None:
        """Likewise an async generator, also when it is abandoned and closed by the event loop."""
        seen: list[object] = []

        @bind("job-42")
        async def work() -> AsyncIterator[str | None]:
            try:
                for _ in range(3):
                    yield correlation_id()
            finally:
                seen.append(correlation_id())

        async def main() -> None:
            async for found in work():
                seen.extend((found, correlation_id()))
                break
            gc.collect()
            await asyncio.sleep(0.01)
            seen.extend([found async for found in work()])

        asyncio.run(main())
        assert ["job-42", None, "job-42", "job-42", "job-42", "job-42", "job-42"] == seen

    def test_async_generator_takes_what_is_sent(self) -> None:
        """Values and errors reach an async generator from its caller."""

        @bind()
        async def work() -> Any:
            try:
                received = yield 1
                yield received
            except KeyError:
                yield "caught"

        async def main() -> list[object]:
            generator = work()
            found = [await generator.__anext__(), await generator.asend("sent"), await generator.athrow(KeyError())]
            await generator.aclose()
            return found

        assert [1, "sent", "caught"] == asyncio.run(main())


def test_under_a_key_a_new_id_is_not_the_trace_id() -> None:
    """Under a key a new bound ID leads to its trace ID as any other does, so its header can be forwarded alone."""
    configure(Settings(correlation_key=b"secret"))

    with bind() as bound:
        origin = context.origin_in(context.get_current())

    assert origin is not None
    assert ids.derive_trace_id(bound, b"secret") == origin.trace_id


def test_ids_of_a_remote_span() -> None:
    """Between a server's extraction and its span, a log record has the caller's trace and its ID."""
    remote = trace.NonRecordingSpan(trace.SpanContext(0xAB, 0xCD, is_remote=True))
    attach(trace.set_span_in_context(remote, Context()))

    assert CurrentIds(0xAB, 0xCD, 0, f"{0xAB:032x}") == current_ids()


def test_a_hostile_context_is_survived(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever somebody put into the Context, reading the IDs raises nothing and tells it once."""

    class Hostile(trace.NonRecordingSpan):
        def get_span_context(self) -> Any:
            raise LookupError("hostile")

    attach(trace.set_span_in_context(Hostile(trace.INVALID_SPAN_CONTEXT), Context()))

    assert CurrentIds(0, 0, 0, None) == current_ids()
    assert "clew: could not read the current IDs: LookupError\n" == capfd.readouterr().err


@pytest.mark.parametrize("where", ["outside", "bound", "span"])
def test_reading_is_cheap(install: Callable[..., Bench], where: str) -> None:
    """Reading the IDs, as each log record does, takes well under a microsecond."""
    bench = install()
    bound = bind("job-42")
    if where != "outside":
        bound.__enter__()
    if where == "span":
        attach(trace.set_span_in_context(bench.tracer.start_span("work")))

    best_s = math.inf
    for _ in range(400):  # the least of short rounds over seconds: another process may share this core
        best_s = min(best_s, timeit.timeit(current_ids, number=500, timer=time.thread_time) / 500)
        if best_s < 0.8e-6:
            break
        time.sleep(0.01)

    assert best_s < 0.8e-6
