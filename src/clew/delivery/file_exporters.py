"""The exporters behind the name `clew_file`: they stand for the destination, Clew's processors do the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan


class ClewFileSpanExporter(SpanExporter):
    """Chosen by `OTEL_TRACES_EXPORTER=clew_file`; without Clew's configurator it exports nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the interface's
        """Fail: only Clew's configurator gives spans to files."""
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Do nothing."""


class ClewFileLogExporter(LogRecordExporter):
    """Chosen by `OTEL_LOGS_EXPORTER=clew_file`; without Clew's configurator it exports nothing."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:  # noqa: ARG002 - the interface's
        """Fail: only Clew's configurator gives log records to files."""
        return LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 10_000) -> bool:  # noqa: ARG002 - the interface's
        """Do nothing."""
        return True
