"""The IDs on responses: the correlation header and `traceresponse`, from whatever server answers.

Flask, Django, ASGI and all that builds on them call the global response propagator. aiohttp, raw WSGI and gRPC do
not, and Tornado's is lost where the response becomes an error page: hooks in their instrumentations add the same, as
headers or as trailing metadata. A header that the program sets itself stays.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current
from opentelemetry.instrumentation import propagators
from opentelemetry.instrumentation.propagators import ResponsePropagator, default_setter
from opentelemetry.trace import get_current_span, set_span_in_context

from clew import diagnostics
from clew.correlation import ids
from clew.correlation.context import MARK, correlation_id_in
from clew.correlation.origin import correlation_headers
from clew.correlation.patches import Patches, guarded
from clew.importing import when_imported
from clew.tracebacks import seamless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from clew.settings import Settings

TRACE_HEADER: Final = "traceresponse"
EXPOSE_HEADER: Final = "Access-Control-Expose-Headers"
_ASGI_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})
_REQUEST_KEY: Final = "clew_context"
_patches: Final = Patches()
_upstream: Final[Any] = propagators
"""The module that holds the global response propagator; it has no types."""


class ClewResponsePropagator(ResponsePropagator):
    """Writes the first correlation header and `traceresponse`, and lets a browser's script read both.

    One that the program had set before runs first and keeps `traceresponse` to itself. Never raises.
    """

    def __init__(self, settings: Settings, inner: ResponsePropagator | None = None) -> None:
        """Add to what `inner` writes."""
        self.inner = inner
        self._header = next(iter(correlation_headers(settings)), None)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Add the headers of the span in `context` to a response."""
        if self.inner is not None:
            self.inner.inject(carrier, context, setter)
        try:
            self._add(carrier, get_current() if context is None else context, setter)
        except Exception as error:  # noqa: BLE001 - the application's response goes out in any case
            diagnostics.report(
                "correlation-response", f"a response goes without its ID: {type(error).__name__}: {error}"
            )

    def _add(self, carrier: Any, context: Context, setter: Any) -> None:
        if isinstance(carrier, MutableMapping) and "type" in carrier:
            if carrier["type"] not in _ASGI_STARTS:
                return
            # The program may send the same list with each response, or no list at all.
            carrier["headers"] = list(carrier.get("headers") or ())
        present = _names(carrier)
        headers = {name: value for name, value in self.headers(context).items() if name not in present}
        for name, value in headers.items():
            setter.set(carrier, name, value)
        if headers:
            setter.set(carrier, EXPOSE_HEADER, ", ".join(headers))

    def add_to_asgi(self, message: MutableMapping[str, Any], span: Span) -> None:
        """Do what `inject` does, for a message that starts a response, from the span alone. Only without an `inner`."""
        headers = message["headers"] = list(message.get("headers") or ())
        present = {name.lower() for name, _ in headers}
        added = {name: text for name, text in self._of_span(span).items() if name.encode() not in present}
        headers += [(name.encode(), text.encode()) for name, text in added.items()]
        if added:
            headers.append((EXPOSE_HEADER.lower().encode(), ", ".join(added).encode()))

    def add_to_wsgi(self, headers: list[tuple[str, str]], span: Span) -> None:
        """Do it for the headers of a WSGI response, likewise."""
        present = {name.lower() for name, _ in headers}
        added = {name: text for name, text in self._of_span(span).items() if name not in present}
        headers += added.items()
        if added:
            headers.append((EXPOSE_HEADER, ", ".join(added)))

    def _of_span(self, span: Span) -> dict[str, str]:
        """Return the headers of a span, its correlation ID being the one that it was marked with."""
        context = span.get_span_context()
        found = {TRACE_HEADER: _traceresponse(context)} if context.is_valid else {}
        correlation_id = getattr(span, MARK, None) or (ids.trace_id_hex(context.trace_id) if found else None)
        if correlation_id and self._header:
            found[self._header] = correlation_id
        return found

    def headers(self, context: Context) -> dict[str, str]:
        """Return the headers that belong to `context`."""
        found: dict[str, str] = {}
        span = get_current_span(context).get_span_context()
        if span.is_valid and self.inner is None:
            found[TRACE_HEADER] = _traceresponse(span)
        correlation_id = correlation_id_in(context)
        if correlation_id and self._header:
            found[self._header] = correlation_id
        return found


def _traceresponse(span: SpanContext) -> str:
    trace_id, span_id, _, flags, _, _ = span
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def install(settings: Settings) -> None:
    """Set the global response propagator, over one that is set, and hook the servers that have none. Idempotent."""
    if _ours() is None:
        _upstream.set_global_response_propagator(
            ClewResponsePropagator(settings, _upstream.get_global_response_propagator())
        )
    if not _State.hooked:
        _State.hooked = True
        when_imported("opentelemetry.instrumentation.wsgi", _hook_wsgi)
        when_imported("opentelemetry.instrumentation.aiohttp_server", _hook_aiohttp)
        when_imported("opentelemetry.instrumentation.tornado", _hook_tornado)
        when_imported("opentelemetry.instrumentation.grpc._server", _hook_grpc)
        when_imported("opentelemetry.instrumentation.grpc._aio_server", _hook_grpc_aio)


def uninstall() -> None:
    """Put back the response propagator that was there; the servers' hooks then add nothing."""
    ours = _ours()
    if ours is not None:
        _upstream.set_global_response_propagator(ours.inner)


class _State:
    """Whether the servers' hooks are set; they stay, and ask for the propagator each time."""

    hooked = False


def _ours() -> ClewResponsePropagator | None:
    current = _upstream.get_global_response_propagator()
    return current if isinstance(current, ClewResponsePropagator) else None


