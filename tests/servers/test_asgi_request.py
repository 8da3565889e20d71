"""When an ASGI request's span ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context, attach, get_current
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew.servers.asgi import AsgiTelemetry
from clew.servers.asgi_request import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.servers.asgi_request import Request

SCOPE = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "server": ("shop", 80), "headers": []}
LARGE = b"x" * 100_000


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Hold the spans that have ended."""
    return InMemorySpanExporter()


@pytest.fixture
def request_begun(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Request]:
    """Begin a request of an application of no use."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    attach(Context())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider(shutdown_on_exit=False)

    async def application(*_: Any) -> None: ...

    middleware: Any = OpenTelemetryMiddleware(application, tracer_provider=provider, meter_provider=meters)
    begun = AsgiTelemetry(middleware, lambda _: ("GET /", {})).begin(dict(SCOPE), lambda message: message)
    assert begun is not None
    yield begun
    begun.end(None)


def _send(request: Request, status: int, *bodies: bytes) -> None:
    request.send({"type": "http.response.start", "status": status, "headers": []})
    for index, body in enumerate(bodies, 1):
        request.send({"type": "http.response.body", "body": body, "more_body": index < len(bodies)})


@pytest.mark.parametrize(
    ("status", "bodies", "ends"),
    [
        (200, (b"a",), [1, 1, 1]),
        (200, (LARGE, b""), [1, 1, 1]),
        (200, (LARGE,), [0, 1, 1]),
        (503, (b"a",), [0, 1, 1]),
        (200, (), [0, 0, 1]),
    ],
    ids=["answered", "streamed", "large", "failed", "unanswered"],
)
def test_span_ends_once(
    request_begun: Request, exporter: InMemorySpanExporter, status: int, bodies: tuple[bytes, ...], ends: list[int]
) -> None:
    """With the response; a large or failed one when the application goes on to a background task; at last with it."""
    counts = []
    _send(request_begun, status, *bodies)
    counts.append(len(exporter.get_finished_spans()))
    request_begun.release()
    counts.append(len(exporter.get_finished_spans()))
    request_begun.end(None)
    counts.append(len(exporter.get_finished_spans()))

    assert ends == counts


def test_exception_without_a_response(request_begun: Request, exporter: InMemorySpanExporter) -> None:
    """An exception that no response tells of is on the span, with its qualified type."""
    request_begun.end(LookupError("no shelf"))

    (span,) = exporter.get_finished_spans()
    assert ("LookupError", "LookupError: no shelf") == (
        dict(span.attributes or {})["error.type"],
        span.status.description,
    )
    assert ["exception"] == [event.name for event in span.events]


def test_context_is_given_back(request_begun: Request) -> None:
    """While the request lasts its span is current; afterwards what was current before is."""
    assert (request_begun, True) == (current(), bool(get_current()))

    request_begun.end(None)

    assert (None, Context()) == (current(), get_current())


def test_odd_messages_go_out(request_begun: Request) -> None:
    """What is no message by the specification goes to the server all the same."""
    assert [{"type": "http.response.start"}, {"kind": 1}] == [
        request_begun.send({"type": "http.response.start"}),
        request_begun.send({"kind": 1}),
    ]
