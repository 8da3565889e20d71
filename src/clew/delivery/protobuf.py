"""Batches to OTLP protobuf bytes, written directly: ExportLogsServiceRequest and ExportTraceServiceRequest.

The bytes parse to the message that upstream's encoder makes (opentelemetry/proto/{logs,trace}/v1), at a fraction of
its cost: it builds an object per record, attribute and value, all while it holds the interpreter.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from clew.bounded import items_of
from clew.delivery import wire
from clew.delivery.encoding import MAX_NAMES, Codec, Encoded, Encoder, count_points, encode_message
from clew.delivery.sdk import dropped_of
from clew.delivery.value import utf8
from clew.delivery.wire import SHORT, any_value, sized, string, varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.trace import SpanContext

    from clew.delivery.attributes import Redactor
    from clew.entry import LogEntry, Scope

_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200

_LOW: Final = 2**64 - 1
_LOG_TRACE_ID, _LOG_SPAN_ID = 0x4A10, 0x5208
_SPAN_TRACE_ID, _SPAN_SPAN_ID = 0x0A10, 0x1208
"""Tags of the IDs with their lengths, as one number each."""

_BODIES: Final = tuple(b"\x2a" + head for head in wire.SMALL_TEXTS)
"""What stands in front of a body that is a short text, by its size."""

_ids: Final = struct.Struct(">HQQHQ").pack
_log_times: Final = struct.Struct("<cQcQcI").pack
_span_times: Final = struct.Struct("<cQcQ").pack
_event_time: Final = struct.Struct("<cQ").pack
_LOCAL_FLAGS: Final = b"\x85\x01" + struct.pack("<I", _HAS_IS_REMOTE)
_REMOTE_FLAGS: Final = b"\x85\x01" + struct.pack("<I", _HAS_IS_REMOTE | _IS_REMOTE)
_LOCAL_LINK_FLAGS: Final = b"\x35" + struct.pack("<I", _HAS_IS_REMOTE)
_REMOTE_LINK_FLAGS: Final = b"\x35" + struct.pack("<I", _HAS_IS_REMOTE | _IS_REMOTE)


def encode_metrics(data: MetricsData, *, redact: Redactor | None = None) -> Encoded:
    """Encode metrics as an ExportMetricsServiceRequest, by upstream's encoder: one batch a minute needs no speed."""
    count = count_points(data)
    try:
        return Encoded(encode_message(data, redact).SerializeToString(), count, 0)
    except Exception:  # noqa: BLE001 - whatever a data point holds, the caller goes on
        return Encoded(b"", 0, count)


