"""Run one web framework under its instrumentation, ask it for what it has and what it has not, and print its series.

A program of its own, since an instrumentation reads `OTEL_SEMCONV_STABILITY_OPT_IN` once in a process.
"""

# ruff: noqa: PLC0415 - one framework is imported, and none of the others

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

REQUESTS = [("GET", f"/item/{number}") for number in range(50)]
REQUESTS += [("GET", f"/nothing/{number}") for number in range(50)]
REQUESTS += [(f"METHOD{number}", "/item/1") for number in range(50)]


def run_flask() -> None:
    """Run Flask through its test client."""
    import flask
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    FlaskInstrumentor().instrument()
    app = flask.Flask("test")
    app.add_url_rule("/item/<int:number>", view_func=lambda number: "ok", endpoint="item")
    for index, (method, path) in enumerate(REQUESTS):
        app.test_client().open(path, method=method, headers={"Host": f"host{index}.example"})


def run_django() -> None:
    """Run Django through its test client."""
    from django.conf import settings

    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[])
    import django
    from django.http import HttpResponse
    from django.test import Client
    from django.urls import path
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    DjangoInstrumentor().instrument()
    django.setup()
    globals()["urlpatterns"] = [path("item/<int:number>", lambda request, number: HttpResponse("ok"))]
    for index, (method, url) in enumerate(REQUESTS):
        Client().generic(method, url, headers={"Host": f"host{index}.example"})


def run_wsgi() -> None:
    """Run a plain WSGI application."""
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
    from werkzeug.test import Client

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    client = Client(OpenTelemetryMiddleware(application))
    for method, path in REQUESTS:
        client.open(path, method=method)


def run_fastapi() -> None:
    """Run FastAPI in process."""
    import fastapi
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    app = fastapi.FastAPI()
    app.get("/item/{number}")(lambda number: "ok")
    FastAPIInstrumentor.instrument_app(app)
    asyncio.run(ask(app))


def run_starlette() -> None:
    """Run Starlette in process."""
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    app = Starlette(routes=[Route("/item/{number}", lambda request: PlainTextResponse("ok"))])
    StarletteInstrumentor.instrument_app(app)
    asyncio.run(ask(app))


def run_asgi() -> None:
    """Run a plain ASGI application."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    asyncio.run(ask(OpenTelemetryMiddleware(application)))


async def ask(app: Any) -> None:
    """Send the requests to an ASGI application in process."""
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        for index, (method, path) in enumerate(REQUESTS):
            await client.request(method, path, headers={"Host": f"host{index}.example"})


def run_aiohttp() -> None:
    """Run aiohttp's server and client over the loopback interface; its server refuses unknown methods by itself."""
    import aiohttp
    from aiohttp import web
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
    from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor

    AioHttpServerInstrumentor().instrument()
    AioHttpClientInstrumentor().instrument()

    async def item(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/item/{number}", item)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession() as session:
            for method, path in REQUESTS[:100]:
                async with session.request(
                    method, f"http://{runner.addresses[0][0]}:{runner.addresses[0][1]}{path}"
                ) as got:
                    await got.text()
        await runner.cleanup()

    asyncio.run(main())


def main() -> None:
    """Run the framework that the command line names; print its series as JSON."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    trace.set_tracer_provider(TracerProvider())
    globals()[f"run_{sys.argv[1]}"]()
    data = reader.get_metrics_data()
    found = [
        {
            "name": metric.name,
            "unit": metric.unit,
            "attributes": dict(point.attributes),
            "bounds": list(getattr(point, "explicit_bounds", ())),
            "exemplars": len(getattr(point, "exemplars", ())),
        }
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
