"""`timed`: a span and a duration for each run, and a program that runs as it did."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from tests.bench.instruments import timed_rows

from clew import timed
from clew.latency.cardinality import BoundedNames

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from latency_telemetry import Telemetry


def current_name() -> str:
    """Return the name of the current span."""
    return str(getattr(trace.get_current_span(), "name", ""))


class TestBlock:
    """`with timed(name)`."""

    def test_span_and_duration(self, telemetry: Telemetry) -> None:
        """A block is a span and one duration in seconds whose exemplar leads to the span."""
        with timed("order") as span:
            span.set_attribute("order.items", 3)
            assert current_name() == "order"

        [finished] = telemetry.spans()
        [point] = telemetry.durations()
        assert ("order", {"order.items": 3}) == (finished.name, dict(finished.attributes or {}))
        assert ({"operation.name": "order"}, 1) == (dict(point.attributes), point.count)
        assert [finished.context.span_id] == [exemplar.span_id for exemplar in point.exemplars]
        assert (0.005, 10.0) == (point.explicit_bounds[0], point.explicit_bounds[-1])

    def test_error(self, telemetry: Telemetry) -> None:
        """An error is recorded with its qualified type, and goes on."""
        with pytest.raises(KeyError, match="x"), timed("order"):
            {}["x"]
        with pytest.raises(subprocess.SubprocessError, match="y"), timed("order"):
            raise subprocess.SubprocessError("y")

        first, second = telemetry.spans()
        assert ("ERROR", "KeyError", ["exception"]) == (
            first.status.status_code.name,
            (first.attributes or {})["error.type"],
            [event.name for event in first.events],
        )
        assert (second.attributes or {})["error.type"] == "subprocess.SubprocessError"
        assert telemetry.attributes() == [
            {"operation.name": "order", "error.type": "KeyError"},
            {"operation.name": "order", "error.type": "subprocess.SubprocessError"},
        ]

    def test_exit_is_no_failure(self, telemetry: Telemetry) -> None:
        """An exit or a cancellation is told by the duration's `error.type` alone."""
        with pytest.raises(SystemExit, match="0"), timed("order"):
            sys.exit(0)

        assert telemetry.spans()[0].status.status_code.name == "UNSET"
        assert telemetry.attributes() == [{"operation.name": "order", "error.type": "SystemExit"}]

    def test_one_object_in_many_blocks(self, telemetry: Telemetry) -> None:
        """One object may be entered again while it is, in threads and tasks at once."""
        shared = timed("shared")
        barrier = threading.Barrier(4)

        def work() -> None:
            with shared, shared:
                barrier.wait()

        async def task() -> None:
            with shared:
                await asyncio.sleep(0.01)

        async def tasks() -> None:
            await asyncio.gather(*(task() for _ in range(5)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(tasks())

        assert len(telemetry.spans()) == 4 * 2 + 5
        assert [point.count for point in telemetry.durations()] == [4 * 2 + 5]
        assert current_name() == ""


class Cart:
    """What the decorators decorate."""

    @timed("method")
    def method(self, value: int) -> tuple[Cart, int, str]:
        """Return what was given."""
        return self, value, current_name()

    @timed("static")
    @staticmethod
    def static(value: int) -> tuple[int, str]:
        """Return what was given."""
        return value, current_name()

    @classmethod
    @timed("class")
    def of_class(cls, value: int) -> tuple[type, int, str]:
        """Return what was given."""
        return cls, value, current_name()

    @timed
    def unnamed(self) -> str:
        """Return the operation's name."""
        return current_name()


class TestFunction:
    """`@timed(name)` over functions of each kind."""

    def test_methods(self, telemetry: Telemetry) -> None:
        """Methods of each kind are called as they were."""
        cart = Cart()

        assert cart.method(1) == (cart, 1, "method")
        assert (Cart.static(2), cart.static(2)) == ((2, "static"), (2, "static"))
        assert Cart.of_class(3) == (Cart, 3, "class")
        assert cart.unnamed() == "Cart.unnamed"
        assert [span.name for span in telemetry.spans()] == ["method", "static", "static", "class", "Cart.unnamed"]

    def test_metadata(self) -> None:
        """Name, documentation, annotations, signature and kind stay."""

        def plain(a: int, *, b: str = "x") -> None:
            """Documented."""

        async def coroutine() -> None: ...
        def generator() -> Generator[int, None, None]:
            yield 1

        async def async_generator() -> AsyncGenerator[int, None]:
            yield 1

        timed_plain = timed("x")(plain)

        assert inspect.signature(timed_plain) == inspect.signature(plain)
        assert (timed_plain.__name__, timed_plain.__doc__) == (plain.__name__, plain.__doc__)
        assert timed_plain.__annotations__ == plain.__annotations__
        assert inspect.iscoroutinefunction(timed("x")(coroutine))
        assert inspect.isgeneratorfunction(timed("x")(generator))
        assert inspect.isasyncgenfunction(timed("x")(async_generator))

    def test_error(self, telemetry: Telemetry) -> None:
        """What a function raises is the same object, recorded once."""
        error = ValueError("x")

        @timed("fails")
        def fails() -> None:
            raise error

        with pytest.raises(ValueError, match="x") as caught:
            fails()

        assert caught.value is error
        assert [len(span.events) for span in telemetry.spans()] == [1]

    def test_coroutine(self, telemetry: Telemetry) -> None:
        """A coroutine's time includes what it waits for, and tasks at once do not mix."""

        @timed("load")
        async def load(number: int) -> tuple[int, str]:
            await asyncio.sleep(0.01 * number)
            return number, current_name()

        async def main() -> list[tuple[int, str]]:
            return await asyncio.gather(*(load(number) for number in range(4)))

        assert asyncio.run(main()) == [(number, "load") for number in range(4)]
        assert len(telemetry.spans()) == 4
        assert telemetry.durations()[0].max > 0.03

    def test_cancellation(self, telemetry: Telemetry) -> None:
        """A cancelled coroutine ends its run and is cancelled."""

        @timed("wait")
        async def wait() -> None:
            await asyncio.sleep(60)

        async def main() -> None:
            await asyncio.wait_for(wait(), 0.01)

        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            asyncio.run(main())

        assert telemetry.attributes() == [{"operation.name": "wait", "error.type": "asyncio.exceptions.CancelledError"}]

    def test_what_is_no_function(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A class comes back as it is, and one line says why."""
        assert timed("x")(Cart) is Cart
        assert "can time functions only" in capsys.readouterr().err


class TestGenerator:
    """Generators: sent, thrown and returned values go through, and the span stays inside."""

    def test_values(self, telemetry: Telemetry) -> None:
        """Values go both ways; the span is current inside only; one run for the whole."""

        @timed("numbers")
        def numbers() -> Generator[tuple[str, object], object, str]:
            got: object = None
            for _ in range(2):
                got = yield current_name(), got
            try:
                yield current_name(), got
            except KeyError as error:
                yield "thrown", error.args[0]
            return "returned"

        def outer() -> Generator[tuple[str, object], object, str]:
            return (yield from numbers())

        run = outer()
        seen = [next(run), current_name(), run.send(1), run.send(2), run.throw(KeyError("k"))]
        with pytest.raises(StopIteration, match="returned"):
            next(run)

        assert seen == [("numbers", None), "", ("numbers", 1), ("numbers", 2), ("thrown", "k")]
        assert [span.name for span in telemetry.spans()] == ["numbers"]
        assert telemetry.attributes() == [{"operation.name": "numbers"}]

    def test_closed_early(self, telemetry: Telemetry) -> None:
        """A generator that is left early cleans up inside its span, and that is no error."""
        seen = []

        @timed("numbers")
        def numbers() -> Generator[int, None, None]:
            try:
                yield 1
                yield 2
            finally:
                seen.append(current_name())

        for _ in numbers():
            break
        gc.collect()

        assert seen == ["numbers"]
        assert telemetry.attributes() == [{"operation.name": "numbers"}]

    def test_context_manager(self, telemetry: Telemetry) -> None:
        """`contextmanager` over a timed generator works as over a plain one."""

        @contextlib.contextmanager
        @timed("transaction")
        def transaction() -> Generator[str, None, None]:
            with contextlib.suppress(KeyError):
                yield current_name()

        with transaction() as name:
            raise KeyError(name)

        assert telemetry.attributes() == [{"operation.name": "transaction"}]

    @pytest.mark.parametrize("thrown", [False, True])
    def test_error_is_not_kept(self, telemetry: Telemetry, *, thrown: bool) -> None:
        """The exception that ends a generator is not kept alive by it, be it the body's or one thrown in."""

        class LostError(Exception):
            pass

        @timed("fails")
        def fails() -> Generator[int, None, None]:
            yield 1
            raise LostError

        gc.collect()
        gc.disable()
        try:
            alive = None
            run = fails()
            next(run)
            try:
                run.throw(LostError()) if thrown else next(run)
            except LostError as error:
                alive = weakref.ref(error)
            assert alive is not None
            assert alive() is None
        finally:
            gc.enable()

    def test_async_values(self, telemetry: Telemetry) -> None:
        """An asynchronous generator does the same."""

        @timed("pages")
        async def pages() -> AsyncGenerator[tuple[str, object], object]:
            got = None
            try:
                got = yield current_name(), got
                await asyncio.sleep(0)
                yield current_name(), got
            except KeyError as error:
                yield "thrown", error.args[0]

        async def main() -> list[object]:
            run = pages()
            seen = [await run.__anext__(), current_name(), await run.asend(1), await run.athrow(KeyError("k"))]
            await run.aclose()
            return [*seen, [item async for item in pages()]]

        assert asyncio.run(main()) == [
            ("pages", None),
            "",
            ("pages", 1),
            ("thrown", "k"),
            [("pages", None), ("pages", None)],
        ]
        assert telemetry.attributes() == [{"operation.name": "pages"}]
        assert [point.count for point in telemetry.durations()] == [2]

    @pytest.mark.parametrize("action", ["next", "throw", "close"])
    def test_same_as_plain(self, action: str) -> None:
        """A generator that misbehaves shows what a plain one shows."""

        def stubborn() -> Generator[int, None, None]:
            while True:
                try:
                    yield 1
                except GeneratorExit:  # noqa: PERF203 - what this generator is about
                    yield 2

        def show(step: Callable[[], object]) -> object:
            try:
                return step()
            except BaseException as error:  # noqa: BLE001 - whatever it is
                return repr(error)

        def show_all(function: Callable[[], Generator[int, None, None]]) -> list[object]:
            run = function()
            steps: list[Callable[[], object]] = [lambda: next(run), lambda: run.throw(KeyError(action)), run.close]
            return [show(step) for step in (reversed(steps) if action == "close" else steps)]

        assert show_all(stubborn) == show_all(timed("x")(stubborn))


class TestCardinality:
    """Names are bounded."""

    def test_too_many_names(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Past the bound each name is `_OTHER`, and one line says so."""
        names = BoundedNames(3, "names of this test")

        admitted = [names.admit(f"name {number}") for number in (1, 2, 3, 4, 5, 1)]

        assert admitted == ["name 1", "name 2", "name 3", "_OTHER", "_OTHER", "name 1"]
        assert capsys.readouterr().err == "clew: more than 3 names of this test; counted as _OTHER\n"


def test_cost(telemetry: Telemetry) -> None:
    """A timed block or call costs at most 1.3 times a bare span and the record of a histogram."""
    assert [] == [row for row in timed_rows() if not row.is_met]


PROGRAM = """
import asyncio
from clew import timed

@timed("f")
def f(): return 1

@timed("g")
async def g(): return 2

with timed("b") as span:
    print(f(), asyncio.run(g()), span.is_recording())
"""


def test_without_an_sdk() -> None:
    """A program without an SDK runs as it did."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert (run.stdout, run.stderr, run.returncode) == ("1 2 False\n", "", 0)
