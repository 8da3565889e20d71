"""Every name that Clew writes: attributes, record fields, metrics, file names, and the JSON schema of a console line.

A name stands here and nowhere else. Names of the OpenTelemetry semantic conventions are used where there is one.
"""

from __future__ import annotations

from typing import Any, Final

# Attributes of spans, log records and resources.
CORRELATION_ID: Final = "correlation.id"
ERROR_FINGERPRINT: Final = "error.fingerprint"
ERROR_TYPE: Final = "error.type"
LOG_RECORD_UID: Final = "log.record.uid"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
CODE_FILE_PATH: Final = "code.file.path"
CODE_FUNCTION_NAME: Final = "code.function.name"
CODE_LINE_NUMBER: Final = "code.line.number"
THREAD_ID: Final = "thread.id"
THREAD_NAME: Final = "thread.name"
OPERATION_NAME: Final = "operation.name"
LOG_REPEATED: Final = "clew.log.repeated"
LOG_SANITIZED: Final = "clew.log.sanitized"
EXCEPTION_UNHANDLED: Final = "clew.exception.unhandled"

ATTRIBUTES: Final[dict[str, str]] = {
    CORRELATION_ID: "The ID that follows the request: on every span and every log record",
    ERROR_FINGERPRINT: "Stable hash of an exception's types and call sites; equal for one failure, whatever its values",
    ERROR_TYPE: "Qualified type of the error that ended an operation",
    LOG_RECORD_UID: "Unique ID of a log record, so that a repeat after a replay can be told",
    EXCEPTION_TYPE: "Qualified type of the exception",
    EXCEPTION_MESSAGE: "The exception's own text",
    EXCEPTION_STACKTRACE: "The full traceback: causes, contexts and groups included",
    CODE_FILE_PATH: "Source file of the log call",
    CODE_FUNCTION_NAME: "Function of the log call",
    CODE_LINE_NUMBER: "Line of the log call",
    THREAD_ID: "Identifier of the thread that logged",
    THREAD_NAME: "Name of the thread that logged",
    OPERATION_NAME: "Name given to `clew.timed`",
    LOG_REPEATED: "How many records of the same message this record stands for",
    LOG_SANITIZED: "What was replaced in a record that could not be sent as it was",
    EXCEPTION_UNHANDLED: "Where an exception ended unhandled: process, thread, task, unraisable",
}
"""Each attribute that Clew itself sets, with what it holds; docs/reference/attributes.md is made from it."""

# Fields that a logging format string can name on a LogRecord.
FIELD_CORRELATION_ID: Final = "correlation_id"
FIELD_TRACE_ID: Final = "trace_id"
FIELD_SPAN_ID: Final = "span_id"
FIELD_TRACE_FLAGS: Final = "trace_flags"

RECORD_FIELDS: Final[dict[str, str]] = {
    FIELD_CORRELATION_ID: "The correlation ID, or an empty string",
    FIELD_TRACE_ID: "32 hex digits, or an empty string outside a span",
    FIELD_SPAN_ID: "16 hex digits, or an empty string outside a span",
    FIELD_TRACE_FLAGS: "2 hex digits, or an empty string outside a span",
    "otelTraceID": "As upstream's logging instrumentation: 32 hex digits, or `0`",
    "otelSpanID": "As upstream's: 16 hex digits, or `0`",
    "otelTraceSampled": "As upstream's: True or False",
    "otelServiceName": "As upstream's: the service's name",
}
"""Each field that a format string can name, with what it holds."""

# Headers and carriers.
BAGGAGE_CORRELATION_ID: Final = CORRELATION_ID

# Metrics of Clew's own.
METRIC_OPERATION_DURATION: Final = "clew.operation.duration"
METRIC_DELIVERED: Final = "clew.delivery.records"
METRIC_QUEUE_DEPTH: Final = "clew.delivery.queue.depth"
METRIC_SPOOL_BYTES: Final = "clew.delivery.spool.bytes"
METRIC_SENT_BYTES: Final = "clew.delivery.sent.bytes"
METRIC_OVERHEAD_CPU: Final = "clew.overhead.cpu_time"
METRIC_IDS_REJECTED: Final = "clew.correlation.rejected"

METRICS: Final[dict[str, tuple[str, str]]] = {
    METRIC_OPERATION_DURATION: ("s", "Duration of an operation timed with `clew.timed`"),
    METRIC_DELIVERED: (
        "{record}",
        "Records by `signal`, `outcome` (delivered, spooled, replayed, dropped) and `reason`",
    ),
    METRIC_QUEUE_DEPTH: ("{record}", "Records that wait in memory, by `signal`"),
    METRIC_SPOOL_BYTES: ("By", "Bytes on disk that wait for the Collector"),
    METRIC_SENT_BYTES: ("By", "Bytes sent to the Collector, by `signal`"),
    METRIC_OVERHEAD_CPU: (
        "s",
        "CPU time Clew used, by `component` (delivery, logs, metrics, requests, spans, start)",
    ),
    METRIC_IDS_REJECTED: ("{id}", "Inbound correlation IDs that were not taken, by `reason`"),
}
"""Each metric that Clew itself records: unit and what it counts."""

OUTCOME: Final = "outcome"
REASON: Final = "reason"
SIGNAL: Final = "signal"
COMPONENT: Final = "component"

# Files. Segments of one writer: <signal>-<service>-<pid>-<utc start>.jsonl, and .zst or .gz once closed and compressed.
SIGNALS: Final = ("traces", "metrics", "logs")
SEGMENT_SUFFIX: Final = ".jsonl"
SEGMENT_TIME_FORMAT: Final = "%Y%m%dT%H%M%S%fZ"
SPOOL_FOLDER: Final = "spool"
RETENTION_LOCK: Final = ".retention.lock"

CONSOLE_SCHEMA_ID: Final = "https://clew.example/schema/console-line-1.json"

CONSOLE_LINE_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": CONSOLE_SCHEMA_ID,
    "title": "One log line on the console under CLEW_LOG_FORMAT=json",
    "type": "object",
    "required": ["timestamp", "level", "logger", "message"],
    "properties": {
        "timestamp": {
            "type": "string",
            "format": "date-time",
            "description": "UTC, microseconds, ending in Z",
        },
        "level": {"type": "string", "description": "The level's name as logging has it"},
        "logger": {"type": "string", "description": "The logger's name"},
        "message": {"type": "string", "description": "The formatted message"},
        "service": {"type": "string", "description": "service.name"},
        "correlation_id": {
            "type": "string",
            "description": "The request's correlation ID; absent outside a request",
        },
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Absent outside a span"},
        "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "Absent outside a span"},
        "trace_flags": {"type": "string", "pattern": "^[0-9a-f]{2}$", "description": "Absent outside a span"},
        "code": {
            "type": "object",
            "properties": {
                "file": {"type": "string"},
                "function": {"type": "string"},
                "line": {"type": "integer"},
            },
            "additionalProperties": False,
        },
        "thread": {"type": "string"},
        "exception": {
            "type": "object",
            "required": ["type", "message", "stacktrace"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "stacktrace": {"type": "string"},
                "fingerprint": {"type": "string"},
            },
            "additionalProperties": False,
        },
        "attributes": {
            "type": "object",
            "description": "What the caller gave in `extra`, with its types and nesting",
        },
    },
    "additionalProperties": False,
}
"""JSON Schema of the console line; `trace_id`, `span_id`, `trace_flags` as the specification's page on trace context in
non-OTLP log formats names them."""
