"""Upstream's `BoundedAttributes`, filled at the speed of a dict where there is nothing to clean, bound or cut.

Each span, event, link and measurement makes one, and cleans each value through several Python calls: two fifths of
what a span costs. The result is the same; whatever is not plain goes upstream's own way.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = frozenset({str, int, float, bool, type(None), bytes})
_TEXT: Final = frozenset({str})
_SOURCES: Final = frozenset({dict, MappingProxyType})
"""What attributes come in: from a caller, or read-only from a sampler."""

_HOOK: Final = "_clew_quick"


def install() -> None:
    """Let plain attributes be copied in one step. Idempotent; does nothing where upstream's class has changed."""
    original: Any = getattr(BoundedAttributes, "_set_items", None)
    if original is None or hasattr(original, _HOOK):
        return

    def _set_items(self: Any, attributes: Any) -> None:
        if type(attributes) in _SOURCES and not self._dict and _fits(self, attributes):
            self._dict.update(attributes)
        else:
            original(self, attributes)

    setattr(_set_items, _HOOK, original)
    BoundedAttributes._set_items = _set_items  # type: ignore[method-assign]  # noqa: SLF001 - there is no public seam


def uninstall() -> None:
    """Give upstream its own way back."""
    original = getattr(getattr(BoundedAttributes, "_set_items", None), _HOOK, None)
    if original is not None:
        BoundedAttributes._set_items = original  # type: ignore[method-assign]  # noqa: SLF001 - as above


def _fits(bounded: Any, attributes: Mapping[Any, Any]) -> bool:
    """Return whether upstream would put each item in as it is."""
    return (
        bounded.max_value_len is None
        and (bounded.maxlen is None or len(attributes) <= bounded.maxlen)
        and not bounded._immutable  # noqa: SLF001 - upstream's own guard raises where it is set
        and _PLAIN.issuperset(map(type, attributes.values()))
        and _TEXT.issuperset(map(type, attributes))
        and "" not in attributes
    )
