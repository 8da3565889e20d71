"""Responses carry the correlation header and `traceresponse`, whatever server sends them."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation import propagators
from opentelemetry.instrumentation.asgi import asgi_setter
from opentelemetry.instrumentation.propagators import TraceResponsePropagator
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware, default_response_propagation_setter
from opentelemetry.propagate import extract

from clew.correlation import ids, propagation
from clew.correlation.responses import ClewResponsePropagator
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Span

    from conftest import Bench

NAMES = "traceresponse, x-correlation-id"


@pytest.fixture
def answering(install: Callable[..., Bench]) -> Span:
    """Return the span of a request `req-1`; its context is not attached, as in ASGI's send."""
    span: Span = install().tracer.start_span("server", extract({"x-request-id": "req-1"}))
    return span


def _context(span: Span) -> Context:
    return trace.set_span_in_context(span, Context())


def _traceresponse(span: Span) -> str:
    here = span.get_span_context()
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"


def _ours(inner: Any = None) -> ClewResponsePropagator:
    return ClewResponsePropagator(Settings(), inner)


def test_asgi_message(answering: Span) -> None:
    """An ASGI response gets the headers once, and the program's own list stays as it was for the next response."""
    own = [(b"content-type", b"text/plain")]
    start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": own}
    body: dict[str, Any] = {"type": "http.response.body", "body": b""}

    for message in (start, body):
        _ours().inject(message, _context(answering), asgi_setter)

    expected = {
        b"content-type": b"text/plain",
        b"traceresponse": _traceresponse(answering).encode(),
        b"x-correlation-id": b"req-1",
        b"access-control-expose-headers": NAMES.encode(),
    }
    assert expected == {bytes(name): bytes(value) for name, value in start["headers"]}
    assert ([(b"content-type", b"text/plain")], {"type": "http.response.body", "body": b""}) == (own, body)


@pytest.mark.parametrize("headers", [(), ((b"a", b"b"),), None, iter([(b"a", b"b")])])
def test_asgi_headers_of_any_kind(answering: Span, headers: Any) -> None:
    """The specification allows any iterable of headers, or none."""
    message = {"type": "http.response.start", "headers": headers}

    _ours().inject(message, _context(answering), asgi_setter)

    assert [b"x-correlation-id", b"req-1"] in message["headers"]


def test_wsgi_list(answering: Span) -> None:
    """A WSGI response gets the headers; one that the program has set itself stays alone."""
    headers = [("X-Correlation-ID", "own")]

    _ours().inject(headers, _context(answering), default_response_propagation_setter)

    assert [
        ("X-Correlation-ID", "own"),
        ("traceresponse", _traceresponse(answering)),
        ("Access-Control-Expose-Headers", "traceresponse"),
    ] == headers


def test_mapping_without_a_setter(answering: Span) -> None:
    """Django hands over its response and no setter; what it exposes already is kept."""
    response = {"Access-Control-Expose-Headers": "etag"}

    _ours().inject(response, _context(answering))

    assert {
        "Access-Control-Expose-Headers": f"etag, {NAMES}",
        "traceresponse": _traceresponse(answering),
        "x-correlation-id": "req-1",
    } == response


def test_propagator_of_the_programs_stays(answering: Span) -> None:
    """One that was set before does its part, and ours adds only the correlation header."""
    response: dict[str, str] = {}

    _ours(TraceResponsePropagator()).inject(response, _context(answering))

    assert {
        "traceresponse": _traceresponse(answering),
        "Access-Control-Expose-Headers": NAMES,
        "x-correlation-id": "req-1",
    } == response


def test_outside_nothing_is_added() -> None:
    """A response outside any request stays as it is."""
    response: dict[str, str] = {}

    _ours().inject(response)

    assert {} == response


def test_broken_responses_are_survived(answering: Span) -> None:
    """A response that takes no header goes out without."""
    _ours().inject(object(), _context(answering))


def test_installing_keeps_what_was_set() -> None:
    """Installing composes with a propagator that is set, once, and uninstalling puts it back."""
    own = TraceResponsePropagator()
    propagators.set_global_response_propagator(own)
    try:
        for _ in range(2):
            propagation.install(Settings())
        installed = propagators.get_global_response_propagator()
        propagation.uninstall()

        assert isinstance(installed, ClewResponsePropagator)
        assert own is installed.inner is propagators.get_global_response_propagator()
    finally:
        propagators.set_global_response_propagator(None)


def _get(url: str, correlation_id: str) -> dict[str, str]:
    """Return the headers of a response, lowercased, error or not."""
    request = urllib.request.Request(url, headers={"X-Request-ID": correlation_id})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            received = response.headers
    except urllib.error.HTTPError as error:
        with error:
            received = error.headers
    return {name.lower(): value for name, value in received.items()}


