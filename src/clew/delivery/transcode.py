"""From one encoding to the other, for any signal: a stored line to protobuf bytes, a protobuf message to a line.

Driven by the message descriptors of `opentelemetry-proto`, so it knows every field that they know. `json_format` of
protobuf is not used for reading: it holds the interpreter ten times as long, and replay runs beside the application.
"""

from __future__ import annotations

import importlib
import struct
from base64 import b64decode
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import orjson

from clew.delivery.wire import sized, string, varint

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message

_REQUESTS: Final = {
    "traces": ("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    "metrics": ("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest"),
    "logs": ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
}
"""Module and name of each signal's request, imported when one is replayed: they cost 30 ms of a program's start."""

_HEX_FIELDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_UINT64: Final = 2**64 - 1


class _Kind(IntEnum):
    """Types of fields, as google/protobuf/descriptor.proto numbers them."""

    DOUBLE = 1
    INT64 = 3
    UINT64 = 4
    INT32 = 5
    FIXED64 = 6
    FIXED32 = 7
    BOOL = 8
    STRING = 9
    MESSAGE = 11
    BYTES = 12
    UINT32 = 13
    ENUM = 14
    SFIXED64 = 16
    SINT32 = 17


_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5


def payload_from_line(signal: str, line: bytes) -> bytes:
    """Return a stored line as the protobuf bytes of the same request; fields that OTLP does not know are left out.

    Args:
        signal: One of `schema.SIGNALS`.
        line: OTLP JSON, with or without its newline.

    Raises:
        ValueError: If the line is torn or no such request.
    """
    try:
        return _message(_plan_of(signal), orjson.loads(line))
    except (ArithmeticError, AttributeError, LookupError, TypeError, struct.error) as error:
        raise ValueError(f"not a request of {signal}: {error!r}") from error


def count_in_line(signal: str, line: bytes) -> int:
    """Count the spans, log records or metric data points of a stored line.

    Raises:
        ValueError: If the line is torn or no such request.
    """
    resource, scope, records = {
        "traces": ("resourceSpans", "scopeSpans", "spans"),
        "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
        "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    }[signal]
    try:
        of_scopes = [group for item in orjson.loads(line)[resource] for group in item.get(scope, ())]
        found = [record for group in of_scopes for record in group.get(records, ())]
        return sum(map(_count_points, found)) if signal == "metrics" else len(found)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"not a request of {signal}: {error!r}") from error


def _count_points(metric: dict[str, Any]) -> int:
    """Count the data points of a metric, whatever its kind."""
    return sum(len(value.get("dataPoints", ())) for value in metric.values() if isinstance(value, dict))


def line_from_message(message: Message) -> bytes:
    """Return a request as one line of OTLP JSON."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - start-up time, see `_REQUESTS`

    tree = MessageToDict(message, use_integers_for_enums=True)
    _base64_to_hex(tree)
    return orjson.dumps(tree) + b"\n"


def _base64_to_hex(tree: object) -> None:
    """Turn the IDs in a tree from protobuf's form into OTLP's, in place."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in _HEX_FIELDS:
                tree[key] = b64decode(value).hex()
            else:
                _base64_to_hex(value)
    elif isinstance(tree, list):
        for item in tree:
            _base64_to_hex(item)


class _Field(NamedTuple):
    """How one field is written: its tag, its value, and how many of them there may be."""

    tag: bytes
    write: Callable[[Any], bytes]
    repeated: bool
    packed: bool


_plans: Final[dict[str, dict[str, _Field]]] = {}


def _plan_of(signal: str) -> dict[str, _Field]:
    """Return how to write a signal's request."""
    module, name = _REQUESTS[signal]
    return _plan(getattr(importlib.import_module(module), name).DESCRIPTOR)


def _plan(descriptor: Descriptor) -> dict[str, _Field]:
    """Return how to write each field of a message, by its JSON name; made once for each message type."""
    known = _plans.get(descriptor.full_name)
    if known is None:
        known = _plans[descriptor.full_name] = {}
        known.update({field.json_name: _field(field) for field in descriptor.fields})
    return known


def _field(field: FieldDescriptor) -> _Field:
    wire_type, write = _scalar(field)
    repeated = bool(field.is_repeated)
    packed = repeated and wire_type != _SIZED
    tag = varint(field.number << 3 | (_SIZED if packed else wire_type))
    return _Field(tag, write, repeated, packed)


def _scalar(field: FieldDescriptor) -> tuple[int, Callable[[Any], bytes]]:
    """Return the wire type of a field and the function that writes one value."""
    if field.type == _Kind.MESSAGE:
        plan = _plan(cast("Descriptor", field.message_type))
        return _SIZED, lambda value: sized(_message(plan, value))
    if field.type == _Kind.BYTES:
        return _SIZED, _write_hex if field.json_name in _HEX_FIELDS else _write_base64
    if field.type == _Kind.ENUM:
        enum = cast("EnumDescriptor", field.enum_type)
        numbers = {name: value.number for name, value in enum.values_by_name.items()}
        return _VARINT, lambda value: varint(numbers[value] if isinstance(value, str) else value & _UINT64)
    return _SCALARS[field.type]


def _message(plan: dict[str, _Field], tree: dict[str, Any]) -> bytes:
    """Write one message, its fields in the order of the JSON."""
    parts: list[bytes] = []
    for name, value in tree.items():
        field = plan.get(name)
        if field is None or value is None:
            continue
        tag, write, repeated, packed = field
        if packed:
            parts.append(tag + sized(b"".join(map(write, value))))
        elif repeated:
            parts.extend([tag + write(item) for item in value])
        else:
            parts.append(tag + write(value))
    return b"".join(parts)


def _write_hex(value: str) -> bytes:
    return sized(bytes.fromhex(value))


def _write_base64(value: str) -> bytes:
    return sized(b64decode(value, validate=True))


def _write_zigzag(value: Any) -> bytes:
    number = int(value)
    return varint((number << 1 ^ number >> 63) & _UINT64)


def _fixed(form: str, convert: Callable[[Any], Any]) -> Callable[[Any], bytes]:
    pack = struct.Struct(form).pack
    return lambda value: pack(convert(value))


def _write_varint(value: Any) -> bytes:
    return varint(int(value) & _UINT64)


_SCALARS: Final[dict[int, tuple[int, Callable[[Any], bytes]]]] = {
    _Kind.DOUBLE: (_FIXED64, _fixed("<d", float)),
    _Kind.FIXED64: (_FIXED64, _fixed("<Q", int)),
    _Kind.SFIXED64: (_FIXED64, _fixed("<q", int)),
    _Kind.FIXED32: (_FIXED32, _fixed("<I", int)),
    _Kind.BOOL: (_VARINT, lambda value: b"\x01" if value else b"\x00"),
    _Kind.STRING: (_SIZED, string),
    _Kind.INT32: (_VARINT, _write_varint),
    _Kind.INT64: (_VARINT, _write_varint),
    _Kind.UINT32: (_VARINT, _write_varint),
    _Kind.UINT64: (_VARINT, _write_varint),
    _Kind.SINT32: (_VARINT, _write_zigzag),
}
"""Wire type and writer of each scalar type that OTLP has; JSON has 64-bit numbers and non-finite doubles as strings."""
