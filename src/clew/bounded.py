"""The SDK's bounded attributes: the dict inside them, and what they take as it is.

Their own iteration and look-up run Python code for each key. The one place that knows their private field; where some
release has another, the public way is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN: Final = frozenset({str, int, float, bool, type(None), bytes})
"""Types of values that are taken as they are."""

_TEXT: Final = frozenset({str})
_NOTHING: Final[dict[str, Any]] = {}


def is_plain(attributes: Mapping[Any, Any]) -> bool:
    """Return whether each item would be taken as it is, where none has to be cut."""
    return (
        PLAIN.issuperset(map(type, attributes.values()))
        and _TEXT.issuperset(map(type, attributes))
        and "" not in attributes
    )


def items_of(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the items of attributes, to be read at once and never changed."""
    inner = getattr(attributes, "_dict", None)
    return inner if isinstance(inner, dict) else attributes or _NOTHING


def attributes_of(span: Any) -> Mapping[str, Any]:
    """Return the attributes of one of the SDK's spans, likewise."""
    held = getattr(span, "_attributes", None)
    return items_of(span.attributes if held is None else held)
