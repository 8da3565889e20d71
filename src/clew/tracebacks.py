"""Tracebacks without the functions that instrumentation puts between the program's calls.

A wrapper shows in every traceback that passes through it, and so in the program's console and in its log. One that
raises an exception on can take itself, and the other wrappers right below it, off the traceback first: Python 3.11 and
later go on with what it left. On 3.10 the interpreter keeps a traceback of its own, and wrappers show as they did.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

CAN_BE_CUT: Final = sys.version_info >= (3, 11)
"""Whether an exception goes on with the traceback that a handler gave it."""

_WRAPPING: Final = frozenset({"clew", "opentelemetry", "wrapt"})
_COPIED: Final = ("__module__", "__name__", "__qualname__", "__doc__")


# The slot of BaseException itself: a subclass may let none of its attributes be set, as a frozen dataclass does.
_traceback: Final[Any] = vars(BaseException)["__traceback__"]


def cut(error: BaseException, *, also: str = "") -> None:
    """Take the wrappers, and the functions of the module `also`, off the head of a traceback that the caller raises on.

    To be called where the exception is handled, before a bare `raise`. A built-in error that a wrapper itself raises
    keeps its traceback; one of a library's, in which no function is, was raised by the compiled code that it called.
    Never raises.
    """
    inner: TracebackType | None = _traceback.__get__(error)
    while inner is not None and _is_wrapping(inner.tb_frame.f_globals.get("__name__"), also):
        inner = inner.tb_next
    if inner is not None or _is_librarys(type(error)):
        _traceback.__set__(error, inner)


def _is_librarys(kind: type[BaseException]) -> bool:
    try:
        return kind.__module__ != "builtins"
    except Exception:  # noqa: BLE001 - a metaclass of the program's may do anything
        return False


def _is_wrapping(module: object, also: str) -> bool:
    return isinstance(module, str) and (module.partition(".")[0] in _WRAPPING or module == also)


def seamless(wrapper: Callable[..., Any], *, also: str = "") -> Callable[..., Any]:
    """Return a function like `wrapper`, a plain or a coroutine function, that no traceback shows.

    It has the attributes of `wrapper`, so that whoever looks for those finds them.

    Args:
        wrapper: Calls the program's function.
        also: A module whose functions are called because there is a wrapper.
    """
    if not CAN_BE_CUT:
        return wrapper
    made = _awaited(wrapper, also) if inspect.iscoroutinefunction(wrapper) else _called(wrapper, also)
    return _like(wrapper, made)


def seamless_application(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function like `call`, the `__call__` of an ASGI application, with its parameters.

    uvicorn takes whatever can be called without arguments for a factory.
    """

    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> Any:  # noqa: N807 - it takes the place of one
        try:
            return await call(self, scope, receive, send)
        except BaseException as error:
            cut(error)
            raise

    return _like(call, __call__) if CAN_BE_CUT else call


def seamless_iterator(iterable: Iterable[Any]) -> Iterator[Any]:
    """Return an iterator over what a wrapper yields that no traceback shows."""
    return _iterated(iterable) if CAN_BE_CUT else iter(iterable)


def _called(wrapper: Callable[..., Any], also: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return wrapper(*args, **kwargs)
        except BaseException as error:
            cut(error, also=also)
            raise

    return call


def _awaited(wrapper: Callable[..., Any], also: str) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await wrapper(*args, **kwargs)
        except BaseException as error:
            cut(error, also=also)
            raise

    return call


def _iterated(iterable: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from iterable
    except BaseException as error:
        cut(error)
        raise


def _like(wrapper: Callable[..., Any], function: Any) -> Callable[..., Any]:
    """Give a function the face of another; `__wrapped__`, by which instrumentations undo themselves, is the other's."""
    for name in _COPIED:
        if hasattr(wrapper, name):
            setattr(function, name, getattr(wrapper, name))
    function.__dict__.update(getattr(wrapper, "__dict__", {}))
    with contextlib.suppress(TypeError, ValueError):
        function.__signature__ = inspect.signature(wrapper)
    return function  # type: ignore[no-any-return]  # the function that came in
