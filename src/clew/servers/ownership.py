"""Whether a framework's instrumentation makes the server spans of an application, however deep it is wrapped."""

from __future__ import annotations

import functools
from collections import deque
from importlib.util import find_spec
from types import CellType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OWNERS: Final = {
    "django.core.handlers.base.BaseHandler": "django",
    "falcon.app.App": "falcon",
    "falcon.asgi.app.App": "falcon",
    "fastapi.applications.FastAPI": "fastapi",
    "flask.app.Flask": "flask",
    "opentelemetry.instrumentation.asgi.OpenTelemetryMiddleware": "asgi",
    "opentelemetry.instrumentation.wsgi.OpenTelemetryMiddleware": "wsgi",
    "pyramid.router.Router": "pyramid",
    "starlette.applications.Starlette": "starlette",
}
"""The instrumentation that makes the spans of an application of this class or one derived from it."""

_MAX_DEPTH: Final = 8
_MAX_OBJECTS: Final = 500
"""Applications are wrapped in a handful of layers; what is wider or deeper is not worth the start-up time."""


def is_owned(application: object) -> bool:
    """Return whether `application`, or one that it wraps, belongs to an installed instrumentation.

    Looks through attributes, mappings, closures, bound methods, partials and the globals that a function names. An
    instrumentation that the user has switched off still counts: its spans are not wanted.
    """
    waiting = deque([(application, 0)])
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_OBJECTS:
        item, depth = waiting.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        owner = _owner(type(item))
        if owner is not None and _is_installed(owner):
            return True
        if depth < _MAX_DEPTH:
            waiting.extend((inner, depth + 1) for inner in _inside(item) if _may_be_application(inner))
    return False


def _owner(kind: type) -> str | None:
    """Return the instrumentation of the most derived class that has one."""
    names = (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
    return next((_OWNERS[name] for name in names if name in _OWNERS), None)


@functools.cache
def _is_installed(instrumentation: str) -> bool:
    return find_spec(f"opentelemetry.instrumentation.{instrumentation}") is not None


def _may_be_application(item: object) -> bool:
    return callable(item) and not isinstance(item, type)


def _inside(item: object) -> Iterator[object]:
    """Return what `item` may hand a request on to."""
    if isinstance(item, MethodType):
        yield item.__self__
    elif isinstance(item, functools.partial):
        yield from (item.func, *item.args)
    elif isinstance(item, FunctionType):
        yield from _named(item)
    for held in getattr(item, "__dict__", {}).values():
        yield from _members(held)


def _named(function: FunctionType) -> Iterator[object]:
    """Return what a function's code can reach: its closure, and the globals that it and functions inside it name."""
    yield from (_contents(cell) for cell in function.__closure__ or ())
    yield from (function.__globals__.get(name) for name in _names(function.__code__))


def _members(held: object) -> Iterable[object]:
    """Return what an attribute holds: applications that share a server are often in a mapping or a list."""
    if isinstance(held, dict):
        return tuple(held.values())
    return held if isinstance(held, (list, tuple)) else (held,)


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # the name has no value yet
        return None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    inner: tuple[Any, ...] = code.co_consts
    for const in inner:
        if isinstance(const, CodeType):
            yield from _names(const)
