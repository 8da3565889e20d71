"""Correlation installed as the distribution installs it, on a provider of the test's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew.correlation import context, origin, propagation, tracing
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan, Tracer


@dataclass(frozen=True)
class Bench:
    """A tracer and what it exported."""

    provider: TracerProvider
    tracer: Tracer
    exporter: InMemorySpanExporter

    def spans(self) -> dict[str, ReadableSpan]:
        """Return the finished spans by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture(autouse=True)
def _clean_context() -> Iterator[None]:
    """Start and end each test outside any request, with nothing installed."""
    attach(Context())
    yield
    attach(Context())
    tracing.uninstall()
    propagation.uninstall()
    context.adopt(None)
    origin.configure(None)


@pytest.fixture
def install() -> Callable[..., Bench]:
    """Return a function that installs correlation with the settings and the provider options that it gets."""

    def build(settings: Settings | None = None, **options: Any) -> Bench:
        chosen = settings or Settings()
        tracing.install(chosen)
        propagation.install(chosen)
        provider = TracerProvider(shutdown_on_exit=False, **options)
        exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return Bench(provider, provider.get_tracer("test"), exporter)  # type: ignore[arg-type]

    return build
