"""What stands in the SDK's providers: processors that give each record to `Delivery`, in place of an exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from clew.delivery.endpoints import is_otlp, make_transport
from clew.delivery.file_exporters import ClewFileLogExporter, ClewFileSpanExporter
from clew.delivery.sdk import entry_from_sdk, fields_of
from clew.otel_variables import otlp_protocol
from clew.settings import process_environment

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from clew.delivery.pipeline import Delivery
    from clew.delivery.transport import Encoding


class ClewSpanProcessor(SpanProcessor):
    """Queues each sampled span when it ends."""

    takes_span = True
    """`on_end` may be given the ended span itself: `correlation.sdk_spans`."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._put = delivery.put_span

    def on_end(self, span: ReadableSpan) -> None:
        """Queue what the span holds, so that its own objects end with the request: fewer for the garbage collector."""
        context = span.context
        if context is not None and context[3] & 1:
            self._put(fields_of(span))

    def shutdown(self) -> None:
        """Flush, within `CLEW_SHUTDOWN_TIMEOUT`."""
        self._delivery.shutdown(self._delivery.settings.shutdown_timeout_s)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver or store what is queued."""
        return self._delivery.flush(timeout_millis / 1000)


class ClewLogRecordProcessor(LogRecordProcessor):
    """Queues each log record made through the OpenTelemetry API; the program's own come to `Delivery` directly."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue the record."""
        self._delivery.put_log(entry_from_sdk(cast("ReadableLogRecord", log_record)))

    def shutdown(self) -> None:
        """Flush, within `CLEW_SHUTDOWN_TIMEOUT`."""
        self._delivery.shutdown(self._delivery.settings.shutdown_timeout_s)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver or store what is queued."""
        return self._delivery.flush(timeout_millis / 1000)


class _JoinedLogRecordProcessor(LogRecordProcessor):
    """Stands for one more destination of records that another processor queues."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the interface's
        """Do nothing."""
        return True


def make_span_processor(exporter: SpanExporter, delivery: Delivery) -> SpanProcessor:
    """Return the processor of an exporter: Clew's for OTLP and for files, upstream's batch processor for all others."""
    known = delivery.has_route("traces")
    if not _add_route("traces", exporter, delivery, is_file=isinstance(exporter, ClewFileSpanExporter)):
        return BatchSpanProcessor(exporter)
    return SpanProcessor() if known else ClewSpanProcessor(delivery)


def make_log_record_processor(exporter: LogRecordExporter, delivery: Delivery) -> LogRecordProcessor:
    """Return the processor of an exporter, as `make_span_processor` does."""
    known = delivery.has_route("logs")
    if not _add_route("logs", exporter, delivery, is_file=isinstance(exporter, ClewFileLogExporter)):
        return BatchLogRecordProcessor(exporter)
    return _JoinedLogRecordProcessor() if known else ClewLogRecordProcessor(delivery)


def _add_route(signal: str, exporter: object, delivery: Delivery, *, is_file: bool) -> bool:
    """Give `signal` the destination of `exporter`; False if the exporter has to send for itself."""
    if is_file:
        delivery.add_files(signal)
        return True
    if not is_otlp(exporter):
        return False
    transport = make_transport(exporter, signal, encoding=chosen_encoding(signal))
    if transport is None:
        return False
    delivery.add_collector(signal, transport)
    return True


def chosen_encoding(signal: str) -> Encoding:
    """Return the encoding that the protocol's variable names."""
    return "json" if otlp_protocol(process_environment(), signal) == "http/json" else "protobuf"
