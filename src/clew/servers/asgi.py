"""Server spans and metrics of ASGI requests, without a middleware: nothing of ours is in the application's calls.

What upstream's ASGI middleware makes of a request is made here by two calls, one before the application runs and one
after; they are woven into the framework's own entry point, so no traceback shows them. Spans, metrics, names and scopes
are upstream's.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.propagate import extract
from opentelemetry.trace import INVALID_SPAN, SpanKind

from clew import diagnostics
from clew.correlation.command_spans import without_command
from clew.correlation.context import SPAN_KEY
from clew.correlation.propagation import inbound_headers
from clew.latency import overhead
from clew.servers.asgi_attributes import headers_of, request_attributes, url_of
from clew.servers.asgi_request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.propagators.textmap import Getter

    from clew.servers.asgi_attributes import Headers, Scope
    from clew.servers.asgi_request import Send

    Details = Callable[[Scope], tuple[str, dict[str, Any]]]

_getter: Final[Getter[Any]] = asgi_getter
_TYPES: Final = frozenset({"http", "websocket"})


class AsgiTelemetry:
    """Makes the spans and metrics of one instrumentation's requests."""

    def __init__(self, middleware: Any, details: Details) -> None:
        """Make what `middleware`, one of upstream's, would make.

        Args:
            middleware: Has the tracer, the instruments, the excluded URLs and the headers to capture.
            details: Returns the name of a request's span and its route, as an attribute.
        """
        self._middleware = middleware
        self._details = details
        self._read: tuple[frozenset[str] | None, frozenset[bytes]] = (None, frozenset())

    @overhead.requests.measure_whole
    def begin(self, scope: Scope, send: Send) -> Request | None:
        """Start the span of a request and make it current; None where no telemetry is wanted. Never raises."""
        try:
            if scope["type"] not in _TYPES or (get_current() and not is_http_instrumentation_enabled()):
                return None
            started_s = perf_counter()
            headers = headers_of(scope)
            return None if self._is_excluded(scope, headers) else self._begin(scope, send, headers, started_s)
        except Exception as error:  # noqa: BLE001 - promise: the application's request goes on, whatever its scope holds
            diagnostics.report("asgi-spans", f"a request goes without a span: {type(error).__name__}: {error}")
            return None

    def _begin(self, scope: Scope, send: Send, headers: Headers, started_s: float) -> Request:
        name, route = self._details(scope)
        attributes = {**request_attributes(scope, headers), **route}
        before = get_current()
        context, kind = without_command(before), SpanKind.INTERNAL
        if context.get(SPAN_KEY, INVALID_SPAN) is INVALID_SPAN:
            kind = SpanKind.SERVER
            context = extract(scope, getter=_getter) if self._brings_ids(headers) else Context()
        span = self._middleware.tracer.start_span(name, context, kind=kind, attributes=attributes)
        request = Request(self._middleware, scope, send, span, attributes)
        request.begin(context, before, headers.get(b"content-length"), started_s)
        return request

    def _is_excluded(self, scope: Scope, headers: Headers) -> bool:
        """Return whether the user has excluded this URL; none is built to be compared with nothing."""
        excluded = self._middleware.excluded_urls
        if not getattr(excluded, "_excluded_urls", excluded):
            return False
        return bool(excluded.url_disabled(url_of(scope, headers)))

    def _brings_ids(self, headers: Headers) -> bool:
        """Return whether a request has any of the headers that the propagators read."""
        names = inbound_headers()
        if names is None:
            return True
        if self._read[0] is not names:
            self._read = names, frozenset(name.encode() for name in names)
        return not self._read[1].isdisjoint(headers)
