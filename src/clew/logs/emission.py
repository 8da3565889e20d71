"""Captured records through the SDK's logger provider, for processors and exporters that are not Clew's.

Delivery takes a `LogEntry` directly, at a fraction of the cost; this way is for a provider that has other processors
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context

from clew import schema
from clew.correlation.origin import with_baggage

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.entry import LogEntry


def make_emitter() -> Callable[[LogEntry], None]:
    """Make a sink that emits captured records through the logger provider in force."""
    loggers: dict[str, _logs.Logger] = {}

    def emit(entry: LogEntry) -> None:
        name = entry.scope if isinstance(entry.scope, str) else entry.scope.name
        logger = loggers.get(name)
        if logger is None:
            logger = loggers[name] = _logs.get_logger(name)
        logger.emit(_record(entry))

    return emit


def _record(entry: LogEntry) -> LogRecord:
    """Make the SDK's record; it has the entry's IDs and never those of the context that happens to be current."""
    return LogRecord(
        timestamp=entry.time_ns,
        context=_context(entry),
        severity_text=entry.severity_text,
        severity_number=SeverityNumber(entry.severity_number),
        body=entry.body,
        attributes=_attributes(entry),
        event_name=entry.event_name,
    )


def _context(entry: LogEntry) -> Context:
    """Make a context that holds the entry's span and correlation ID, as a processor would find them."""
    span = trace.NonRecordingSpan(
        trace.SpanContext(
            entry.trace_id, entry.span_id, is_remote=False, trace_flags=trace.TraceFlags(entry.trace_flags)
        )
    )
    context = trace.set_span_in_context(span, Context())
    return with_baggage(entry.correlation_id, context) if entry.correlation_id else context


def _attributes(entry: LogEntry) -> dict[str, Any]:
    """Return every attribute of the entry: the caller's, and those that its other fields hold."""
    found: dict[str, Any] = dict(entry.attributes or {})
    if entry.code is not None:
        keys = (schema.CODE_FILE_PATH, schema.CODE_FUNCTION_NAME, schema.CODE_LINE_NUMBER)
        found.update(zip(keys, entry.code, strict=True))
    if entry.thread is not None:
        found.update(zip((schema.THREAD_ID, schema.THREAD_NAME), entry.thread, strict=True))
    if entry.exception is not None:
        keys_of_exception = (
            schema.EXCEPTION_TYPE,
            schema.EXCEPTION_MESSAGE,
            schema.EXCEPTION_STACKTRACE,
            schema.ERROR_FINGERPRINT,
        )
        found.update(zip(keys_of_exception, entry.exception, strict=True))
    found[schema.CORRELATION_ID] = entry.correlation_id
    found[schema.LOG_RECORD_UID] = entry.uid
    return {key: value for key, value in found.items() if value is not None}
