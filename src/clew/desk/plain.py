"""Records as plain data and as lines: the JSON that `--json` prints and the text that a person reads."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import click
import orjson

from clew import schema
from clew.desk.terminal import clean
from clew.files.reader.records import ERROR_SEVERITY, UNKNOWN_SERVICE
from clew.files.reader.timestamps import format_local, format_timestamp

if TYPE_CHECKING:
    from clew.entry import Attributes
    from clew.files.reader.records import LogRow, SpanEvent, SpanRecord

_CODE = {"file": schema.CODE_FILE_PATH, "function": schema.CODE_FUNCTION_NAME, "line": schema.CODE_LINE_NUMBER}
_EXCEPTION = {
    "type": schema.EXCEPTION_TYPE,
    "message": schema.EXCEPTION_MESSAGE,
    "stacktrace": schema.EXCEPTION_STACKTRACE,
    "fingerprint": schema.ERROR_FINGERPRINT,
}


def log_data(row: LogRow) -> dict[str, Any]:
    """Return a log record in the form of the console line's schema."""
    attributes = row.attributes
    data = {
        "timestamp": format_timestamp(row.time_ns),
        "level": row.severity_text,
        "logger": row.logger,
        "message": row.message,
        "service": row.service,
        "correlation_id": str(attributes.pop(schema.CORRELATION_ID, None) or ""),
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "trace_flags": f"{row.trace_flags:02x}" if row.trace_id else "",
        "code": _grouped(attributes, _CODE),
        "thread": str(attributes.pop(schema.THREAD_NAME, None) or ""),
        "exception": _exception(attributes),
        "attributes": attributes,
    }
    required = schema.CONSOLE_LINE_SCHEMA["required"]
    return {key: value for key, value in data.items() if value or key in required}


def span_data(span: SpanRecord) -> dict[str, Any]:
    """Return a span with its values decoded."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "service": span.service,
        "name": span.name,
        "kind": span.kind,
        "start": format_timestamp(span.start_ns),
        "duration_s": span.duration_ns / 1e9,
        "status": span.status,
        "status_message": span.status_message,
        "correlation_id": span.correlation_id,
        "attributes": span.attributes,
        "events": [event_data(event) for event in span.events],
    }


def event_data(event: SpanEvent) -> dict[str, Any]:
    """Return an event of a span."""
    return {"time": format_timestamp(event.time_ns), "name": event.name, "attributes": event.attributes}


def as_json(data: Any, *, indent: bool = False) -> str:
    """Write plain data as JSON; bytes come out in base64."""
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(data, default=_fallback, option=options).decode()
    except TypeError:  # a sum that 64 bits do not hold, which orjson refuses
        return json.dumps(data, default=_fallback, indent=2 if indent else None, ensure_ascii=False)


def log_line(row: LogRow, *, colour: bool = False) -> str:
    """Write a log record for a person: time, level, service, logger, message, correlation ID; then its traceback."""
    time = format_local(row.time_ns, digits=3)
    level = f"{row.severity_text:<8}"
    where = " ".join(part for part in (row.service * (row.service != UNKNOWN_SERVICE), row.logger) if part)
    identifier = row.correlation_id or row.trace_id
    parts = [time, level, clean(where), clean(row.message)]
    if colour:
        parts[:3] = [
            click.style(time, dim=True),
            click.style(level, **_style(row.severity_number)),
            click.style(parts[2], dim=True),
        ]
    if identifier:
        parts.append(click.style(f"[{clean(identifier)}]", dim=True) if colour else f"[{clean(identifier)}]")
    line = "  ".join(part for part in parts if part)
    stacktrace = row.attribute(schema.EXCEPTION_STACKTRACE)
    return f"{line}\n{clean(str(stacktrace)).rstrip()}" if stacktrace else line


def _style(severity_number: int) -> dict[str, Any]:
    if severity_number >= ERROR_SEVERITY:
        return {"fg": "red", "bold": True}
    return {"fg": "yellow" if severity_number >= ERROR_SEVERITY - 4 else "green"}


def _grouped(attributes: Attributes, names: dict[str, str]) -> dict[str, Any]:
    """Move attributes into an object of their own."""
    return {key: attributes.pop(name) for key, name in names.items() if attributes.get(name) is not None}


def _exception(attributes: Attributes) -> dict[str, Any]:
    """Move what was raised into an object; a fingerprint without an exception stays an attribute."""
    if not any(attributes.get(name) for name in (schema.EXCEPTION_TYPE, schema.EXCEPTION_STACKTRACE)):
        return {}
    return {"type": "", "message": "", "stacktrace": "", **_grouped(attributes, _EXCEPTION)}


def _fallback(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
