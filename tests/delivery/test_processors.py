"""Processors hand records to the pipeline for exporters that it replaces, and leave all other exporters to upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pipelines import connect, make_delivery, make_entry, outcomes, stored_records

from clew.delivery.file_exporters import ClewFileLogExporter, ClewFileSpanExporter
from clew.delivery.processors import (
    ClewLogRecordProcessor,
    ClewSpanProcessor,
    make_log_record_processor,
    make_span_processor,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from receiver import Receiver


def test_spans(receiver: Receiver, tmp_path: Path) -> None:
    """Sampled spans arrive, unsampled ones do not; force_flush and shutdown deliver."""
    delivery = make_delivery(tmp_path)
    processor = make_span_processor(OTLPSpanExporter(f"{receiver.http_endpoint}/v1/traces"), delivery)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")

    with tracer.start_as_current_span("sampled"):
        pass
    unsampled = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(0))
    with tracer.start_as_current_span("not", trace.set_span_in_context(trace.NonRecordingSpan(unsampled))):
        pass
    assert provider.force_flush()
    assert ["sampled"] == [span.name for span in receiver.spans]
    with tracer.start_as_current_span("last"):
        pass
    provider.shutdown()
    assert ["sampled", "last"] == [span.name for span in receiver.spans]
    delivery.close(1)


def test_logs(receiver: Receiver, tmp_path: Path) -> None:
    """Records made through the Logs API arrive as they were made."""
    delivery = make_delivery(tmp_path)
    provider = LoggerProvider(shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"{receiver.http_endpoint}/v1/logs")
    provider.add_log_record_processor(make_log_record_processor(exporter, delivery))

    logger = provider.get_logger("api", "1.0")
    logger.emit(
        body="said", severity_number=SeverityNumber.WARN, severity_text="WARN", attributes={"nested": {"a": [1]}}
    )
    assert provider.force_flush()

    (record,) = receiver.logs
    assert ("said", 13, "WARN", {"nested": {"a": [1]}}, "api") == (
        record.body,
        record.severity_number,
        record.severity_text,
        record.attributes,
        record.scope,
    )
    provider.shutdown()
    delivery.close(1)


def test_both(receiver: Receiver, tmp_path: Path) -> None:
    """`otlp,clew_file` gives each record to both, once each, from one queue."""
    delivery = make_delivery(tmp_path)
    provider = TracerProvider(shutdown_on_exit=False)
    exporters = (OTLPSpanExporter(f"{receiver.http_endpoint}/v1/traces"), ClewFileSpanExporter())
    for exporter in exporters:
        provider.add_span_processor(make_span_processor(exporter, delivery))
    with provider.get_tracer("test").start_as_current_span("both"):
        pass
    provider.shutdown()

    assert ["both"] == [span.name for span in receiver.spans]
    assert {"traces": 1} == stored_records(tmp_path)
    assert {("traces", "delivered", ""): 2} == outcomes(delivery)
    delivery.close(1)


def test_both_in_an_outage(receiver: Receiver, tmp_path: Path) -> None:
    """What waits for the Collector is not moved into the files, which have it already."""
    delivery = make_delivery(tmp_path)
    delivery.add_files("logs")
    connect(delivery, receiver)
    receiver.stop()
    delivery.put_log(make_entry("both"))
    assert delivery.flush(5)
    assert {"logs": 2} == stored_records(tmp_path)
    receiver.start()
    receiver.wait_for(lambda it: it.logs)
    receiver.wait_for(lambda _: {"logs": 1} == stored_records(tmp_path))
    delivery.close(1)

    assert {"logs": 1} == stored_records(tmp_path)


def test_both_logs(tmp_path: Path) -> None:
    """The second destination of log records queues nothing by itself."""
    delivery = make_delivery(tmp_path)
    first, second = (make_log_record_processor(ClewFileLogExporter(), delivery) for _ in range(2))
    second.on_emit(None)  # type: ignore[arg-type]  # it looks at nothing

    assert (True, False) == (isinstance(first, ClewLogRecordProcessor), isinstance(second, ClewLogRecordProcessor))
    assert 0 == delivery.queue_depths()["logs"]
    assert second.force_flush()


def test_other_exporters(tmp_path: Path) -> None:
    """Exporters that Clew does not replace are given to upstream's batch processors."""
    delivery = make_delivery(tmp_path)
    spans = make_span_processor(InMemorySpanExporter(), delivery)
    logs = make_log_record_processor(InMemoryLogRecordExporter(), delivery)

    assert (BatchSpanProcessor, BatchLogRecordProcessor) == (type(spans), type(logs))
    spans.shutdown()
    logs.shutdown()


def test_unknown_release(receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An exporter of a release that hides its endpoint sends for itself, behind upstream's processor."""
    exporter = OTLPSpanExporter(f"{receiver.http_endpoint}/v1/traces")
    kept = vars(exporter).pop("_compression")
    processor = make_span_processor(exporter, make_delivery(tmp_path))

    assert (BatchSpanProcessor, False) == (type(processor), isinstance(processor, ClewSpanProcessor))
    assert "without a spool" in capfd.readouterr().err
    exporter._compression = kept
    processor.shutdown()
