"""Recording a measurement of a series that exists, in one step.

Upstream makes a record of each measurement, cleans its attributes, asks every reader's storage for the views of the
instrument, and hashes the attributes for each. Where the attributes are plain and the series is there already, all of
that finds what it found the last time: here the series is looked up by the same key and given the measurement. Whatever
is out of the ordinary goes upstream's own way: a new series, other attributes, a view that leaves some out, an
instrument that is off.

The private names of the SDK's metrics that this needs stand in this module only; where one is gone nothing is changed.
"""

from __future__ import annotations

import functools
import os
import random
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current
from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from opentelemetry.sdk.metrics._internal import _view_instrument_match
from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir
from opentelemetry.sdk.metrics._internal.measurement import Measurement
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer

if TYPE_CHECKING:
    from collections.abc import Callable

_HOOK: Final = "_clew_recording"
_PLAIN: Final = frozenset({str, int, float, bool, type(None), bytes})
_METHODS: Final[tuple[tuple[type, str, bool], ...]] = (
    (Counter, "add", True),
    (UpDownCounter, "add", False),
    (Histogram, "record", True),
)
"""Instruments, the method that takes a measurement, and whether it takes none below 0."""

_LIMIT: Final = 2.0**63
"""Amounts beyond are rare, and the infinite ones are upstream's to refuse."""

_chance: Final = random.Random()  # noqa: S311 - which measurement becomes an exemplar is no secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_chance.seed)


def install() -> None:
    """Shorten the way of a measurement, and let exemplars be drawn without the program's `random`. Idempotent."""
    module: Any = exemplar_reservoir
    if callable(getattr(module, "randrange", None)):
        module.randrange = _chance.randrange
    if not hasattr(_view_instrument_match, "_hash_attributes"):
        return
    for owner, name, is_positive in _METHODS:
        original = getattr(owner, name)
        if not getattr(original, _HOOK, False):
            setattr(owner, name, _quick(original, is_positive=is_positive))


def uninstall() -> None:
    """Give upstream its own way back, unless someone has hooked over ours."""
    for owner, name, _ in _METHODS:
        current = getattr(owner, name)
        if getattr(current, _HOOK, False):
            setattr(owner, name, current.__wrapped__)


def _quick(original: Callable[..., None], *, is_positive: bool) -> Callable[..., None]:
    least = 0 if is_positive else -_LIMIT

    @functools.wraps(original)
    def record(self: Any, amount: Any, attributes: Any = None, context: Any = None, **more: Any) -> None:
        if type(amount) in {int, float} and least <= amount < _LIMIT and type(attributes) is dict and not more:
            series = _series_of(self, attributes)
            if series is not None:
                _give(series, self, amount, attributes, context or get_current())
                return
        original(self, amount, attributes, context, **more)

    setattr(record, _HOOK, True)
    return record


def _series_of(instrument: Any, attributes: dict[Any, Any]) -> list[Any] | None:
    """Return the series of these attributes in every view of every reader; None where one has yet to be made."""
    try:
        if not (_PLAIN.issuperset(map(type, attributes.values())) and instrument._is_enabled()):  # noqa: SLF001 - see above
            return None
        consumer = instrument._measurement_consumer  # noqa: SLF001 - likewise, so below
        if type(consumer) is not SynchronousMeasurementConsumer:
            return None
        key = _view_instrument_match._hash_attributes(attributes)  # noqa: SLF001
        found = []
        for storage in consumer._reader_storages.values():  # noqa: SLF001
            for match in storage._instrument_view_instrument_matches[instrument]:  # noqa: SLF001
                if match._view._attribute_keys is not None:  # noqa: SLF001
                    return None
                found.append(match._attributes_aggregation[key])  # noqa: SLF001
    except (KeyError, AttributeError, TypeError):
        return None
    return found


def _give(series: list[Any], instrument: Any, amount: float, attributes: dict[str, Any], context: Any) -> None:
    """Let each series take the measurement, as an exemplar too where the filter says so."""
    now_ns = time_ns()
    measurement = object.__new__(Measurement)
    # A frozen dataclass is filled through its dict; the copy is the exemplar's, which the caller must not change.
    measurement.__dict__.update(
        value=amount, time_unix_nano=now_ns, instrument=instrument, context=context, attributes=attributes.copy()
    )
    exemplars = instrument._measurement_consumer._sdk_config.exemplar_filter  # noqa: SLF001 - see above
    is_exemplar = exemplars.should_sample(amount, now_ns, measurement.attributes, context)
    for each in series:
        each.aggregate(measurement, is_exemplar)
