"""Processors that take secrets out before another exporter than Clew's gets a span or a log record."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Status

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import Span

    from clew.logs.redaction import Redactor


class RedactingSpanProcessor(SpanProcessor):
    """Gives each ended span, without its secrets, to one other processor; the span itself stays as it is."""

    def __init__(self, target: SpanProcessor, redactor: Redactor) -> None:
        self._target = target
        self._redactor = redactor

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand the span on."""
        self._target.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand on a copy of the span without its secrets."""
        self._target.on_end(redact_span(span, self._redactor))

    def shutdown(self) -> None:
        """Shut the other processor down."""
        self._target.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other processor."""
        return self._target.force_flush(timeout_millis)


class RedactingLogRecordProcessor(LogRecordProcessor):
    """Gives each log record, without its secrets, to one other processor; the record itself stays as it is."""

    def __init__(self, target: LogRecordProcessor, redactor: Redactor) -> None:
        self._target = target
        self._redactor = redactor

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Hand on a copy of the record without its secrets."""
        self._target.on_emit(redact_log_record(log_record, self._redactor))

    def shutdown(self) -> None:
        """Shut the other processor down."""
        self._target.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other processor."""
        return self._target.force_flush(timeout_millis)


def guard_spans(processor: SpanProcessor, redactor: Redactor) -> SpanProcessor:
    """Return `processor`, made to redact if it is upstream's: Clew's own redacts on the thread that delivers."""
    if not isinstance(processor, BatchSpanProcessor):
        return processor
    return RedactingSpanProcessor(processor, redactor)


def guard_logs(processor: LogRecordProcessor, redactor: Redactor) -> LogRecordProcessor:
    """Return `processor`, made to redact if it is upstream's, as `guard_spans` does."""
    if not isinstance(processor, BatchLogRecordProcessor):
        return processor
    return RedactingLogRecordProcessor(processor, redactor)


def redact_span(span: ReadableSpan, redactor: Redactor) -> ReadableSpan:
    """Return a copy of `span` without secrets in name, status, attributes, events, links and resource."""
    status = span.status
    return ReadableSpan(
        name=redactor.text(span.name),
        context=span.context,
        parent=span.parent,
        resource=_redact_resource(span.resource, redactor),
        attributes=redactor.attributes(span.attributes or {}),
        events=[
            Event(redactor.text(event.name), redactor.attributes(event.attributes or {}), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context, redactor.attributes(link.attributes or {})) for link in span.links],
        kind=span.kind,
        status=Status(status.status_code, redactor.text(status.description)) if status.description else status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def redact_log_record(record: ReadWriteLogRecord, redactor: Redactor) -> ReadWriteLogRecord:
    """Return a copy of `record` without secrets in body, attributes and resource."""
    redacted, inner = copy.copy(record), copy.copy(record.log_record)
    inner.body = redactor.value(inner.body)
    inner.attributes = redactor.attributes(inner.attributes or {})
    redacted.log_record = inner
    if record.resource is not None:
        redacted.resource = _redact_resource(record.resource, redactor)
    return redacted


def _redact_resource(resource: Resource, redactor: Redactor) -> Resource:
    attributes = redactor.attributes(resource.attributes)
    return resource if attributes is resource.attributes else Resource(attributes, resource.schema_url)
