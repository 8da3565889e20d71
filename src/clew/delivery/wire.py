"""Protobuf's wire format, as far as OTLP needs it: varints, lengths and AnyValue.

See https://protobuf.dev/programming-guides/encoding/ and opentelemetry/proto/common/v1/common.proto. Field numbers
stand as the tag bytes they make: `number << 3 | wire type`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from clew.delivery import value as values

if TYPE_CHECKING:
    from collections.abc import Callable

_double: Final = struct.Struct("<cd").pack
_UINT64_MASK: Final = 2**64 - 1


def varint(number: int) -> bytes:
    """Encode a number of 0 or more; those below 2**28 without a loop, which costs three times as much."""
    if number < 0x80:  # noqa: PLR2004 - seven bits go into each byte; so below
        return bytes((number,))
    if number < 0x4000:  # noqa: PLR2004
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 0x200000:  # noqa: PLR2004
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    if number < 0x10000000:  # noqa: PLR2004
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14 & 0x7F | 0x80, number >> 21))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14 & 0x7F | 0x80)) + varint(number >> 21)


SHORT: Final = tuple(varint(number) for number in range(2048))
"""The varints of the lengths that are common."""

_SHORT_COUNT: Final = len(SHORT)

SMALL_TEXTS: Final = tuple(bytes((size + 2, 0x0A, size)) for size in range(126))
"""What stands in front of a short text as a value, by its size: the AnyValue's length, its field and the text's."""

_LONGEST_KEY: Final = 1024


def sized(payload: bytes) -> bytes:
    """Return `payload` with its length in front, as strings and messages are written behind their tag."""
    size = len(payload)
    return (SHORT[size] if size < _SHORT_COUNT else varint(size)) + payload


def string(text: str) -> bytes:
    """Encode `text` with its length in front."""
    return sized(values.utf8(text))


def any_value(value: object, depth: int = 0) -> bytes:
    """Encode an AnyValue message, without a length in front; any object at all goes in."""
    write = _WRITERS.get(value.__class__)
    if write is None:
        return any_value(values.plain(value), depth)
    return write(value, depth)


def key(name: object) -> bytes:
    """Encode the key of a KeyValue, with the tag of the value that follows."""
    text = name if isinstance(name, str) else values.key(name)
    return b"\x0a" + string(text) + b"\x12"


def pair(encoded_key: bytes, value: object, depth: int = 0) -> bytes:
    """Encode a KeyValue message with its length in front, from what `key` returned."""
    if value.__class__ is str:
        raw = values.utf8(value)
        size = len(raw)
        if size < len(SMALL_TEXTS) and len(encoded_key) < _LONGEST_KEY:
            return SHORT[len(encoded_key) + size + 3] + encoded_key + SMALL_TEXTS[size] + raw
    return sized(encoded_key + sized(any_value(value, depth)))


def _integer(value: int, _depth: int) -> bytes:
    number = values.integer(value)
    if isinstance(number, str):
        return b"\x0a" + string(number)
    return b"\x18" + (SHORT[number] if 0 <= number < _SHORT_COUNT else varint(number & _UINT64_MASK))


def _array(value: list[Any] | tuple[Any, ...], depth: int) -> bytes:
    if depth >= values.MAX_DEPTH:
        return b"\x0a" + string(values.TOO_DEEP)
    return b"\x2a" + sized(b"".join([b"\x0a" + sized(any_value(item, depth + 1)) for item in value]))


def _mapping(value: dict[Any, Any], depth: int) -> bytes:
    if depth >= values.MAX_DEPTH:
        return b"\x0a" + string(values.TOO_DEEP)
    return b"\x32" + sized(b"".join([b"\x0a" + pair(key(name), item, depth + 1) for name, item in value.items()]))


_WRITERS: Final[dict[type, Callable[[Any, int], bytes]]] = {
    type(None): lambda _value, _depth: b"",
    bool: lambda value, _depth: b"\x10\x01" if value else b"\x10\x00",
    str: lambda value, _depth: b"\x0a" + string(value),
    int: _integer,
    float: lambda value, _depth: _double(b"\x21", value),
    bytes: lambda value, _depth: b"\x3a" + sized(value),
    list: _array,
    tuple: _array,
    dict: _mapping,
}
"""How each type is written, bool before int since it is one."""