class ProtobufEncoder(Encoder):
    """OTLP protobuf; the comments' numbers are those of the .proto files."""

    pair_separator = b"\x32"

    def __init__(self, redact: Redactor | None) -> None:
        super().__init__(redact)
        self._severities: dict[tuple[int, str], bytes] = {}
        self._names: dict[tuple[str, int], bytes] = {}

    def key(self, key: object) -> bytes:
        """Encode the key of an attribute."""
        return wire.key(key)

    def pair(self, encoded_key: bytes, value: object) -> bytes:
        """Encode one attribute, with its length in front."""
        return wire.pair(encoded_key, value)

    def log(self, entry: LogEntry) -> bytes:
        """Encode a LogRecord."""
        time_ns, number, text, _, body, event, trace_id, span_id, flags, _, _, _, _, _, _, observed_ns, dropped = entry
        observed = time_ns if observed_ns is None else observed_ns
        head = _log_times(b"\x09", time_ns, b"\x59", observed, b"\x45", flags)
        severity = self._severities.get((number, text)) or self._severity(number, text)
        pairs = self.log_attributes.encode(entry)
        parts = [head, severity, self._body(body)]
        if trace_id and span_id:
            parts.append(_ids(_LOG_TRACE_ID, trace_id >> 64, trace_id & _LOW, _LOG_SPAN_ID, span_id))
        elif trace_id or span_id:
            parts.append(_one_id(trace_id, span_id))
        if pairs:
            parts += b"\x32", b"\x32".join(pairs)
        if event:
            parts.append(b"\x62" + string(event))
        if dropped:
            parts.append(b"\x38" + varint(dropped))
        return b"".join(parts)

    def _severity(self, number: int, text: str) -> bytes:
        severity = b"\x10" + varint(number) + (b"\x1a" + string(text) if text else b"")
        if len(self._severities) < MAX_NAMES:
            self._severities[number, text] = severity
        return severity

    def _body(self, body: Any) -> bytes:
        if body.__class__ is not str:
            return b"\x2a" + sized(any_value(self.pairs.value(body)))
        raw = utf8(self.pairs.text(body))
        return _BODIES[len(raw)] + raw if len(raw) < len(_BODIES) else b"\x2a" + sized(b"\x0a" + sized(raw))

    def span(self, fields: tuple[Any, ...]) -> bytes:
        """Encode a Span."""
        # fmt: off
        (trace_id, span_id, trace_state, parent_id, is_remote, name, kind, start_ns, end_ns,
         attributes, dropped_attributes, events, dropped_events, links, dropped_links,
         status, description, _, _) = fields
        # fmt: on
        parts = [
            _ids(_SPAN_TRACE_ID, trace_id >> 64, trace_id & _LOW, _SPAN_SPAN_ID, span_id),
            self._names.get((name, kind)) or self._name(name, kind),
            _span_times(b"\x39", start_ns, b"\x41", end_ns),
            _REMOTE_FLAGS if is_remote else _LOCAL_FLAGS,
        ]
        if parent_id is not None:
            parts.append(b"\x22\x08" + parent_id.to_bytes(8, "big"))
        if attributes:
            parts += b"\x4a", b"\x4a".join(self.pairs.encode(attributes))
        if status is not None:
            parts.append(self._status(status, description))
        if trace_state:
            parts.append(b"\x1a" + string(trace_state))
        if events:
            parts.extend([b"\x5a" + sized(self._event(event)) for event in events])
        if links:
            parts.extend([b"\x6a" + sized(self._link(link)) for link in links])
        if dropped_attributes or dropped_events or dropped_links:
            counts = ((b"\x50", dropped_attributes), (b"\x60", dropped_events), (b"\x70", dropped_links))
            parts.extend([tag + varint(count) for tag, count in counts])
        return b"".join(parts)

    def _name(self, name: str, kind: int) -> bytes:
        encoded = b"\x2a" + string(self.pairs.text(name)) + b"\x30" + varint(kind)
        if len(self._names) >= MAX_NAMES:
            self._names.clear()
        self._names[name, kind] = encoded
        return encoded

    def _event(self, event: Any) -> bytes:
        pairs = self.pairs.encode(items_of(event.attributes))
        head = _event_time(b"\x09", event.timestamp or 0) + b"\x12" + string(self.pairs.text(event.name))
        return head + _join(b"\x1a", pairs) + _dropped(event.attributes, b"\x20")

    def _link(self, link: Any) -> bytes:
        context: SpanContext = link.context
        trace_id = context.trace_id
        head = _ids(_SPAN_TRACE_ID, trace_id >> 64, trace_id & _LOW, _SPAN_SPAN_ID, context.span_id)
        pairs = self.pairs.encode(items_of(link.attributes))
        flags = _REMOTE_LINK_FLAGS if context.is_remote else _LOCAL_LINK_FLAGS
        return head + _join(b"\x22", pairs) + _dropped(link.attributes, b"\x28") + flags

    def _status(self, status: int, description: str | None) -> bytes:
        if not description:
            return b"\x7a\x02\x18" + SHORT[status]
        return b"\x7a" + sized(b"\x12" + string(self.pairs.text(description)) + b"\x18" + SHORT[status])

    def resource_header(self, attributes: Mapping[str, Any], schema_url: str | None) -> bytes:
        """Encode fields 1 and 3 of ResourceLogs and ResourceSpans."""
        resource = _join(b"\x0a", self.pairs.encode(attributes))
        return b"\x0a" + sized(resource) + _schema_url(schema_url)

    def scope_header(self, scope: Scope) -> bytes:
        """Encode fields 1 and 3 of ScopeLogs and ScopeSpans."""
        version = b"\x12" + string(scope.version) if scope.version else b""
        encoded = b"\x0a" + string(scope.name) + version + _join(b"\x1a", self.pairs.encode(scope.attributes))
        return b"\x0a" + sized(encoded) + _schema_url(scope.schema_url)

    def request(
        self,
        signal: str,  # noqa: ARG002 - both signals have the same field numbers here
        groups: Mapping[bytes, Mapping[bytes, Sequence[bytes]]],
    ) -> bytes:
        """Put field 1 of the request together."""
        return b"".join(
            b"\x0a" + sized(resource + _repeated(scope + _repeated(records) for scope, records in scopes.items()))
            for resource, scopes in groups.items()
        )


def _one_id(trace_id: int, span_id: int) -> bytes:
    """Encode the IDs of a log record that has only one of them."""
    return b"\x4a\x10" + trace_id.to_bytes(16, "big") if trace_id else b"\x52\x08" + span_id.to_bytes(8, "big")


def _repeated(messages: Iterable[bytes]) -> bytes:
    """Encode messages as the repeated field 2."""
    return b"".join([b"\x12" + sized(message) for message in messages])


def _join(tag: bytes, pairs: list[bytes]) -> bytes:
    """Put `tag` in front of each pair."""
    return tag + tag.join(pairs) if pairs else b""


def _schema_url(schema_url: str | None) -> bytes:
    return b"\x1a" + string(schema_url) if schema_url else b""


def _dropped(bounded: object, tag: bytes) -> bytes:
    """Encode a count of items that the SDK's limits cut off."""
    dropped = dropped_of(bounded)
    return tag + varint(dropped) if dropped else b""


_codec: Final = Codec(ProtobufEncoder)
encode_logs: Final = _codec.encode_logs
encode_spans: Final = _codec.encode_spans
