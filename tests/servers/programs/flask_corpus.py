"""Send a corpus of requests through a Flask application; print what was answered and told of them.

python flask_corpus.py plain|upstream|clew
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import traceback

os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
way = sys.argv[1]

from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew import repeated_work
from clew.correlation import propagation, responses, tracing
from clew.settings import Settings

if way != "plain":
    tracing.install(Settings())
    propagation.install(Settings())
    responses.install(Settings())
if way == "clew":
    repeated_work.install(os.environ)

import flask

exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracer_provider = TracerProvider(shutdown_on_exit=False)
tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = tracer_provider.get_tracer("inner")
hooked: list[object] = []
if way != "plain":
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    FlaskInstrumentor().instrument(
        tracer_provider=tracer_provider,
        meter_provider=MeterProvider([reader], shutdown_on_exit=False),
        request_hook=lambda span, environ: hooked.append(("request", environ["PATH_INFO"])),
        response_hook=lambda span, status, headers: hooked.append(("response", status)),
    )

app = flask.Flask("shop")
inner = flask.Flask("stock")


@app.get("/items/<int:number>")
def item(number):
    with tracer.start_as_current_span("look up"):
        return f"item {number}"


@app.route("/any", methods=["GET", "POST", "PUT"])
def anything():
    return flask.request.get_data(as_text=True)


@app.get("/fail")
def fail():
    raise LookupError("no shelf")


@app.get("/exit")
def leave():
    raise SystemExit(3)


@app.get("/abort")
def abort():
    flask.abort(418)


@app.get("/busy")
def busy():
    return "busy", 503


@app.get("/headers")
def headers():
    return "x", 200, {"X-Correlation-ID": "mine"}


@app.get("/redirect")
def redirect():
    return flask.redirect("/items/1")


@app.get("/stream")
def stream():
    def parts():
        for number in range(2):
            with tracer.start_as_current_span(f"part {number}"):
                yield f"part {number}"

    return flask.Response(parts())


@app.get("/stream-in-context")
def stream_in_context():
    def parts():
        for number in range(2):
            with tracer.start_as_current_span(f"part {number}"):
                yield f"part {number} of {flask.request.path}"

    return flask.Response(flask.stream_with_context(parts()))


@app.get("/thread")
def in_thread():
    @flask.copy_current_request_context
    def work():
        with tracer.start_as_current_span("in a thread"):
            found.append(flask.request.path)

    found: list[str] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with tracer.start_as_current_span("after it"):
        return found[0]


@app.get("/within")
def within():
    answered = inner.wsgi_app(
        {**flask.request.environ, "PATH_INFO": "/stock"}, lambda status, headers: lambda data: None
    )
    text = b"".join(answered)
    with tracer.start_as_current_span("after it"):
        return text


@inner.get("/stock")
def stock():
    with tracer.start_as_current_span("count"):
        return "many"


@app.get("/commenter")
def commenter():
    told = context.get_value("SQLCOMMENTER_ORM_TAGS_AND_VALUES") or {}
    return (
        " ".join(sorted(f"{name}={text}" for name, text in told.items() if name != "framework"))
        if way != "plain"
        else "controller=commenter route=/commenter"
    )


@app.errorhandler(418)
def teapot(error):
    return "teapot", 418


@app.before_request
def refuse():
    if flask.request.path == "/refused":
        return "refused", 403


PARENT = ("traceparent", "00-4bf92f3577b34da6c3ce929d0e0e4736-00f067aa0ba902b7-01")
REQUESTS = [
    ("GET", "/items/17", []),
    ("GET", "/items/17?a=b&c=%20d", []),
    ("HEAD", "/items/17", []),
    ("POST", "/any", [("content-length", "3")]),
    ("FOO", "/any", []),
    ("get", "/any", []),
    ("GET", "/items/17", [PARENT, ("tracestate", "a=b"), ("x-request-id", "r-1")]),
    ("GET", "/items/17", [PARENT, ("x-correlation-id", "order-2"), ("baggage", "x=y")]),
    ("GET", "/items/17", [("x-correlation-id", "order-3")]),
    ("GET", "/items/17", [("user-agent", "Mozilla Googlebot/2.1")]),
    ("GET", "/absent", []),
    ("GET", "/fail", []),
    ("GET", "/exit", []),
    ("GET", "/abort", []),
    ("GET", "/busy", []),
    ("GET", "/headers", []),
    ("GET", "/redirect", []),
    ("GET", "/stream", []),
    ("GET", "/stream-in-context", []),
    ("GET", "/thread", []),
    ("GET", "/within", []),
    ("GET", "/commenter", []),
    ("GET", "/refused", []),
    ("GET", "/static/none", []),
]


def environ_of(method, path, headers):
    path, _, query = path.partition("?")
    named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers if name != "content-length"}
    return {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "RAW_URI": path, "SCRIPT_NAME": "",
        "SERVER_NAME": "shop.example", "SERVER_PORT": "8000", "HTTP_HOST": "shop.example:8000",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "4711", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"abc"), "wsgi.errors": io.StringIO(), "CONTENT_LENGTH": "3", **named,
    }  # fmt: skip


def answer(method, path, headers):
    """Return status, names of headers, body, and what is raised."""
    sent: list[object] = []
    try:
        body = app(
            environ_of(method, path, headers),
            lambda status, names, error=None: sent.extend([status, sorted(name.lower() for name, _ in names)]),
        )
        sent.append(b"".join(body).decode())
        body.close()
    except BaseException as error:
        shown = traceback.extract_tb(error.__traceback__)
        sent.append(
            [
                type(error).__name__,
                str(error),
                [
                    frame.name
                    for frame in shown
                    if "opentelemetry" not in frame.filename and "clew" not in frame.filename
                ],
            ]
        )
    return sent


def masked(value):
    """Return an attribute, an ID that was made by chance as such."""
    return "by chance" if isinstance(value, str) and len(value) == 32 else value


def told(span):
    context_of = span.context
    return [
        span.name, span.kind.name, bool(span.parent and span.parent.is_remote), span.status.status_code.name,
        span.status.description, sorted((key, masked(value)) for key, value in span.attributes.items()),
        [(event.name, event.attributes.get("exception.message")) for event in span.events], span.instrumentation_scope.name,
        dict(context_of.trace_state),
    ]  # fmt: skip


def tree(spans):
    """Return each span with the name of its parent and whether all are of one trace."""
    names = {span.context.span_id: span.name for span in spans}
    return [[*told(span), names.get(span.parent.span_id) if span.parent else None] for span in spans]


def points():
    data = reader.get_metrics_data() if way != "plain" else None
    return sorted(
        [
            metric.name,
            metric.unit,
            sorted(map(list, point.attributes.items())),
            getattr(point, "count", getattr(point, "value", None)),
        ]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    )


def main():
    app.config["PROPAGATE_EXCEPTIONS"] = False
    result = {}
    for propagates in (False, True):
        app.config["PROPAGATE_EXCEPTIONS"] = propagates
        app.logger.disabled = True
        for method, path, headers in REQUESTS:
            exporter.clear()
            hooked.clear()
            sent = answer(method, path, headers)
            left = trace.get_current_span() is trace.INVALID_SPAN
            result[f"{propagates} {method} {path} {headers}"] = [
                sent,
                tree(exporter.get_finished_spans()),
                list(hooked),
                left,
            ]
    exporter.clear()
    with app.test_request_context("/items/5"):
        app.preprocess_request()
        with tracer.start_as_current_span("in a context"):
            pass
    result["test_request_context"] = [[], tree(exporter.get_finished_spans()), [], True]
    return {"requests": result, "points": points()}


print(json.dumps(main(), sort_keys=True))
