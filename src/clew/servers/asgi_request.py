"""One ASGI request's span and metrics, from its beginning to its end.

A span ends when the last part of the response is given to the server. One whose response says that the server failed
ends with the application, whose exception it then has, at the time when the response did; so does one whose last part
is larger than what the server takes without making the application wait.
"""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, get_current
from opentelemetry.instrumentation import asgi, propagators
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.http import normalise_request_header_name, normalise_response_header_name

from clew import diagnostics
from clew.correlation.responses import ClewResponsePropagator
from clew.latency import overhead
from clew.logs.stacktrace import type_name
from clew.servers.asgi_attributes import active_attributes, duration_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from opentelemetry.trace import Span

    from clew.servers.asgi_attributes import Attributes, Scope

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Any]

_UNFAILED: Final = range(100, 500)
"""Statuses that say of no failure of the server's."""

_WEBSOCKET_STATUS: Final = 200
"""What upstream says of a websocket that the application has sent something on."""

_BUFFERED: Final = 65_536
"""Bytes that asyncio's transports take without making the sender wait (`set_write_buffer_limits`)."""

_asgi: Final[Any] = asgi
_propagators: Final[Any] = propagators
"""Upstream's modules, which have no types."""


_current: ContextVar[Request | None] = ContextVar("clew_asgi_request", default=None)


def current() -> Request | None:
    """Return the request that is being answered here."""
    return _current.get()


class Request:
    """Telemetry of one request; `send` stands between the application and the server."""

    __slots__ = (
        "_active",
        "_attributes",
        "_before",
        "_completed",
        "_context",
        "_is_complete",
        "_is_failed",
        "_is_http",
        "_middleware",
        "_outer",
        "_request_size",
        "_response_size",
        "_scope",
        "_send",
        "_span",
        "_started_s",
    )

    def __init__(self, middleware: Any, scope: Scope, send: Send, span: Span, attributes: Attributes) -> None:
        """Tell of the request of `scope` by `span`, which has begun, and by the instruments of `middleware`."""
        self._middleware = middleware
        self._scope = scope
        self._send = send
        self._span = span
        self._attributes = attributes
        self._active = active_attributes(attributes)
        self._is_http = scope["type"] == "http"
        self._is_complete = False
        self._is_failed = False
        self._completed: tuple[float, int] | None = None
        self._response_size: bytes | None = None

    def begin(self, context: Context, before: Context, size: bytes | None, started_s: float) -> None:
        """Count the request as active and make its span current, in `context`; `before` is what `end` goes back to."""
        self._before = before
        self._request_size = size
        self._started_s = started_s
        if self._is_http:
            self._middleware.active_requests_counter.add(1, self._active)
        span: Any = self._span
        if span.is_recording():
            # A sampler may have dropped what the span was started with.
            if next(iter(self._attributes), "") not in span.attributes:
                span.set_attributes(self._attributes)
            self._capture(self._scope, "request", normalise_request_header_name)
        self._context = set_span_in_context(span, context)
        attach(self._context)
        self._outer = _current.get()
        _current.set(self)

    def send(self, message: Message) -> Any:
        """Note a message of the application's, and return what sending it returns: no frame of ours waits for that."""
        try:
            self._note(message)
        except Exception as error:  # noqa: BLE001 - promise: the application's response goes out
            diagnostics.report("asgi-response", f"a response is not told of: {type(error).__name__}: {error}")
        return self._send(message)

    @overhead.requests.measure_whole
    def _note(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            if not message.get("more_body", False):
                self._complete(len(message.get("body", b"")))
        elif kind in {"http.response.start", "websocket.http.response.start"}:
            self._respond(message)
        elif kind == "websocket.send" and "http.response.status_code" not in self._attributes:
            _asgi.set_status_code(self._span, _WEBSOCKET_STATUS, self._attributes, _StabilityMode.HTTP)

    def _respond(self, message: Message) -> None:
        """Take note of how a response begins, and put the IDs on it."""
        status = message["status"]
        span = self._span
        if type(status) is int and status in _UNFAILED:
            self._attributes["http.response.status_code"] = status
            span.set_attribute("http.response.status_code", status)
        else:
            self._is_failed = True
            _asgi.set_status_code(span, status, self._attributes, _StabilityMode.HTTP)
        self._capture(message, "response", normalise_response_header_name)
        for name, value in message.get("headers") or ():
            if name.lower() == b"content-length":
                self._response_size = value
        propagator = _propagators.get_global_response_propagator()
        if type(propagator) is ClewResponsePropagator and propagator.inner is None:
            propagator.add_to_asgi(message, span)
        elif propagator is not None:
            propagator.inject(message, context=set_span_in_context(span, Context()), setter=_asgi.asgi_setter)

    def _capture(self, holder: Message, side: str, normalise: Callable[[str], str]) -> None:
        """Put the headers on the span that the user wants there."""
        wanted = getattr(self._middleware, f"http_capture_headers_server_{side}")
        if wanted and self._span.is_recording() and getattr(self._span, "kind", None) is SpanKind.SERVER:
            sanitize = self._middleware.http_capture_headers_sanitize_fields
            self._span.set_attributes(_asgi.collect_custom_headers_attributes(holder, sanitize, wanted, normalise))

    def _complete(self, size: int) -> None:
        """End the span with the response, or note when that was where the end has to wait."""
        self._is_complete = True
        if size <= _BUFFERED:
            self._completed = perf_counter(), time_ns()
            if not self._is_failed:
                self._span.end(self._completed[1])

    def release(self) -> None:
        """End the span of a response that is complete: what the application does from now on is not the request's."""
        if self._is_complete:
            self._completed = self._completed or (perf_counter(), time_ns())
            self._end_span(None)

    @overhead.requests.measure_whole
    def end(self, error: BaseException | None) -> None:
        """End the request, whose application has returned or raised `error`. Never raises."""
        try:
            self._end_span(error)
            if self._is_http:
                self._measure()
        except Exception as trouble:  # noqa: BLE001 - promise: the application's request ends as it does without us
            diagnostics.report("asgi-end", f"a request is not told of: {type(trouble).__name__}: {trouble}")
        finally:
            # Ended elsewhere, as an abandoned coroutine is, there is nothing of ours to leave.
            if get_current() is self._context:
                attach(self._before)
                _current.set(self._outer)

    def _end_span(self, error: BaseException | None) -> None:
        span = self._span
        if not span.is_recording():
            return
        if isinstance(error, Exception):
            if "http.response.status_code" not in self._attributes:
                self._attributes["error.type"] = type_name(type(error))
                span.set_attribute("error.type", self._attributes["error.type"])
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end(self._completed[1] if self._completed is not None else None)

    def _measure(self) -> None:
        """Record how long the request took, and how large it and its response were."""
        middleware, attributes = self._middleware, duration_attributes(self._attributes)
        ended_s = self._completed[0] if self._completed is not None else perf_counter()
        middleware.duration_histogram_new.record(max(ended_s - self._started_s, 0.0), attributes, context=self._context)
        middleware.active_requests_counter.add(-1, self._active)
        _record_size(middleware.server_response_body_size_histogram, self._response_size, attributes, self._context)
        _record_size(middleware.server_request_body_size_histogram, self._request_size, attributes, self._context)


def _record_size(histogram: Any, size: bytes | None, attributes: Attributes, context: Context) -> None:
    """Record a `Content-Length`, if it is a number."""
    if size is not None and size.isdigit():
        histogram.record(int(size), attributes, context=context)
