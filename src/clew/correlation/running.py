"""Run a function of any kind in a Context: plain, coroutine, generator, async generator.

A generator is run in its Context while it computes and leaves it while it waits for its caller, so that neither sees
the other's. The Context is put back by attaching what was there before, never by a token: an async generator may be
closed from another task, where a token is refused.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry.context import Context, attach, get_current

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

F = TypeVar("F", bound="Callable[..., object]")


def run_in(function: F, make_context: Callable[[], Context]) -> F:
    """Return `function` so that each call runs in a Context of its own, made when the call begins."""
    if inspect.isasyncgenfunction(function):
        kind: Callable[..., Any] = _async_generator
    elif inspect.isgeneratorfunction(function):
        kind = _generator
    elif inspect.iscoroutinefunction(function):
        kind = _coroutine
    else:
        kind = _plain
    return cast("F", functools.wraps(function)(kind(function, make_context)))


def _plain(function: Callable[..., Any], make_context: Callable[[], Context]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _Place(make_context()):
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Any], make_context: Callable[[], Context]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with _Place(make_context()):
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Any], make_context: Callable[[], Context]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        place = _Place(make_context())
        inner: Generator[Any, Any, Any] = function(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, inner)
        while True:
            with place:
                try:
                    item = step()
                except StopIteration as stop:
                    return stop.value
            step = yield from _ask(item, inner, place)

    return call


def _ask(item: Any, inner: Generator[Any, Any, Any], place: _Place) -> Generator[Any, Any, Callable[[], Any]]:
    """Yield `item` to the caller and return the step that its answer asks for (PEP 342: send, throw, close)."""
    try:
        sent = yield item
    except GeneratorExit:
        with place:
            inner.close()
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the caller throws goes to the generator
        return functools.partial(inner.throw, error)
    return functools.partial(inner.send, sent)


def _async_generator(function: Callable[..., Any], make_context: Callable[[], Context]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        place = _Place(make_context())
        inner: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        step: Callable[[], Any] = inner.__anext__
        while True:
            with place:
                try:
                    item = await step()
                except StopAsyncIteration:
                    return
            try:
                sent = yield item
            except GeneratorExit:
                with place:
                    await inner.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 - whatever the caller throws goes to the generator
                step = functools.partial(inner.athrow, error)
            else:
                step = functools.partial(inner.asend, sent)

    return call


class _Place:
    """A Context that is entered again and again, each time where it was left."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._previous = context

    def __enter__(self) -> None:
        self._previous = get_current()
        attach(self._context)

    def __exit__(self, *_: object) -> None:
        self._context = get_current()
        attach(self._previous)
