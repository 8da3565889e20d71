"""Upstream's wrappers, taken off the tracebacks that pass through them.

An instrumentation wraps what it measures, and so stands in each traceback of a request that fails or a connection that
is refused. Where an instrumentation puts its wrappers, they are put there seamless (`clew.tracebacks`).
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from clew.importing import when_imported
from clew.tracebacks import CAN_BE_CUT, seamless, seamless_application

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX: Final = "opentelemetry.instrumentation."
_OURS: Final = ("clew.", _PREFIX)
_CALLS: Final = ("__call__", "with_call", "future", "execute", "executemany", "callproc")
"""The methods of upstream's classes that call the program's."""

_CLASSES: Final = {
    "dbapi": ("TracedCursorProxy",),
    "grpc.grpcext._interceptor": (
        "_InterceptorUnaryUnaryMultiCallable",
        "_InterceptorUnaryStreamMultiCallable",
        "_InterceptorStreamUnaryMultiCallable",
        "_InterceptorStreamStreamMultiCallable",
    ),
    "wsgi": ("OpenTelemetryMiddleware",),
}
"""Upstream's classes that stand between the program's calls, by module."""

_FACTORIES: Final = {
    "psycopg": ("_new_cursor_factory", "_new_cursor_async_factory"),
    "psycopg2": ("_new_cursor_factory",),
}
"""Upstream's functions that return such a class, or a function."""

_PATCHED: Final = {
    "requests": ("requests.sessions", "Session", "send"),
    "urllib": ("urllib.request", "OpenerDirector", "open"),
}
"""Methods of a library's that an instrumentation replaces by a function of its own."""


def install() -> None:
    """Make the wrappers of upstream's modules seamless when those are imported; on Python 3.10 nothing can be done."""
    if not CAN_BE_CUT:
        return
    for module, classes in _CLASSES.items():
        when_imported(_PREFIX + module, functools.partial(_each, names=classes, change=_with_seamless_calls))
    for module, factories in _FACTORIES.items():
        when_imported(_PREFIX + module, functools.partial(_each, names=factories, change=_seamless_made))
    when_imported(_PREFIX + "asgi", _quiet_application)
    when_imported("aiohttp.web_app", _quiet_middlewares)
    when_imported(_PREFIX + "grpc._server", functools.partial(_each, names=("_wrap_rpc_behavior",), change=_behaving))


def _quiet_application(module: Any) -> None:
    owner: Any = module.OpenTelemetryMiddleware
    owner.__call__ = seamless_application(owner.__call__)


def _quiet_middlewares(module: Any) -> None:
    """Take off aiohttp's own function that it calls because of a middleware, where upstream's is the only one."""
    original: Any = getattr(module, "_fix_request_current_app", None)

    def fix_request(application: Any) -> Any:
        made = original(application)
        modules = [str(getattr(middleware, "__module__", "")) for middleware in application.middlewares]
        only = len(modules) == 1 and modules[0].startswith(_OURS)
        return seamless(made, also="aiohttp.web_middlewares") if only else made

    if original is not None:
        module._fix_request_current_app = fix_request  # noqa: SLF001 - there is no public place


def _each(module: Any, names: tuple[str, ...], change: Callable[[Any], Any]) -> None:
    for name in names:
        if hasattr(module, name):
            setattr(module, name, change(getattr(module, name)))


def before_instrumenting(module: str) -> None:
    """Let the wrappers that an instrumentation is about to set by `wrapt` be seamless, `module` being its module."""
    wrapt: Any = sys.modules.get("wrapt")
    if not CAN_BE_CUT or not hasattr(wrapt, "wrap_function_wrapper"):
        return
    seams = {id(wrapt): _Wrapt(wrapt), id(wrapt.wrap_function_wrapper): _wrapping(wrapt.wrap_function_wrapper)}
    for name, loaded in tuple(sys.modules.items()):
        if name == module or name.startswith((f"{module}.", f"{_PREFIX}dbapi")):
            scope = vars(loaded)
            scope.update({key: seams[id(value)] for key, value in scope.items() if id(value) in seams})


def after_instrumenting(name: str) -> None:
    """Let the methods be seamless that an instrumentation has replaced."""
    module, owner, method = _PATCHED.get(name, ("", "", ""))
    found: Any = getattr(sys.modules.get(module), owner, None)
    replaced: Any = getattr(found, method, None)
    if str(getattr(replaced, "__globals__", {}).get("__name__")).startswith(_PREFIX):
        setattr(found, method, seamless(replaced))


class _Wrapt:
    """The module `wrapt` as an instrumentation sees it."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.wrap_function_wrapper = _wrapping(module.wrap_function_wrapper)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _wrapping(wrap: Callable[..., Any]) -> Callable[..., Any]:
    """Return `wrapt.wrap_function_wrapper`, which takes the target, a name and the wrapper, for seamless wrappers."""

    def wrap_function_wrapper(*args: Any, **kwargs: Any) -> Any:
        if "wrapper" in kwargs:
            kwargs["wrapper"] = seamless(kwargs["wrapper"])
        else:
            *where, wrapper = args
            args = (*where, seamless(wrapper))
        return wrap(*args, **kwargs)

    return wrap_function_wrapper


def _seamless_made(factory: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = factory(*args, **kwargs)
        return _with_seamless_calls(made) if isinstance(made, type) else seamless(made)

    return make


def _with_seamless_calls(owner: Any) -> Any:
    for name in _CALLS:
        if name in vars(owner):
            setattr(owner, name, seamless(vars(owner)[name]))
    return owner


def _behaving(wrap: Callable[..., Any]) -> Callable[..., Any]:
    """Return gRPC's `_wrap_rpc_behavior` for behaviours that are seamless."""

    def wrap_rpc_behavior(handler: Any, continuation: Callable[..., Any]) -> Any:
        return wrap(handler, lambda *args: seamless(continuation(*args)))

    return wrap_rpc_behavior
