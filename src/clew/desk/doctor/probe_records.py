"""One span, one log record and one metric point as OTLP requests, in JSON and in protobuf, and what the answer says.

Each request is put together field by field: the desk does without OpenTelemetry's message classes.
Source: opentelemetry-proto 1.x, `trace.proto`, `logs.proto`, `metrics.proto` and their collector services.
"""

from __future__ import annotations

import secrets
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

SERVICE: Final = "clew-doctor"
MESSAGE: Final = "clew doctor: probe"
METRIC: Final = "clew.doctor.probe"

_SEVERITY_INFO: Final = 9
_KIND_INTERNAL: Final = 1
_REJECTED: Final = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}
_VARINT, _FIXED64, _BYTES = 0, 1, 2


@dataclass(frozen=True)
class Probe:
    """What the three records share, so that they can be found as one."""

    trace_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    span_id: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    time_ns: int = field(default_factory=time.time_ns)

    def body(self, signal: str, protocol: str) -> bytes:
        """Return the request of a signal in the encoding of a protocol."""
        return self._json(signal) if protocol == "http/json" else self._protobuf(signal)

    def _json(self, signal: str) -> bytes:
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}
        scope, now = {"name": SERVICE}, str(self.time_ns)
        ids = {"traceId": self.trace_id.hex(), "spanId": self.span_id.hex()}
        point = {"timeUnixNano": now, "asInt": "1"}
        span = {**ids, "name": MESSAGE, "kind": _KIND_INTERNAL, "startTimeUnixNano": now, "endTimeUnixNano": now}
        text = {"severityNumber": _SEVERITY_INFO, "severityText": "INFO", "body": {"stringValue": MESSAGE}}
        record = {**ids, **text, "timeUnixNano": now, "observedTimeUnixNano": now}
        metric = {"name": METRIC, "unit": "1", "gauge": {"dataPoints": [point]}}
        names: dict[str, tuple[str, str, str, dict[str, Any]]] = {
            "traces": ("resourceSpans", "scopeSpans", "spans", span),
            "logs": ("resourceLogs", "scopeLogs", "logRecords", record),
            "metrics": ("resourceMetrics", "scopeMetrics", "metrics", metric),
        }
        resources, scopes, items, item = names[signal]
        return orjson.dumps({resources: [{"resource": resource, scopes: [{"scope": scope, items: [item]}]}]})

    def _protobuf(self, signal: str) -> bytes:
        attribute = _message(1, _text(1, "service.name") + _message(2, _text(1, SERVICE)))
        item = {"traces": self._span, "logs": self._log, "metrics": self._metric}[signal]()
        scoped = _message(1, _text(1, SERVICE)) + _message(2, item)
        return _message(1, _message(1, attribute) + _message(2, scoped))

    def _span(self) -> bytes:
        ids = _message(1, self.trace_id) + _message(2, self.span_id)
        return ids + _text(5, MESSAGE) + _number(6, _KIND_INTERNAL) + _fixed(7, self.time_ns) + _fixed(8, self.time_ns)

    def _log(self) -> bytes:
        said = _number(2, _SEVERITY_INFO) + _text(3, "INFO") + _message(5, _text(1, MESSAGE))
        ids = _message(9, self.trace_id) + _message(10, self.span_id)
        return _fixed(1, self.time_ns) + said + ids + _fixed(11, self.time_ns)

    def _metric(self) -> bytes:
        point = _fixed(3, self.time_ns) + _fixed(6, 1)
        return _text(1, METRIC) + _text(3, "1") + _message(5, _message(1, point))


def rejection(signal: str, protocol: str, answer: bytes) -> tuple[int, str]:
    """Return how many records a request's answer says were rejected, and why; 0 and nothing where it is no answer."""
    try:
        return _json_rejection(signal, answer) if protocol == "http/json" else _protobuf_rejection(answer)
    except (ValueError, IndexError):
        return 0, ""


def _json_rejection(signal: str, answer: bytes) -> tuple[int, str]:
    document = orjson.loads(answer or b"{}")
    partial = document.get("partialSuccess") if isinstance(document, dict) else None
    if not isinstance(partial, dict):
        return 0, ""
    return int(partial.get(_REJECTED[signal]) or 0), str(partial.get("errorMessage") or "")


def _protobuf_rejection(answer: bytes) -> tuple[int, str]:
    """Read `partial_success`: field 1, whose field 1 is the count and field 2 the message, in all three services."""
    partial = dict(_fields(answer)).get(1, b"")
    inner = dict(_fields(partial)) if isinstance(partial, bytes) else {}
    count, message = inner.get(1, 0), inner.get(2, b"")
    text = message.decode(errors="replace") if isinstance(message, bytes) else ""
    return count if isinstance(count, int) else 0, text


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Split a message into its varint and length-delimited fields.

    Raises:
        ValueError: If another kind of field is in it.
        IndexError: If it ends early.
    """
    found: list[tuple[int, int | bytes]] = []
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        value, place = _read_varint(data, place)
        if tag & 7 == _BYTES:
            found.append((tag >> 3, data[place : place + value]))
            place += value
        elif tag & 7 == _VARINT:
            found.append((tag >> 3, value))
        else:
            raise ValueError("a field that no answer has")
    return found


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 0x7F) << shift, shift + 7, place + 1
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more bytes follow
            return value, place


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3 | _VARINT) + _varint(value)


def _fixed(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3 | _FIXED64) + struct.pack("<Q", value)


def _message(field_number: int, data: bytes) -> bytes:
    return _varint(field_number << 3 | _BYTES) + _varint(len(data)) + data


def _text(field_number: int, text: str) -> bytes:
    return _message(field_number, text.encode())
