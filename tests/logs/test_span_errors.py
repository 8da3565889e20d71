"""Span exception events: the same type, text and fingerprint as a log record has, and nothing that can fail."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew.logs import span_errors
from clew.logs.fingerprint import fingerprint_exception

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Tracer

UPSTREAM = Span.record_exception


class OrderError(Exception):
    """An error of the program's own."""


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Return where finished spans go."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[Tracer]:
    """Return a tracer of the SDK while the hook is installed."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span_errors.install()
    yield provider.get_tracer("test")
    span_errors.uninstall()
    provider.shutdown()


def events(exporter: InMemorySpanExporter) -> list[dict[str, object]]:
    """Return the attributes of each exception event, without the stack trace."""
    found = []
    for span in exporter.get_finished_spans():
        for event in span.events:
            attributes = dict(event.attributes or {})
            assert str(attributes.pop("exception.stacktrace", "")).startswith("Traceback")
            found.append(attributes)
    return found


def test_event_of_an_escaping_exception(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    """Each span that an exception leaves tells of it with one fingerprint."""

    def order() -> None:
        with tracer.start_as_current_span("inner"):
            raise OrderError("order", 42)

    with pytest.raises(OrderError, match="42") as caught, tracer.start_as_current_span("outer"):
        order()

    assert (
        events(exporter)
        == [
            {
                "exception.type": f"{__name__}.OrderError",
                "exception.message": "('order', 42)",
                "exception.escaped": "False",
                "error.fingerprint": fingerprint_exception(caught.value),
            }
        ]
        * 2
    )


def test_same_as_upstream(exporter: InMemorySpanExporter, tracer: Tracer) -> None:
    """Save for the fingerprint, the event is upstream's."""
    error = ValueError("x")
    span = tracer.start_span("a")
    span.record_exception(error, {"more": 1}, 17, escaped=True)
    UPSTREAM(span, error, {"more": 1}, 17, escaped=True)
    span.end()
    [(ours, theirs)] = [each.events for each in exporter.get_finished_spans()]

    attributes = dict(ours.attributes or {})
    assert attributes.pop("error.fingerprint") == fingerprint_exception(error)
    assert (dict(theirs.attributes or {}), theirs.timestamp) == (attributes, ours.timestamp)


def test_hostile_exception(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    """An exception that can't be rendered is recorded without a word to the program."""

    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    with tracer.start_as_current_span("a") as span:
        span.record_exception(HostileError())

    [event] = exporter.get_finished_spans()[0].events
    attributes = event.attributes or {}
    assert attributes["exception.type"] == f"{__name__}.test_hostile_exception.<locals>.HostileError"


def test_install_twice(tracer: Tracer) -> None:
    """The hook is set once, has upstream's signature, and can be taken out again."""
    hooked = Span.record_exception
    span_errors.install()

    assert Span.record_exception is hooked
    assert inspect.signature(hooked) == inspect.signature(UPSTREAM)
    span_errors.uninstall()
    assert Span.record_exception is UPSTREAM
