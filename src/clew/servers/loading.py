"""Where servers take an application: one that no framework's instrumentation owns is wrapped there.

Upstream has middleware for plain ASGI and WSGI applications but nothing that applies it. The hooks run after the
server's own loading code, without a frame of ours in it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from clew import diagnostics
from clew.importing import when_imported
from clew.servers.ownership import is_owned
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Wrap = Callable[[Any], Any]


def install(environ: Mapping[str, str]) -> None:
    """Wrap applications as uvicorn, gunicorn and wsgiref load them; each server is hooked when it is imported.

    `asgi` and `wsgi` in `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` turn one or the other off.
    """
    disabled = {name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    if not disabled & {"asgi", "*"}:
        when_imported("uvicorn.config", lambda module: _hook(module.Config, "load", _wrap_uvicorn))
        when_imported("gunicorn.workers.gasgi", lambda module: _hook(module.ASGIWorker, "load_wsgi", _wrap_gunicorn))
    if not disabled & {"wsgi", "*"}:
        when_imported("gunicorn.workers.base", lambda module: _hook(module.Worker, "load_wsgi", _wrap_gunicorn))
        when_imported("wsgiref.simple_server", lambda module: _hook(module.WSGIServer, "set_app", _wrap_wsgiref))


def _hook(owner: type, method: str, wrap: Callable[..., None]) -> None:
    """Let `wrap` see the object after each call of the method."""

    def after(server: Any, *_: object) -> None:
        try:
            wrap(server)
        except Exception as error:  # noqa: BLE001 - promise: the server starts, with or without spans
            diagnostics.report("server-spans", f"no server spans: {type(error).__name__}: {error}; run: clew doctor")

    function = weave(getattr(owner, method), after=after)
    if function is None:
        diagnostics.report("server-spans", f"plain applications get no server spans: {owner.__module__} has changed")
    else:
        setattr(owner, method, function)


def _wrap_uvicorn(config: Any) -> None:
    """Wrap inside uvicorn's proxy middleware, so that the span has the client's address and not the proxy's."""
    outer: Any = getattr(config, "loaded_app", None)
    if type(outer).__name__ == "ProxyHeadersMiddleware":
        outer.app = asgi(outer.app)
    elif outer is not None:
        config.loaded_app = asgi(outer)


def _wrap_gunicorn(worker: Any) -> None:
    """Wrap what the worker calls; uvicorn's worker class hands its application to uvicorn, which is hooked itself."""
    if getattr(worker, "asgi", None) is not None:
        worker.asgi = asgi(worker.asgi)
    elif getattr(worker, "wsgi", None) is not None:
        worker.wsgi = wsgi(worker.wsgi)


def _wrap_wsgiref(server: Any) -> None:
    if server.application is not None:
        server.application = wsgi(server.application)


def asgi(application: Any) -> Any:
    """Return `application` with server spans, or as it is where another instrumentation makes them."""
    if is_owned(application):
        return application
    try:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415 - only where it is used
        from opentelemetry.util.http import get_excluded_urls  # noqa: PLC0415
    except ModuleNotFoundError:
        return application
    return OpenTelemetryMiddleware(application, excluded_urls=get_excluded_urls("ASGI"))


def wsgi(application: Any) -> Any:
    """Return `application` with server spans, or as it is where another instrumentation makes them."""
    if _is_asgi(application) or is_owned(application):
        return application
    try:
        from clew.servers.wsgi import ServerSpanMiddleware  # noqa: PLC0415 - imports upstream's middleware
    except ModuleNotFoundError:
        return application
    return ServerSpanMiddleware(application)


def _is_asgi(application: Any) -> bool:
    return inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(type(application).__call__)
