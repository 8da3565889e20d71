"""Send a corpus of requests through Starlette and FastAPI applications; print what was answered and told of them.

python asgi_corpus.py plain|upstream|clew|both

With `both`, Clew's way is there and the program instruments its applications itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from typing import Any

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"

import fastapi
import starlette.applications
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute

from clew.correlation import propagation, tracing
from clew.instrumentations import quiet_asgi
from clew.servers import starlette as frameless
from clew.settings import Settings

tracing.install(Settings())
propagation.install(Settings())
quiet_asgi(Settings())

exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracer_provider = TracerProvider(shutdown_on_exit=False)
tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
providers: dict[str, Any] = {
    "tracer_provider": tracer_provider,
    "meter_provider": MeterProvider([reader], shutdown_on_exit=False),
}
tracer = tracer_provider.get_tracer("inner")
is_upstream = sys.argv[1] in {"upstream", "both"}
if sys.argv[1] in {"clew", "both"}:
    assert frameless.instrument_starlette(starlette.applications, **providers)
    assert frameless.instrument_fastapi(fastapi, **providers)


def item(request):
    with tracer.start_as_current_span("look up"):
        return PlainTextResponse(f"item {request.path_params['number']}")


async def fail(request):
    raise LookupError("no shelf")


async def abort(request):
    raise HTTPException(418, "teapot")


async def handled(request):
    raise KeyError("handled")


async def on_key_error(request, error):
    return PlainTextResponse("handled", 409)


async def busy(request):
    return PlainTextResponse("busy", 503)


async def odd_headers(request):
    return PlainTextResponse("x", 200, headers={"X-Correlation-ID": "mine", "Content-Length": "1"})


async def stream(request):
    async def parts():
        for number in range(3):
            with tracer.start_as_current_span(f"part {number}"):
                yield b"part"

    return StreamingResponse(parts())


async def big(request):
    return PlainTextResponse("x" * 100_000)


def later(failing=False):
    with tracer.start_as_current_span("later"):
        if failing:
            raise ValueError("too late")


async def background(request):
    return PlainTextResponse("soon", background=BackgroundTask(later))


async def backgrounds(request):
    tasks = BackgroundTasks()
    tasks.add_task(later)
    tasks.add_task(later, True)
    return PlainTextResponse("soon", background=tasks)


async def socket(websocket):
    await websocket.accept()
    await websocket.send_text("one")
    await websocket.send_text("two")
    await websocket.close()


ROUTES = [
    Route("/items/{number:int}", item, methods=["GET", "PUT"]),
    Route("/items/{number}", item, methods=["POST"]),
    Route("/fail", fail),
    Route("/abort", abort),
    Route("/handled", handled),
    Route("/busy", busy),
    Route("/headers", odd_headers),
    Route("/stream", stream),
    Route("/big", big),
    Route("/background", background),
    Route("/backgrounds", backgrounds),
    WebSocketRoute("/ws", socket),
    Mount("/files", routes=[Route("/{name}", item, methods=["DELETE"]), Route("/{number}", item)]),
]


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        trace.get_current_span().set_attribute("seen", True)
        return await call_next(request)


def make_starlette():
    inner = starlette.applications.Starlette(routes=[Route("/inner/{x}", abort)])
    app = starlette.applications.Starlette(
        routes=[*ROUTES, Mount("/sub", inner)], exception_handlers={KeyError: on_key_error}
    )
    app.add_middleware(Passing)
    if is_upstream:
        for each in (inner, app):
            StarletteInstrumentor.instrument_app(each, **providers)
    return app


def make_fastapi():
    app = fastapi.FastAPI(exception_handlers={KeyError: on_key_error})
    app.add_middleware(Passing)
    router = fastapi.APIRouter(prefix="/v1")

    @router.get("/things/{thing}")
    async def thing(thing: int) -> dict[str, int]:
        return {"thing": thing}

    @app.get("/typed/{number}")
    def typed(number: int, tasks: fastapi.BackgroundTasks) -> dict[str, int]:
        tasks.add_task(later)
        return {"number": number}

    app.include_router(router)
    app.router.routes.extend(ROUTES)
    inner = fastapi.FastAPI()
    inner.add_api_route("/inner/{x}", lambda x: x)
    app.mount("/sub", inner)
    if is_upstream:
        for each in (inner, app):
            FastAPIInstrumentor.instrument_app(each, **providers)
    return app


def scope_of(method, path, headers=(), **changes):
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 4711), "method": method, "root_path": "", "path": path,
        "raw_path": path.encode(), "query_string": query.encode("latin-1"), "state": {},
        "headers": [(b"host", b"shop.example:8000"), *((n.encode("latin-1"), v.encode("latin-1")) for n, v in headers)],
    }  # fmt: skip
    scope.update(changes)
    return scope


PARENT = ("traceparent", "00-4bf92f3577b34da6c3ce929d0e0e4736-00f067aa0ba902b7-01")
REQUESTS = [
    scope_of("GET", "/items/17"),
    scope_of("GET", "/items/17?a=b&c=%20d"),
    scope_of("PUT", "/items/17", [("content-length", "0")]),
    scope_of("POST", "/items/x", [("content-length", "12"), ("x-correlation-id", "order-1")]),
    scope_of("DELETE", "/items/17"),
    scope_of("FOO", "/items/17"),
    scope_of("get", "/items/17"),
    scope_of("HEAD", "/items/17"),
    scope_of("GET", "/items/17", [PARENT, ("tracestate", "a=b"), ("x-request-id", "r-1")]),
    scope_of("GET", "/items/17", [PARENT, ("x-correlation-id", "order-2"), ("baggage", "x=y")]),
    scope_of("GET", "/absent"),
    scope_of("GET", "/fail"),
    scope_of("GET", "/abort"),
    scope_of("GET", "/handled"),
    scope_of("GET", "/busy"),
    scope_of("GET", "/headers"),
    scope_of("GET", "/stream"),
    scope_of("GET", "/big"),
    scope_of("GET", "/background"),
    scope_of("GET", "/backgrounds"),
    scope_of("GET", "/files/7"),
    scope_of("DELETE", "/files/7"),
    scope_of("PATCH", "/files/7"),
    scope_of("GET", "/sub/inner/7"),
    scope_of("GET", "/sub/none"),
    scope_of("GET", "/v1/things/7"),
    scope_of("GET", "/v1/things/no-number"),
    scope_of("POST", "/v1/things/7"),
    scope_of("GET", "/typed/7"),
    scope_of("GET", "/docs"),
    scope_of("GET", "/items/17", [("user-agent", "curl/8"), ("user-agent", "second")]),
    scope_of("GET", "/items/17", [("User-Agent", "Mozilla Googlebot/2.1")]),
    scope_of("GET", "/items/17", [("user-agent", "alwayson")]),
    scope_of("GET", "/items/17", [("user-agent", "")]),
    scope_of("GET", "/items/17", scheme="https", server=("shop", 443), http_version="2"),
    scope_of("GET", "/items/17", server=("127.0.0.1", 80), client=None),
    scope_of("GET", "/items/17", server=("::1", 8000), client=("::1", 0)),
    scope_of("GET", "/items/17", server=None, client=("", 7)),
    scope_of("GET", "/items/17", headers=[]),
    scope_of("GET", "/api/items/17", root_path="/api"),
    scope_of("", "/ws", type="websocket", scheme="ws"),
    scope_of("", "/nows", type="websocket", scheme="ws"),
]


async def answer(app, scope):
    """Return what the application sends: kinds, statuses and names of headers; and what it raises."""
    scope = {**scope, "headers": list(scope["headers"]), "state": {}}
    if scope["type"] == "websocket":
        scope.pop("method")
        scope["subprotocols"] = []
    waiting = [{"type": "websocket.connect"}] if scope["type"] == "websocket" else [{"type": "http.request"}]
    sent: list[Any] = []

    async def receive():
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message):
        await asyncio.sleep(0)
        names = sorted(name.decode() for name, _ in message.get("headers", ()))
        sent.append((message["type"], message.get("status"), names, len(message.get("body", b""))))

    try:
        await app(scope, receive, send)
    except Exception as error:
        sent.append([repr(error), [line.split(", line")[0] for line in traceback.format_exception(error)]])
    assert trace.get_current_span() is trace.INVALID_SPAN
    return sent


def spans():
    finished = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in finished}
    exporter.clear()
    return sorted(
        [
            span.name, span.kind.name, names.get(span.parent.span_id, "remote") if span.parent else None,
            span.status.status_code.name, sorted((k, v) for k, v in span.attributes.items() if k != "correlation.id"),
            [(event.name, event.attributes["exception.type"]) for event in span.events],
            (span.instrumentation_scope.name, span.instrumentation_scope.version, span.instrumentation_scope.schema_url),
        ]
        for span in finished
    )  # fmt: skip


def points():
    found = []
    data = reader.get_metrics_data()
    for scope in data.resource_metrics[0].scope_metrics if data else ():
        for metric in scope.metrics:
            for point in metric.data.data_points:
                value = [getattr(point, "count", None), getattr(point, "value", None)]
                if metric.unit == "By":
                    value.append(point.sum)
                found.append([scope.scope.name, metric.name, metric.unit, sorted(point.attributes.items()), value])
    return sorted(found)


async def main():
    result = {}
    for name, app in (("starlette", make_starlette()), ("fastapi", make_fastapi())):
        for scope in REQUESTS:
            sent = await answer(app, scope)
            await asyncio.sleep(0)
            headers = [(n.decode(), v.decode("latin-1")) for n, v in scope["headers"]]
            key = f"{name} {scope['method']} {scope['path']} {headers} {scope['server']} {scope['client']}"
            result[f"{key} {scope['query_string']}"] = [sent, spans()]
        with suppress_http_instrumentation():
            result[f"{name} suppressed"] = [await answer(app, REQUESTS[0]), spans()]
    print(json.dumps({"requests": result, "points": points()}))


asyncio.run(main())
