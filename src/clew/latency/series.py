"""An end to endless series of metrics, other people's too.

The private names of the SDK's metrics stand in this module only. Where one is gone nothing is changed, and upstream's
own defaults hold.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics._internal import _view_instrument_match
from opentelemetry.sdk.metrics.view import View

from clew import diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics._internal.measurement import Measurement

MAX_SERIES: Final = 2000
"""Series of one instrument: the SDK specification's default ("Cardinality limits"), which SDK 1.45.2 has too."""

OVERFLOW: Final[dict[str, bool]] = {"otel.metric.overflow": True}
"""The attributes of the series that counts all further ones, by the same section."""

_HOOK: Final = "_clew_hook"


def limit_series(maximum: int = MAX_SERIES) -> None:
    """Let no instrument have more than `maximum` series: further ones count in one series that says so. Idempotent."""
    match: Any = getattr(_view_instrument_match, "_ViewInstrumentMatch", None)
    original = getattr(match, "consume_measurement", None)
    if original is None or getattr(original, _HOOK, False) or _has_limit():
        return
    match.consume_measurement = _limited(original, maximum)


def unlimit_series() -> None:
    """Take the limit away again."""
    match: Any = getattr(_view_instrument_match, "_ViewInstrumentMatch", None)
    if getattr(getattr(match, "consume_measurement", None), _HOOK, False):
        match.consume_measurement = match.consume_measurement.__wrapped__


def _has_limit() -> bool:
    """Return whether this SDK has a limit of its own."""
    return any("cardinality" in name for name in vars(View(instrument_name="x")))


def _limited(original: Callable[..., None], maximum: int) -> Callable[..., None]:
    @functools.wraps(original)
    def consume_measurement(self: Any, measurement: Measurement, *args: Any, **kwargs: Any) -> None:
        try:
            if len(self._attributes_aggregation) >= maximum - 1 and _is_new(self, measurement):
                measurement = replace(measurement, attributes=OVERFLOW)
                diagnostics.report(
                    f"series-{measurement.instrument.name}",
                    f"metric {measurement.instrument.name} has {maximum} series; further ones are counted together",
                )
        except Exception as error:  # noqa: BLE001 - private names may have moved; the measurement is taken as it is
            diagnostics.report("series", f"series of metrics are not limited: {type(error).__name__}: {error}")
        original(self, measurement, *args, **kwargs)

    setattr(consume_measurement, _HOOK, True)
    return consume_measurement


def _is_new(match: Any, measurement: Measurement) -> bool:
    """Return whether `measurement` would begin a series, by the same key as the SDK's."""
    keys = match._view._attribute_keys  # noqa: SLF001 - see the module's docstring
    attributes = dict(measurement.attributes or {})
    if keys is not None:
        attributes = {key: value for key, value in attributes.items() if key in keys}
    return _key(attributes) not in match._attributes_aggregation  # noqa: SLF001 - likewise


def _key(attributes: dict[str, Any]) -> Any:
    """Return the SDK's key of a series: since 1.45 it has a function for that."""
    make_key = getattr(_view_instrument_match, "_hash_attributes", None)
    return frozenset(attributes.items()) if make_key is None else make_key(attributes)
