"""Timed generators: the operation's span is current while the body runs, and never where the values are consumed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec

from clew.latency.operation import begin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from clew.latency.operation import Operation

P = ParamSpec("P")


class _Whole:
    """A run of a generator, from its first value to its end or the exception that leaves it."""

    def __init__(self, name: str) -> None:
        self._operation = begin(name)

    def __enter__(self) -> Operation:
        return self._operation

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._operation.pause()
        self._operation.end(error)


def time_generator(name: str, function: Callable[P, Generator[Any, Any, Any]]) -> Callable[P, Generator[Any, Any, Any]]:
    """Wrap a generator function: a run begins with the first value asked for and ends with the generator.

    What is sent, thrown and returned goes through as PEP 380 has it for `yield from`.
    """

    @functools.wraps(function)
    def timed_generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        sent: Any = None
        thrown: BaseException | None = None
        with _Whole(name) as operation:
            while True:
                operation.resume()
                try:
                    value = generator.send(sent) if thrown is None else generator.throw(thrown)
                except StopIteration as stop:
                    return stop.value
                finally:
                    operation.pause()
                    # Or this frame and the traceback of what was thrown would keep each other alive.
                    sent = thrown = None
                try:
                    sent = yield value
                except GeneratorExit:
                    operation.resume()
                    generator.close()
                    raise
                except BaseException as outside:  # noqa: BLE001 - it is the body's to handle
                    thrown = outside

    return timed_generator


def time_async_generator(
    name: str, function: Callable[P, AsyncGenerator[Any, Any]]
) -> Callable[P, AsyncGenerator[Any, Any]]:
    """Wrap an asynchronous generator function, as `time_generator` does a plain one (PEP 525)."""

    @functools.wraps(function)
    async def timed_generator(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        sent: Any = None
        thrown: BaseException | None = None
        with _Whole(name) as operation:
            while True:
                operation.resume()
                try:
                    value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                except StopAsyncIteration:
                    return
                finally:
                    operation.pause()
                    # Or this frame and the traceback of what was thrown would keep each other alive.
                    sent = thrown = None
                try:
                    sent = yield value
                except GeneratorExit:
                    operation.resume()
                    await generator.aclose()
                    raise
                except BaseException as outside:  # noqa: BLE001 - it is the body's to handle
                    thrown = outside

    return timed_generator
