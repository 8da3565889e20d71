"""Log lines that are JSON objects, of Clew's console or of another library, to log records in OTLP's form.

Known: Clew's console line, python-json-logger, structlog, loguru's `serialize`, Elastic Common Schema, bunyan, pino and
journald. Their keys are alike enough that a table of names tells them; what no name explains becomes an attribute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from clew import schema
from clew.files.reader import timestamps, tracebacks, values
from clew.files.reader.records import UNKNOWN_SERVICE, LogRow, Origin
from clew.files.reader.severities import severity_of

if TYPE_CHECKING:
    from pathlib import Path

    from clew.files.reader.records import Json

_TIME: Final = ("timestamp", "@timestamp", "time", "ts", "asctime", "datetime", "date")
_LEVEL: Final = ("level", "levelname", "log.level", "severity", "severity_text", "lvl", "loglevel", "levelno")
_MESSAGE: Final = ("message", "msg", "event", "text", "body")
LOGGER_KEYS: Final = ("logger", "log.logger", "logger_name", "loggerName", "name")
_SERVICE: Final = ("service.name", "service", "service_name", "otelServiceName")
_TRACE: Final = ("trace_id", "traceId", "trace.id", "otelTraceID", "traceid")
_SPAN: Final = ("span_id", "spanId", "span.id", "otelSpanID", "spanid")
_FLAGS: Final = ("trace_flags", "traceFlags")
_CORRELATION: Final = (schema.CORRELATION_ID, "correlation_id", "correlationId", "request_id", "x_correlation_id")
_STACKTRACE: Final = ("exc_info", "exception", "error.stack_trace", "stack_trace", "stacktrace", "err.stack")
_ERROR_TYPE: Final = ("error.type", "err.type")
_ERROR_MESSAGE: Final = ("error.message", "err.message")

_JOURNAL: Final = {
    "__REALTIME_TIMESTAMP": "timestamp",
    "MESSAGE": "message",
    "SYSLOG_IDENTIFIER": "logger",
    "_HOSTNAME": "host.name",
    "_PID": "process.pid",
}
_PRIORITIES: Final = {
    str(number): name
    for number, name in enumerate(("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"))
}

_HEX_IDS: Final = {"traceId": re.compile(r"[0-9a-fA-F]{32}"), "spanId": re.compile(r"[0-9a-fA-F]{16}")}
_CODE: Final = {
    "file": schema.CODE_FILE_PATH,
    "function": schema.CODE_FUNCTION_NAME,
    "line": schema.CODE_LINE_NUMBER,
}


class JsonLogs:
    """Turns JSON log objects of one file into records; lines with the same service and logger share an origin."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._origins: dict[tuple[str, str], Origin] = {}

    def record(self, document: Json, received_ns: int | None = None) -> LogRow | None:
        """Make a record of one object, or None if it is no log line: neither a message nor a level with a time.

        Args:
            document: The object; it is consumed.
            received_ns: When a container's runtime received the line, for a line that does not say itself.
        """
        if isinstance(document.get("record"), dict) and "text" in document:
            document = _from_loguru(document)
        elif "__REALTIME_TIMESTAMP" in document:
            document = _from_journal(document)
        time, level, message = (_take(document, names) for names in (_TIME, _LEVEL, _MESSAGE))
        if message is None and (level is None or time is None):
            return None
        time_ns = timestamps.parse_any(time)
        if time is not None and time_ns is None:
            document["timestamp"] = time
        origin = self.origin(_take_word(document, _SERVICE), _take_word(document, LOGGER_KEYS))
        raw = _raw(time_ns or received_ns, level, message, node="hostname" in document)
        _add_ids(raw, document)
        raw["attributes"] = values.encode_attributes(_attributes(document))
        return LogRow(raw, origin)

    def origin(self, service: str, logger: str, form: str = "json") -> Origin:
        """Return the origin of a service's logger, the same object each time."""
        key = (service, logger)
        if key not in self._origins:
            name = service or UNKNOWN_SERVICE
            resource = {"attributes": values.encode_attributes({"service.name": name})}
            self._origins[key] = Origin({"resource": resource}, {"scope": {"name": logger}}, self._path, form)
        return self._origins[key]


def _raw(time_ns: int | None, level: Any, message: Any, *, node: bool) -> Json:
    """Begin an OTLP log record."""
    raw: Json = {"body": values.encode(message)}
    if time_ns:
        raw["timeUnixNano"] = str(time_ns)
    if level is not None:
        raw["severityNumber"] = severity_of(level, node=node)
        raw["severityText"] = str(level) if isinstance(level, str) else ""
    return raw


def _add_ids(raw: Json, document: Json) -> None:
    """Move trace and span IDs that are well formed from the object to the record; others are left as attributes."""
    for key, names in (("traceId", _TRACE), ("spanId", _SPAN)):
        for name in names:
            value = _find(document, name)
            if isinstance(value, str) and _HEX_IDS[key].fullmatch(value):
                raw[key] = _take(document, (name,))
                break
    flags = _take(document, _FLAGS)
    if isinstance(flags, str) and re.fullmatch(r"[0-9a-fA-F]{2}", flags):
        raw["flags"] = int(flags, 16)


