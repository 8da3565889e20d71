"""`timed`: how long an operation takes, as a span and as a histogram whose exemplars lead to the span."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast, overload

from clew import diagnostics
from clew.latency.generators import time_async_generator, time_generator
from clew.latency.operation import begin

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.trace import Span

    from clew.latency.operation import Operation

P = ParamSpec("P")
R = TypeVar("R")


class _Entered(NamedTuple):
    """A `with` block in progress, and the one around it."""

    owner: Timed
    operation: Operation
    outer: _Entered | None


_entered: ContextVar[_Entered | None] = ContextVar("clew_timed", default=None)
"""The blocks in progress of this thread or task: one `Timed` may be entered in many at once."""


@overload
def timed(name: str) -> Timed: ...
@overload
def timed(name: Callable[P, R]) -> Callable[P, R]: ...
def timed(name: str | Callable[..., Any]) -> Any:
    """Time an operation: a span, and `clew.operation.duration` in seconds with `operation.name` and `error.type`.

    `with timed("name") as span:` times a block. As a decorator, `@timed("name")` or plain `@timed`, it times each call
    of a function, coroutine function, generator function or asynchronous generator function, above or below
    `@staticmethod` and `@classmethod`; what a function returns and raises does not change, and its signature stays.

    Does nothing visible without an SDK, and never raises. A generator is timed from the first value asked for to its
    end. A name must not hold values: past 256 different ones the metric has `_OTHER`.

    Args:
        name: What the span is called, and `operation.name`; as a plain decorator the function's qualified name.
    """
    if isinstance(name, str):
        return Timed(name)
    return Timed(_name_of(name))(name)


class Timed:
    """A timed operation by name; may be entered and applied any number of times, from any thread or task."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Span:
        """Begin a run and make its span current."""
        operation = begin(self.name)
        operation.resume()
        _entered.set(_Entered(self, operation, _entered.get()))
        return operation.span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run that this block began; an exception goes on."""
        entered = _entered.get()
        while entered is not None and entered.owner is not self:
            entered = entered.outer
        if entered is not None:
            _entered.set(entered.outer)
            entered.operation.pause()
            entered.operation.end(error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function` with each call timed; what cannot be called comes back as it is, and one line says so."""
        inner = getattr(function, "__func__", None)
        if isinstance(function, (staticmethod, classmethod)) and inner is not None:
            return cast("Callable[P, R]", type(function)(self(inner)))
        if isinstance(function, type) or not callable(function):
            diagnostics.report("timed", f"clew.timed({self.name!r}) can time functions only, not {function!r}")
            return function
        return _wrap(self.name, function)


def _wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        return _time_coroutine(name, function)
    if inspect.isasyncgenfunction(function):
        return time_async_generator(name, function)
    if inspect.isgeneratorfunction(function):
        return time_generator(name, function)
    return _time_function(name, function)


def _time_function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed_function(*args: Any, **kwargs: Any) -> Any:
        operation = begin(name)
        operation.resume()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            operation.pause()
            operation.end(error)
            raise
        operation.pause()
        operation.end()
        return result

    return timed_function


def _time_coroutine(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
        operation = begin(name)
        operation.resume()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            operation.pause()
            operation.end(error)
            raise
        operation.pause()
        operation.end()
        return result

    return timed_coroutine


def _name_of(function: Any) -> str:
    """Return what a function without a given name is called."""
    function = getattr(function, "__func__", function)
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