def _names(carrier: Any) -> set[str]:
    """Return the names of the headers that a response has: an ASGI message, a WSGI list or a mapping."""
    headers = carrier
    if isinstance(carrier, Mapping) and isinstance(carrier.get("headers"), list):
        headers = carrier["headers"]
    pairs: Iterable[tuple[Any, Any]] = headers if isinstance(headers, list) else getattr(headers, "items", tuple)()
    return {(name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower() for name, _ in pairs}


def _hook_wsgi(module: Any) -> None:
    """Let the raw WSGI middleware's `start_response` add the headers."""
    original = module.OpenTelemetryMiddleware._create_start_response  # noqa: SLF001 - no public place knows the headers

    def create(span: Span, start_response: Callable[..., Any], *rest: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any, **options: Any) -> Any:
            ours = _ours()
            if ours is not None:
                headers = list(headers)
                ours.inject(headers, set_span_in_context(span), module.default_response_propagation_setter)
            return start_response(status, headers, *more, **options)

        return original(span, start, *rest)

    module.OpenTelemetryMiddleware._create_start_response = staticmethod(create)  # noqa: SLF001 - likewise


def _hook_aiohttp(module: Any) -> None:
    """Let each response of an instrumented application add the headers before they are sent.

    The hooks are plain functions that return the original's coroutine: they are over before it runs.
    """
    from aiohttp import web, web_request  # noqa: PLC0415 - only where its instrumentation is loaded

    make_middleware = module.create_aiohttp_middleware

    def create(*args: Any, **kwargs: Any) -> Any:
        return web.middleware(_remembering(seamless(make_middleware(*args, **kwargs))))

    module.create_aiohttp_middleware = create
    # Runs for every response, streamed and raised ones too; there is no public place that does.
    prepare = web_request.Request._prepare_hook  # noqa: SLF001 - likewise
    web_request.Request._prepare_hook = _adding(prepare)  # type: ignore[method-assign]  # noqa: SLF001 - likewise


def _remembering(middleware: Callable[..., Any]) -> Callable[..., Any]:
    """Return upstream's `middleware`, whose handler leaves the Context of the span on the request."""

    def remember(request: Any, handler: Callable[..., Any]) -> Any:
        def handle(request: Any) -> Any:
            _storage(request)[_REQUEST_KEY] = get_current()
            return handler(request)

        return middleware(request, handle)

    return remember


def _storage(request: Any) -> Any:
    """Return the mapping behind an aiohttp request: the request itself warns of keys that are plain text."""
    return getattr(request, "_state", request)


def _adding(prepare: Callable[..., Any]) -> Callable[..., Any]:
    """Return aiohttp's `prepare`, which adds the headers first."""

    def hook(request: Any, response: Any) -> Any:
        ours, context = _ours(), _storage(request).get(_REQUEST_KEY)
        if ours is not None and context is not None:
            ours.inject(response.headers, context)
        return prepare(request, response)

    return hook


def _hook_tornado(module: Any) -> None:
    """Let each response add the headers when it is sent: an error page begins without those set before."""
    from tornado import web  # noqa: PLC0415 - only where its instrumentation is loaded

    begin = module._start_span  # noqa: SLF001 - no public place knows the span of a handler

    def start_span(tracer: Any, handler: Any, *rest: Any, **options: Any) -> Any:
        activated = begin(tracer, handler, *rest, **options)
        setattr(handler, _REQUEST_KEY, set_span_in_context(activated.span))
        return activated

    module._start_span = start_span  # noqa: SLF001 - likewise
    _patches.weave(web.RequestHandler, "flush", before=_add_to_tornado)


@guarded
def _add_to_tornado(handler: Any, *_: object) -> None:
    """Add the headers that a handler's response does not have yet, before they are written."""
    ours, context = _ours(), getattr(handler, _REQUEST_KEY, None)
    if ours is not None and context is not None and not handler._headers_written:  # noqa: SLF001 - no public place
        ours.inject(handler._headers, context)  # noqa: SLF001 - the mapping behind set_header


def _hook_grpc(module: Any) -> None:
    _hook_trailing_metadata(module._OpenTelemetryServicerContext, "_servicer_context")  # noqa: SLF001 - no public place


def _hook_grpc_aio(module: Any) -> None:
    _hook_trailing_metadata(module._OpenTelemetryAioServicerContext, "__wrapped__")  # noqa: SLF001 - no public place


def _hook_trailing_metadata(owner: Any, inner: str) -> None:
    """Let the instrumentation's servicer context add the IDs to the trailing metadata that the program sets, if any."""
    initialize = owner.__init__

    def __init__(self: Any, servicer_context: Any, active_span: Span) -> None:  # noqa: N807 - it takes the place of one
        initialize(self, servicer_context, active_span)
        set_trailing_metadata(self, ())

    def set_trailing_metadata(self: Any, trailing_metadata: Any) -> Any:
        return getattr(self, inner).set_trailing_metadata(_with_trailing(trailing_metadata))

    owner.__init__ = __init__
    owner.set_trailing_metadata = set_trailing_metadata


def _with_trailing(metadata: Any) -> Any:
    """Return a call's trailing metadata with the current IDs; what the program set under the same key stays."""
    ours = _ours()
    if ours is None:
        return metadata
    try:
        present = {key for key, _ in metadata or ()}
        headers = ours.headers(get_current())
    except Exception as error:  # noqa: BLE001 - the application's metadata goes out in any case
        diagnostics.report("correlation-response", f"a response goes without its ID: {type(error).__name__}: {error}")
        return metadata
    return (*(metadata or ()), *((name, value) for name, value in headers.items() if name not in present))