class QuietHandler(WSGIRequestHandler):
    """Serves without a word on stderr."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_raw_wsgi_server(install: Callable[..., Bench]) -> None:
    """A WSGI application behind upstream's middleware answers with the headers, and its constant list does not grow."""
    bench = install()
    constant = [("Content-Type", "text/plain")]

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", constant)
        return [b"ok"]

    middleware = OpenTelemetryMiddleware(application, tracer_provider=bench.provider)
    with make_server("127.0.0.1", 0, middleware, handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        answers = [_get(url, "req-1"), _get(url, "req-2")]
        server.shutdown()
        thread.join()

    assert ["req-1", "req-2"] == [answer["x-correlation-id"] for answer in answers]
    trace_ids = [f"{ids.derive_trace_id(correlation_id):032x}" for correlation_id in ("req-1", "req-2")]
    assert trace_ids == [answer["traceresponse"][3:35] for answer in answers]
    assert [("Content-Type", "text/plain")] == constant


@pytest.fixture
def aiohttp_application(install: Callable[..., Bench]) -> Iterator[tuple[Any, Bench]]:
    """Build an instrumented aiohttp application with a plain, a raising, a failing and a streaming route."""
    from aiohttp import web  # noqa: PLC0415 - slow
    from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor  # noqa: PLC0415

    bench = install()

    async def plain(request: Any) -> Any:
        return web.Response(text="ok")

    async def missing(request: Any) -> Any:
        raise web.HTTPNotFound

    async def stream(request: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"ok")
        return response

    instrumentor = AioHttpServerInstrumentor()
    instrumentor.instrument(tracer_provider=bench.provider)
    try:
        application = web.Application()
        application.router.add_get("/plain", plain)
        application.router.add_get("/missing", missing)
        application.router.add_get("/stream", stream)
        yield application, bench
    finally:
        instrumentor.uninstrument()


@pytest.mark.filterwarnings("ignore:Inheritance class _InstrumentedApplication:DeprecationWarning")
def test_aiohttp_server(aiohttp_application: tuple[Any, Bench]) -> None:
    """Aiohttp's responses carry the ID, whether returned, raised or streamed."""
    from aiohttp import web  # noqa: PLC0415 - slow

    application, _ = aiohttp_application

    async def main() -> list[str]:
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        answers = [
            await asyncio.to_thread(_get, f"http://{host}:{port}/{path}", f"req-{path}")
            for path in ("plain", "missing", "stream")
        ]
        await runner.cleanup()
        return [answer["x-correlation-id"] for answer in answers]

    assert ["req-plain", "req-missing", "req-stream"] == asyncio.run(main())


@pytest.mark.parametrize("own", [None, (("x-own", "1"),), (("x-correlation-id", "own"),)])
def test_grpc_server(install: Callable[..., Bench], own: Any) -> None:
    """A gRPC call ends with the ID in its trailing metadata, beside what the program sets there."""
    import grpc  # noqa: PLC0415 - slow
    from opentelemetry.instrumentation.grpc import server_interceptor  # noqa: PLC0415

    bench = install()

    def answer(request: bytes, context: Any) -> bytes:
        if own is not None:
            context.set_trailing_metadata(own)
        return request

    interceptor = server_interceptor(tracer_provider=bench.provider)
    handler = grpc.method_handlers_generic_handler("test.Echo", {"Say": grpc.unary_unary_rpc_method_handler(answer)})
    server = grpc.server(ThreadPoolExecutor(1), handlers=[handler], interceptors=[interceptor])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            _, call = channel.unary_unary("/test.Echo/Say").with_call(
                b"hi", metadata=[("x-request-id", "req-1")], timeout=10
            )
            received = dict(call.trailing_metadata())
    finally:
        server.stop(None).wait()

    span = bench.spans()["/test.Echo/Say"]
    ids_of_call = {"traceresponse": f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"}
    assert {**ids_of_call, "x-correlation-id": "req-1", **dict(own or ())} == received
    assert ids.derive_trace_id("req-1") == span.context.trace_id


def test_grpc_aio_server(install: Callable[..., Bench]) -> None:
    """An asyncio gRPC server does the same."""
    import grpc  # noqa: PLC0415 - slow
    from opentelemetry.instrumentation.grpc import aio_server_interceptor  # noqa: PLC0415

    provider = install().provider

    async def answer(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> dict[str, str]:
        handler = grpc.method_handlers_generic_handler(
            "test.Echo", {"Say": grpc.unary_unary_rpc_method_handler(answer)}
        )
        server = grpc.aio.server(interceptors=[aio_server_interceptor(tracer_provider=provider)])
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/test.Echo/Say")(b"hi", metadata=(("x-request-id", "req-1"),), timeout=10)
            await call
            received = dict(await call.trailing_metadata())
        await server.stop(None)
        return received

    assert "req-1" == asyncio.run(main())["x-correlation-id"]
