"""Batches to OTLP JSON, one request per line: what files hold, and what the Collector's file exporter writes too.

The mapping is protobuf's JSON mapping with OTLP's own exceptions: hex IDs, enums as numbers
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). 64-bit numbers are strings, bytes base64.
"""

from __future__ import annotations

from base64 import b64encode
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import orjson

from clew.bounded import items_of
from clew.delivery import value as values
from clew.delivery.encoding import MAX_NAMES, Codec, Encoded, Encoder, count_points, encode_message
from clew.delivery.sdk import dropped_of
from clew.delivery.transcode import line_from_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData

    from clew.delivery.attributes import Redactor
    from clew.entry import LogEntry, Scope

_LOCAL_FLAGS: Final = 0x100
_REMOTE_FLAGS: Final = 0x300
_UINT64_END: Final = 2**64

_NAMES: Final = {
    "logs": (b"resourceLogs", b"scopeLogs", b"logRecords"),
    "traces": (b"resourceSpans", b"scopeSpans", b"spans"),
}


def encode_metrics(data: MetricsData, *, redact: Redactor | None = None) -> Encoded:
    """Encode metrics as one line, by way of upstream's message."""
    count = count_points(data)
    try:
        return Encoded(line_from_message(encode_message(data, redact)), count, 0)
    except Exception:  # noqa: BLE001 - whatever a data point holds, the caller goes on
        return Encoded(b'{"resourceMetrics":[]}\n', 0, count)


class JsonEncoder(Encoder):
    """OTLP JSON, put together from encoded parts so that a pair is encoded once and not once per record."""

    pair_separator = b","

    def __init__(self, redact: Redactor | None) -> None:
        super().__init__(redact)
        self._severities: dict[tuple[int, str], bytes] = {}
        self._names: dict[tuple[str, int], bytes] = {}

    def key(self, key: object) -> bytes:
        """Encode the key of an attribute."""
        return b'{"key":%b,"value":' % string(key if isinstance(key, str) else values.key(key))

    def pair(self, encoded_key: bytes, value: object) -> bytes:
        """Encode one attribute."""
        if value.__class__ is str:
            return b'%b{"stringValue":%b}}' % (encoded_key, string(value))
        return encoded_key + orjson.dumps(any_value(value)) + b"}"

    def log(self, entry: LogEntry) -> bytes:
        """Encode a LogRecord."""
        time_ns, number, text, _, body, event, trace_id, span_id, flags, _, _, _, _, _, _, observed_ns, dropped = entry
        observed = _unsigned(time_ns if observed_ns is None else observed_ns)
        parts = [
            b'{"timeUnixNano":"%d","observedTimeUnixNano":"%d"' % (_unsigned(time_ns), observed),
            self._severities.get((number, text)) or self._severity(number, text),
            self._body(body),
            _attributes(self.log_attributes.encode(entry)),
        ]
        if dropped:
            parts.append(b',"droppedAttributesCount":%d' % dropped)
        if flags:
            parts.append(b',"flags":%d' % flags)
        if trace_id:
            parts.append(b',"traceId":"%b"' % _hex(trace_id, 16))
        if span_id:
            parts.append(b',"spanId":"%b"' % _hex(span_id, 8))
        if event:
            parts.append(b',"eventName":' + string(event))
        parts.append(b"}")
        return b"".join(parts)

    def _severity(self, number: int, text: str) -> bytes:
        severity = b',"severityNumber":%d' % number + (b',"severityText":' + string(text) if text else b"")
        if len(self._severities) < MAX_NAMES:
            self._severities[number, text] = severity
        return severity

    def _body(self, body: Any) -> bytes:
        if body.__class__ is str:
            return b',"body":{"stringValue":%b}' % string(self.pairs.text(body))
        return b',"body":' + orjson.dumps(any_value(self.pairs.value(body)))

    def span(self, fields: tuple[Any, ...]) -> bytes:
        """Encode a Span."""
        # fmt: off
        (trace_id, span_id, trace_state, parent_id, is_remote, name, kind, start_ns, end_ns,
         attributes, dropped_attributes, events, dropped_events, links, dropped_links,
         status, description, _, _) = fields
        # fmt: on
        parts = [
            b'{"traceId":"%b","spanId":"%b"' % (_hex(trace_id, 16), _hex(span_id, 8)),
            self._names.get((name, kind)) or self._name(name, kind),
            b',"startTimeUnixNano":"%d","endTimeUnixNano":"%d","flags":%d'
            % (_unsigned(start_ns), _unsigned(end_ns), _REMOTE_FLAGS if is_remote else _LOCAL_FLAGS),
        ]
        if parent_id is not None:
            parts.append(b',"parentSpanId":"%b"' % _hex(parent_id, 8))
        if attributes:
            parts.append(b',"attributes":[%b]' % b",".join(self.pairs.encode(attributes)))
        if status is not None:
            parts.append(self._status(status, description))
        if trace_state:
            parts.append(b',"traceState":' + string(trace_state))
        if events:
            parts.append(b',"events":[%b]' % b",".join([self._event(event) for event in events]))
        if links:
            parts.append(b',"links":[%b]' % b",".join([self._link(link) for link in links]))
        if dropped_attributes or dropped_events or dropped_links:
            counts = (dropped_attributes, dropped_events, dropped_links)
            parts.append(b',"droppedAttributesCount":%d,"droppedEventsCount":%d,"droppedLinksCount":%d' % counts)
        parts.append(b"}")
        return b"".join(parts)

    def _name(self, name: str, kind: int) -> bytes:
        encoded = b',"name":%b,"kind":%d' % (string(self.pairs.text(name)), kind)
        if len(self._names) >= MAX_NAMES:
            self._names.clear()
        self._names[name, kind] = encoded
        return encoded

    def _event(self, event: Any) -> bytes:
        name = string(self.pairs.text(event.name))
        head = b'{"timeUnixNano":"%d","name":%b' % (_unsigned(event.timestamp or 0), name)
        return head + self._attributes(event.attributes) + b"}"

    def _link(self, link: Any) -> bytes:
        context = link.context
        head = b'{"traceId":"%b","spanId":"%b"' % (_hex(context.trace_id, 16), _hex(context.span_id, 8))
        flags = b',"flags":%d}' % (_REMOTE_FLAGS if context.is_remote else _LOCAL_FLAGS)
        return head + self._attributes(link.attributes) + flags

    def _attributes(self, attributes: Mapping[str, Any] | None) -> bytes:
        """Encode the attributes of an event or a link, with how many the SDK's limits cut off."""
        dropped = dropped_of(attributes)
        pairs = _attributes(self.pairs.encode(items_of(attributes)))
        return pairs + b',"droppedAttributesCount":%d' % dropped if dropped else pairs

    def _status(self, status: int, description: str | None) -> bytes:
        code = b'"code":%d' % status if status else b""
        if not description:
            return b',"status":{%b}' % code
        message = b'"message":' + string(self.pairs.text(description))
        return b',"status":{%b}' % b",".join(filter(None, (message, code)))

    def resource_header(self, attributes: Mapping[str, Any], schema_url: str | None) -> bytes:
        """Encode the fields of ResourceLogs and ResourceSpans that are not records."""
        return b'"resource":{%s}' % _attributes(self.pairs.encode(attributes))[1:] + _schema_url(schema_url)

    def scope_header(self, scope: Scope) -> bytes:
        """Encode the fields of ScopeLogs and ScopeSpans that are not records."""
        version = b',"version":' + string(scope.version) if scope.version else b""
        encoded = b'"name":' + string(scope.name) + version + _attributes(self.pairs.encode(scope.attributes))
        return b'"scope":{%s}' % encoded + _schema_url(scope.schema_url)

    def request(self, signal: str, groups: Mapping[bytes, Mapping[bytes, Sequence[bytes]]]) -> bytes:
        """Put one line together."""
        of_resource, of_scope, of_record = _NAMES[signal]
        resources = [
            b'{%s,"%s":[%s]}'
            % (
                resource,
                of_scope,
                b",".join(
                    b'{%s,"%s":[%s]}' % (scope, of_record, b",".join(records)) for scope, records in scopes.items()
                ),
            )
            for resource, scopes in groups.items()
        ]
        return b'{"%s":[%s]}\n' % (of_resource, b",".join(resources))