def _attributes(document: Json) -> Json:
    """Name what is left of the object as the semantic conventions do where they have a name."""
    attributes: Json = {}
    correlation_id = _take(document, _CORRELATION)
    if correlation_id is not None:
        attributes[schema.CORRELATION_ID] = str(correlation_id)
    _move_exception(attributes, document)
    code = document.pop("code", None)
    if isinstance(code, dict):
        attributes.update({_CODE.get(key, f"code.{key}"): value for key, value in code.items()})
    if isinstance(document.get("thread"), str):
        attributes[schema.THREAD_NAME] = document.pop("thread")
    own = document.pop("attributes", None)
    attributes.update(document)
    if isinstance(own, dict):
        attributes.update(own)
    elif own is not None:
        attributes["attributes"] = own
    return attributes


def _move_exception(attributes: Json, document: Json) -> None:
    """Move what was raised to `exception.*`: Clew's object, ECS's `error`, or the traceback's text."""
    exception = document.get("exception")
    if isinstance(exception, dict):
        del document["exception"]
        exception = {"stacktrace": exception.get("traceback"), "message": exception.get("value"), **exception}
        _put(attributes, exception.get("type"), exception.get("message"), exception.get("stacktrace"))
        if exception.get("fingerprint"):
            attributes[schema.ERROR_FINGERPRINT] = exception["fingerprint"]
        return
    stacktrace, kind, message = (_take(document, names) for names in (_STACKTRACE, _ERROR_TYPE, _ERROR_MESSAGE))
    text = _stack_text(stacktrace)
    parsed = tracebacks.split_traceback(text)[1] if isinstance(text, str) else None
    if parsed is not None:
        kind, message = kind or parsed.type, message or parsed.message
    _put(attributes, kind, message, text)


def _stack_text(stacktrace: Any) -> Any:
    """Return a traceback as text: it may come as lines, or as structlog's exceptions with their frames."""
    if not isinstance(stacktrace, list):
        return stacktrace
    if any(isinstance(stack, dict) and "exc_type" in stack for stack in stacktrace):
        return tracebacks.of_stacks(stacktrace)
    return "\n".join(map(str, stacktrace))


def _put(attributes: Json, kind: Any, message: Any, stacktrace: Any) -> None:
    pairs = (
        (schema.EXCEPTION_TYPE, kind),
        (schema.EXCEPTION_MESSAGE, message),
        (schema.EXCEPTION_STACKTRACE, stacktrace),
    )
    attributes.update({key: str(value) for key, value in pairs if value and value is not True})


def _from_loguru(document: Json) -> Json:
    """Flatten loguru's `serialize` form."""
    record = dict(document["record"])
    flat: Json = {"message": record.pop("message", document["text"]), "attributes": record.pop("extra", {})}
    level, time = record.pop("level", None), record.pop("time", None)
    flat["level"] = level.get("name") if isinstance(level, dict) else level
    flat["time"] = time.get("timestamp") if isinstance(time, dict) else time
    flat["logger"] = record.pop("name", "")
    file = record.pop("file", None)
    path = file.get("path") if isinstance(file, dict) else file
    flat["code"] = {"file": path, "function": record.pop("function", None), "line": record.pop("line", None)}
    thread = record.pop("thread", None)
    flat["thread"] = thread.get("name") if isinstance(thread, dict) else thread
    if isinstance(record.get("exception"), dict):
        parsed = tracebacks.split_traceback(str(document["text"]))[1]
        flat["exception"] = {**record["exception"], "traceback": parsed.stacktrace if parsed else None}
    return flat


def _from_journal(document: Json) -> Json:
    """Name the fields of `journalctl -o json` as other logs do; its priority is syslog's."""
    flat = {_JOURNAL.get(name, name): value for name, value in document.items()}
    priority = str(flat.pop("PRIORITY", ""))
    if priority in _PRIORITIES:
        flat["level"] = _PRIORITIES[priority]
    return flat


def _take(document: Json, names: tuple[str, ...]) -> Any:
    """Remove and return the first of the names that is there; a dotted name may be one key or a path."""
    for name in names:
        if document.get(name) is not None:
            return document.pop(name)
        parent, _, leaf = name.rpartition(".")
        inner = document.get(parent) if parent else None
        if isinstance(inner, dict) and inner.get(leaf) is not None:
            value = inner.pop(leaf)
            if not inner:
                del document[parent]
            return value
    return None


def _find(document: Json, name: str) -> Any:
    """Return the value under a name as `_take` does, and leave it."""
    parent, _, leaf = name.rpartition(".")
    inner = document.get(parent) if parent else None
    return document.get(name, inner.get(leaf) if isinstance(inner, dict) else None)


def _take_word(document: Json, names: tuple[str, ...]) -> str:
    """Remove and return the first of the names that holds text; empty where none does."""
    name = next((name for name in names if isinstance(_find(document, name), str)), None)
    return _take(document, (name,)) if name is not None else ""
