"""The dict inside the SDK's bounded attributes, whose own iteration and look-up run Python code for each key.

The one place that knows their private field; where some release has another, the public way is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Final[dict[str, Any]] = {}


def items_of(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the items of attributes, to be read at once and never changed."""
    inner = getattr(attributes, "_dict", None)
    return inner if isinstance(inner, dict) else attributes or _NOTHING


def attributes_of(span: Any) -> Mapping[str, Any]:
    """Return the attributes of one of the SDK's spans, likewise."""
    held = getattr(span, "_attributes", None)
    return items_of(span.attributes if held is None else held)
