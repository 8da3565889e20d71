"""Starlette's and FastAPI's requests: telemetry woven into the application's own entry point.

Upstream's instrumentations put middleware round the application, which shows in every traceback that a server prints,
and replace the class. Here the application stays as it is. One that the program has instrumented itself is left to
upstream's middleware, hooks and all; so are all of them where the user wants what only that makes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import attach, get_current
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from clew import diagnostics
from clew.importing import when_imported
from clew.servers import asgi_request
from clew.servers.asgi import AsgiTelemetry
from clew.servers.routes import details_by
from clew.weaving import weave

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from clew.servers.asgi_request import Request, Send

_INSTRUMENTED: Final = "_is_instrumented_by_opentelemetry"
"""The attribute by which upstream knows an application that it has instrumented."""

_NATIVE: Final = "_native_telemetry"
"""What an application has whose FastAPI makes spans by itself, where no instrumentation does."""

_NEEDED: Final = (
    "tracer",
    "active_requests_counter",
    "duration_histogram_new",
    "server_response_body_size_histogram",
    "server_request_body_size_histogram",
    "excluded_urls",
    "default_span_details",
    "http_capture_headers_server_request",
    "http_capture_headers_server_response",
    "http_capture_headers_sanitize_fields",
)
"""What is used of upstream's middleware; where one is gone, upstream's own way is taken."""


class _State:
    """Whose requests are told of, by which telemetry."""

    is_woven = False
    fastapi: AsgiTelemetry | None = None
    starlette: AsgiTelemetry | None = None
    fastapi_class: Any = None


def instrument_fastapi(module: Any, **providers: Any) -> bool:
    """Make spans of FastAPI's requests from now on, `module` being `fastapi`; False where upstream has to.

    `providers` are upstream's `tracer_provider` and `meter_provider`, by default the global ones.
    """
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415 - only with its library

    application = module.FastAPI()
    FastAPIInstrumentor.instrument_app(application, **providers)
    middleware = _middleware_of(application)
    FastAPIInstrumentor.uninstrument_app(application)
    if middleware is None or not _weave_entry():
        return False
    ordinary = sys.modules["fastapi.routing"].APIRoute
    _State.fastapi = AsgiTelemetry(middleware, details_by(middleware.default_span_details, ordinary))
    _State.fastapi_class = module.FastAPI
    when_imported("fastapi.telemetry._asgi", _turn_off_native)
    when_imported("starlette.background", lambda background: _weave_tasks(background, middleware.tracer))
    return True


def instrument_starlette(module: Any, **providers: Any) -> bool:
    """Make spans of Starlette's requests from now on, `module` being `starlette.applications`, likewise."""
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor  # noqa: PLC0415 - only with its library

    application = module.Starlette()
    StarletteInstrumentor.instrument_app(application, **providers)
    middleware = _middleware_of(application)
    if middleware is None or not _weave_entry():
        return False
    _State.starlette = AsgiTelemetry(middleware, details_by(middleware.default_span_details))
    return True


def _middleware_of(application: Any) -> Any:
    """Return upstream's middleware of an application of no use, or None where it would do what is not done here."""
    stack = application.build_middleware_stack()
    while stack is not None and type(stack) is not OpenTelemetryMiddleware:
        stack = getattr(stack, "app", None)
    usual = (
        getattr(stack, "exclude_send_span", False)
        and getattr(stack, "exclude_receive_span", False)
        and getattr(stack, "_sem_conv_opt_in_mode", None) is _StabilityMode.HTTP
        and all(hasattr(stack, name) for name in _NEEDED)
    )
    return stack if usual else None


def _weave_entry() -> bool:
    """Weave the telemetry into the method by which every server calls an application."""
    if not _State.is_woven:
        owner: Any = sys.modules["starlette.applications"].Starlette
        woven = weave(owner.__call__, enter=_enter, after=_leave, rebound="send")
        if woven is None:
            return False
        owner.__call__ = woven
        _State.is_woven = True
    return True


def _enter(application: Any, scope: Any, _receive: object, send: Send) -> tuple[Request | None, Send]:
    telemetry = _telemetry_of(application)
    if telemetry is None:
        return None, send
    scope["app"] = application
    request = telemetry.begin(scope, send)
    return (None, send) if request is None else (request, request.send)


def _leave(_application: Any, _scope: Any, _receive: object, _send: object, request: Request | None) -> None:
    if request is not None:
        request.end(_raised_by(sys._getframe(1)))  # noqa: SLF001 - the one way to a frame that costs nothing


def _raised_by(frame: Any) -> BaseException | None:
    """Return the exception that is leaving `frame`, and not one that a caller is about to handle."""
    error = sys.exc_info()[1]
    traceback = error.__traceback__ if error is not None else None
    return error if traceback is not None and traceback.tb_frame is frame else None


def _telemetry_of(application: Any) -> AsgiTelemetry | None:
    if getattr(application, _INSTRUMENTED, False):
        return None
    if _State.fastapi is not None and isinstance(application, _State.fastapi_class):
        return _State.fastapi
    return None if hasattr(application, _NATIVE) else _State.starlette


def _turn_off_native(module: Any) -> None:
    """Let FastAPI make no telemetry of its own, as it does where it finds upstream's middleware."""
    if callable(getattr(getattr(module, "NativeTelemetry", None), "enabled", None)):
        module.NativeTelemetry.enabled = lambda _: False


def _weave_tasks(module: Any, tracer: Any) -> None:
    """Give each background task a span, as upstream's instrumentation of FastAPI does."""

    def enter(task: Any) -> tuple[object, Any]:
        return _begin_task(task, tracer), task

    woven = weave(module.BackgroundTask.__call__, enter=enter, after=_end_task)
    if woven is not None:
        module.BackgroundTask.__call__ = woven


def _begin_task(task: Any, tracer: Any) -> tuple[Span, Context, Context] | None:
    request = asgi_request.current()
    if request is None:
        return None
    try:
        request.release()
        name = getattr(task.func, "__name__", type(task.func).__name__)
        span: Span = tracer.start_span(f"BackgroundTask {name}")
        before, context = get_current(), set_span_in_context(span)
        attach(context)
    except Exception as error:  # noqa: BLE001 - promise: the application's task runs
        diagnostics.report("asgi-task", f"a background task goes without a span: {type(error).__name__}: {error}")
        return None
    return span, before, context


def _end_task(_task: Any, begun: tuple[Span, Context, Context] | None) -> None:
    if begun is None:
        return
    span, before, context = begun
    try:
        error = _raised_by(sys._getframe(1))  # noqa: SLF001 - as in _leave
        if isinstance(error, Exception):
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end()
    except Exception as trouble:  # noqa: BLE001 - promise: the application's task ends as it does without us
        diagnostics.report("asgi-task", f"a background task is not told of: {type(trouble).__name__}: {trouble}")
    if get_current() is context:
        attach(before)
