"""What any Python value becomes where OTLP has no place for it: pure, and never the value's own code.

Capture has sanitised what it took; this is the last line for what comes from elsewhere (spans, the Logs API), so that
one bad value costs neither its record nor its neighbours.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from clew.entry import Value

MAX_DEPTH: Final = 24
"""Levels of nesting that are kept: a level is up to three messages, and parsers refuse more than 100."""

TOO_DEEP: Final = f"<nested deeper than {MAX_DEPTH}>"

_INT64: Final = range(-(2**63), 2**63)
_MAX_INT_BITS: Final = 4096


def text(value: str) -> str:
    r"""Return `value` with its lone surrogates, which UTF-8 has no place for, as `\udcff` and the like."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def utf8(value: str) -> bytes:
    """Encode `value`, its lone surrogates replaced as `text` does."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace")


def integer(value: int) -> int | str:
    """Return `value`, or its digits where it does not fit into 64 bits."""
    if value in _INT64:
        return value
    return str(value) if value.bit_length() <= _MAX_INT_BITS else f"<integer of {value.bit_length()} bits>"


def key(value: object) -> str:
    """Return a mapping's key as text."""
    if isinstance(value, str):
        return text(str.__str__(value))
    return str(value) if type(value) in {int, float, bool, type(None)} else _type_name(value)


def plain(value: object) -> Value:
    """Return `value` as one of the exact types of `Value`, its own contents not yet looked at.

    Subclasses become their base, sets lists; anything else becomes the name of its type, since its `__str__` may do
    anything.
    """
    result: Any = value
    if isinstance(value, str):
        result = str.__str__(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        result = int.__int__(value)
    elif isinstance(value, float):
        result = float.__float__(value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        result = bytes(memoryview(value))
    elif isinstance(value, (list, tuple, set, frozenset, dict, MappingProxyType)):
        result = _container(value)
    elif value is not None and not isinstance(value, bool):
        result = _type_name(value)
    return result  # type: ignore[no-any-return]  # one of Value's types by now


def detached(value: object, depth: int = 0) -> Value:
    """Return a deep copy of plain types that nothing outside can change, cut at `MAX_DEPTH`."""
    if value.__class__ not in {list, tuple, dict}:
        value = plain(value)
    if not isinstance(value, (list, tuple, dict)):
        return value
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, dict):
        return {key(name): detached(item, depth + 1) for name, item in list(value.items())}
    return [detached(item, depth + 1) for item in list(value)]


def _container(value: Any) -> Any:
    """Copy a container through its built-in base, so that no subclass's iterator runs."""
    bases: tuple[Any, ...] = (list, tuple, set, frozenset)
    for base in bases:
        if isinstance(value, base):
            return list(base.__iter__(value))
    return dict(dict.items(value)) if isinstance(value, dict) else dict(value)


def _type_name(value: object) -> str:
    """Return `<module.Type>` of a value that cannot be sent."""
    try:
        return text(f"<{type(value).__module__}.{type(value).__qualname__}>")
    except Exception:  # noqa: BLE001 - a metaclass may raise whatever it likes
        return "<unknown type>"
