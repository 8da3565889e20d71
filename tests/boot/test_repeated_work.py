"""What upstream does several times is done once, and gives the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os
if {ours}:
    from clew import repeated_work
    repeated_work.install(os.environ)
from opentelemetry.util.http import sanitize_method
from opentelemetry.instrumentation import wsgi
environ = {{"HTTP_X_TENANT": "a", "HTTP_ACCEPT": "b"}}
print([sanitize_method(method) for method in ("GET", "get", "BREW", None, "GET")])
print(wsgi.collect_custom_request_headers_attributes(environ))
print(wsgi.collect_custom_response_headers_attributes([("x-tenant", "a"), ("x-tenant", "b")]))
"""


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Tenant"},
        {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "x-.*"},
        {"OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": "true"},
    ],
    ids=lambda environ: next(iter(environ), "none"),
)
def test_what_is_captured_is_upstreams(environ: dict[str, str]) -> None:
    """Methods and headers come out the same, whatever is asked for."""

    def output(*, ours: bool) -> str:
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(ours=ours)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout

    assert output(ours=False) == output(ours=True)


FLASK = """
import os
if {ours}:
    from clew import repeated_work
    repeated_work.install(os.environ)
import flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
FlaskInstrumentor().instrument(tracer_provider=provider)
app = flask.Flask("shop")
app.add_url_rule("/orders/<int:number>", view_func=lambda number: str(number), endpoint="order")
app.add_url_rule("/health", view_func=lambda: "well", endpoint="health")
client = app.test_client()
for path in ("/orders/1", "/orders/2?q=1", "/health", "/absent", "/orders/1"):
    client.get(path, headers={{"X-Tenant": "a"}})
for span in spans.get_finished_spans():
    print(span.name, span.kind, sorted(span.attributes.items()))
"""


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SEMCONV_STABILITY_OPT_IN": "http"},
        {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "health"},
        {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Tenant"},
    ],
    ids=lambda environ: next(iter(environ), "none"),
)
def test_spans_of_flask_are_upstreams(environ: dict[str, str]) -> None:
    """The same requests give the same spans, whichever are excluded or captured."""

    def output(*, ours: bool) -> list[str]:
        command = [sys.executable, "-W", "ignore", "-c", FLASK.format(ours=ours)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.splitlines()

    upstream = output(ours=False)
    assert len(upstream) == (4 if "OTEL_PYTHON_FLASK_EXCLUDED_URLS" in environ else 5)
    assert upstream == output(ours=True)
