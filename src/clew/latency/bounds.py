"""Bounds in seconds for instrumentations' histograms in seconds that choose none: upstream's are for milliseconds.

With those every query and every task would lie in the first bucket. A program's own histograms are its own business,
and views and an aggregation that the user chose go before what is advised here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import Meter

from clew.latency.operation import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DATABASE_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Bounds that the semantic conventions give for `db.client.operation.duration`."""

_SECONDS: Final = frozenset({"s", "seconds"})
_SCOPES: Final = "opentelemetry"
"""How the names of upstream's meters begin: `opentelemetry.instrumentation.celery`, `opentelemetry-sdk`."""

_HOOK: Final = "_clew_hook"


def install() -> None:
    """Advise bounds from now on; to be called before the SDK's own parts make instruments. Idempotent."""
    original = Meter.create_histogram
    if not getattr(original, _HOOK, False):
        setattr(Meter, "create_histogram", _advising(original))  # noqa: B010 - mypy forbids to assign to a method


def uninstall() -> None:
    """Advise nothing any more."""
    hook: Any = Meter.create_histogram
    if getattr(hook, _HOOK, False):
        setattr(Meter, "create_histogram", hook.__wrapped__)  # noqa: B010 - as above


def _advising(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_histogram(
        self: Any,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> Any:
        advisory = explicit_bucket_boundaries_advisory
        if advisory is None and unit in _SECONDS:
            advisory = _bounds_of(getattr(self, "_instrumentation_scope", None), name)
        return original(self, name, unit, description, explicit_bucket_boundaries_advisory=advisory, **kwargs)

    setattr(create_histogram, _HOOK, True)
    return create_histogram


def _bounds_of(scope: Any, name: str) -> tuple[float, ...] | None:
    if not str(getattr(scope, "name", "")).startswith(_SCOPES):
        return None
    return DATABASE_BUCKETS_S if name.startswith("db.") else BUCKETS_S
