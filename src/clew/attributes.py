"""Upstream's handling of attributes, at the speed of a dict where there is nothing to clean, bound or cut.

Each span, event, link and measurement cleans each value through several Python calls, and each measurement hashes
them through several more: two fifths of what a span costs and half of what a measurement does. The results are the
same; whatever is not plain goes upstream's own way.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.metrics._internal import _view_instrument_match, measurement

from clew.bounded import PLAIN, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES: Final = frozenset({dict, MappingProxyType})
"""What attributes come in: from a caller, or read-only from a sampler."""

_replaced: Final[list[tuple[Any, str, Any]]] = []
"""Owner, name and original of what is replaced."""


def install() -> None:
    """Let plain attributes be handled in one step. Idempotent; leaves alone what has changed upstream."""
    if _replaced:
        return
    # Before 1.45 attributes of spans and of logs followed different rules, by this flag.
    if not hasattr(BoundedAttributes(), "_extended_attributes"):
        _replace(BoundedAttributes, "_set_items", _quick_set_items)
        _replace(BoundedAttributes, "__setitem__", _quick_set_item)
    _replace(measurement, "_clean_attribute_value", _quick_clean)
    _replace(_view_instrument_match, "_hash_attributes", _quick_hash)


def uninstall() -> None:
    """Give upstream its own ways back."""
    for owner, name, original in _replaced:
        setattr(owner, name, original)
    _replaced.clear()


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(owner, name, None)
    if callable(original):
        setattr(owner, name, make(original))
        _replaced.append((owner, name, original))


def _quick_set_items(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Fill bounded attributes by one copy."""

    def _set_items(self: Any, attributes: Any) -> None:
        if (
            type(attributes) in _SOURCES
            and not self._dict
            and self.max_value_len is None
            and (self.maxlen is None or len(attributes) <= self.maxlen)
            and not self._immutable
            and is_plain(attributes)
        ):
            self._dict.update(attributes)
        else:
            original(self, attributes)

    return _set_items


def _quick_set_item(original: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    """Set one plain attribute in place where it need not be cut and none has to make room."""

    def __setitem__(self: Any, key: Any, value: Any) -> None:  # noqa: N807 - it takes the place of one
        if type(value) in PLAIN and type(key) is str and key and self.max_value_len is None and not self._immutable:
            held = self._dict
            if self.maxlen is None or len(held) < self.maxlen:
                with self._lock:
                    held.pop(key, None)
                    held[key] = value
                return
        original(self, key, value)

    return __setitem__


def _quick_clean(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Clean a measurement's attributes by one copy."""

    def _clean_attribute_value(value: Any, max_string_value_length: int | None) -> Any:
        if max_string_value_length is None and type(value) is dict and is_plain(value):
            return value.copy()
        return original(value, max_string_value_length)

    return _clean_attribute_value


def _quick_hash(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make the key of a series from plain attributes in one step; types are in it, since 1, 1.0 and True are equal."""

    def _hash_attributes(value: Any) -> Any:
        if type(value) is dict and PLAIN.issuperset(map(type, value.values())):
            return frozenset(zip(value, value.values(), map(type, value.values())))  # noqa: B905 - one dict, one length
        return original(value)

    return _hash_attributes
