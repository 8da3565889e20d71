"""OTLP's JSON values in plain Python and back: AnyValue, attributes, 64-bit integers, IDs.

Nothing here raises on what a file may hold: a value that is not what the protocol says comes out as its empty form.
Source:
OTLP 1.11, "JSON Protobuf Encoding" (hex IDs, 64-bit integers as strings, lowerCamelCase, enums as numbers).
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.entry import Attributes, Value

MAX_DEPTH: Final = 64
"""Nesting that is decoded; what is deeper becomes its text form, so no file can exhaust the stack."""

_LEAST_INTEGER: Final = -(2**63)
_GREATEST_INTEGER: Final = 2**64 - 1

_BASE64_ID_LENGTHS: Final = frozenset({12, 24})
"""Lengths of span and trace IDs in base64, as writers that follow protobuf's JSON mapping print them."""


def decode(value: Any, depth: int = 0) -> Value:
    """Decode one AnyValue; an empty or foreign one is None."""
    if not isinstance(value, dict):
        return None
    for kind, content in value.items():
        decoder = _DECODERS.get(kind)
        if decoder is not None:
            return str(content) if depth > MAX_DEPTH else decoder(content, depth)
    return None


def decode_attributes(pairs: Any, depth: int = 0) -> Attributes:
    """Decode a list of KeyValue; of a key that repeats the last one counts."""
    if not isinstance(pairs, list):
        return {}
    return {str(pair.get("key", "")): decode(pair.get("value"), depth + 1) for pair in pairs if isinstance(pair, dict)}


def find_attribute(pairs: Any, key: str) -> Value:
    """Decode the value of one key without decoding the rest."""
    if not isinstance(pairs, list):
        return None
    for pair in pairs:
        if isinstance(pair, dict) and pair.get("key") == key:
            return decode(pair.get("value"))
    return None


def integer(value: Any) -> int:
    """Read a 64-bit integer, a string or a number in JSON; anything else, and what 64 bits do not hold, is 0."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if _LEAST_INTEGER <= number <= _GREATEST_INTEGER else 0


def number(value: Any) -> float:
    """Read a double, which JSON may hold as `"NaN"` or `"Infinity"`; anything else is 0."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def text(value: Any) -> str:
    """Read a string; anything else is empty."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    """Read an object; anything else is empty."""
    return value if isinstance(value, dict) else {}


def identifier(value: Any) -> str:
    """Read a trace or span ID as lowercase hex; none, or one of zeros only, is empty."""
    if not isinstance(value, str) or not value.strip("0"):
        return ""
    if len(value) in _BASE64_ID_LENGTHS:
        try:
            return base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            pass
    return value.lower()


def encode(value: Any) -> dict[str, Any]:
    """Encode a plain value as AnyValue; what OTLP has no form for becomes its text."""
    if value is None:
        return {}
    encoder = _ENCODERS.get(type(value))
    return encoder(value) if encoder is not None else {"stringValue": str(value)}


def encode_attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Encode a mapping as a list of KeyValue."""
    return [{"key": str(key), "value": encode(value)} for key, value in attributes.items()]


def _finite(value: float) -> float | str:
    """Return the double, or its name where JSON has no number for it."""
    if value != value:  # noqa: PLR0124 - the test for NaN that needs no import
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _decode_bytes(content: Any, _depth: int) -> Value:
    try:
        return base64.b64decode(content)
    except (TypeError, ValueError):
        return b""


def _decode_list(content: Any, depth: int) -> Value:
    values = content.get("values") if isinstance(content, dict) else None
    return [decode(item, depth + 1) for item in values] if isinstance(values, list) else []


def _decode_map(content: Any, depth: int) -> Value:
    return decode_attributes(content.get("values"), depth) if isinstance(content, dict) else {}


_DECODERS: Final[dict[str, Any]] = {
    "stringValue": lambda content, _depth: content if isinstance(content, str) else str(content),
    "boolValue": lambda content, _depth: content is True or content == "true",
    "intValue": lambda content, _depth: integer(content),
    "doubleValue": lambda content, _depth: number(content),
    "bytesValue": _decode_bytes,
    "arrayValue": _decode_list,
    "kvlistValue": _decode_map,
}


def _encode_int(value: int) -> dict[str, Any]:
    return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}


_ENCODERS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    str: lambda value: {"stringValue": value},
    bool: lambda value: {"boolValue": value},
    int: _encode_int,
    float: lambda value: {"doubleValue": _finite(value)},
    bytes: lambda value: {"bytesValue": base64.b64encode(value).decode()},
    dict: lambda value: {"kvlistValue": {"values": encode_attributes(value)}},
    list: lambda value: {"arrayValue": {"values": [encode(item) for item in value]}},
}