def string(text: str) -> bytes:
    """Encode `text` as a JSON string."""
    return orjson.dumps(values.text(text))


def any_value(value: object, depth: int = 0) -> dict[str, Any]:
    """Return an AnyValue as what its JSON holds; any object at all goes in."""
    write = _WRITERS.get(value.__class__)
    if write is None:
        return any_value(values.plain(value), depth)
    return write(value, depth)


def _integer(value: int, _depth: int) -> dict[str, Any]:
    number = values.integer(value)
    return {"stringValue": number} if isinstance(number, str) else {"intValue": str(number)}


def _double(value: float, _depth: int) -> dict[str, Any]:
    if isfinite(value):
        return {"doubleValue": value}
    return {"doubleValue": "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"}  # noqa: PLR0124 - NaN alone differs from itself


def _array(value: list[Any] | tuple[Any, ...], depth: int) -> dict[str, Any]:
    if depth >= values.MAX_DEPTH:
        return {"stringValue": values.TOO_DEEP}
    return {"arrayValue": {"values": [any_value(item, depth + 1) for item in value]}}


def _mapping(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if depth >= values.MAX_DEPTH:
        return {"stringValue": values.TOO_DEEP}
    pairs = [{"key": values.key(key), "value": any_value(item, depth + 1)} for key, item in value.items()]
    return {"kvlistValue": {"values": pairs}}


_WRITERS: Final[dict[type, Callable[[Any, int], dict[str, Any]]]] = {
    type(None): lambda _value, _depth: {},
    bool: lambda value, _depth: {"boolValue": value},
    str: lambda value, _depth: {"stringValue": values.text(value)},
    int: _integer,
    float: _double,
    bytes: lambda value, _depth: {"bytesValue": b64encode(value).decode()},
    list: _array,
    tuple: _array,
    dict: _mapping,
}
"""How each type is written."""


def _attributes(pairs: list[bytes]) -> bytes:
    return b',"attributes":[%s]' % b",".join(pairs) if pairs else b""


def _schema_url(schema_url: str | None) -> bytes:
    return b',"schemaUrl":' + string(schema_url) if schema_url else b""


def _hex(number: int, size: int) -> bytes:
    """Return an ID in hex; OverflowError if it does not fit, as in protobuf."""
    return number.to_bytes(size, "big").hex().encode()


def _unsigned(time_ns: int) -> int:
    """Return `time_ns`; OverflowError if it does not fit into 64 unsigned bits, as in protobuf."""
    if not 0 <= time_ns < _UINT64_END:
        raise OverflowError(time_ns)
    return time_ns


_codec: Final = Codec(JsonEncoder)
encode_logs: Final = _codec.encode_logs
encode_spans: Final = _codec.encode_spans
