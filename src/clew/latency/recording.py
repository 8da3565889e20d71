"""Recording a measurement of a series that exists, in one step.

Upstream makes a record of each measurement, cleans its attributes, asks every reader's storage for the views of the
instrument, and hashes the attributes for each. Where the attributes are plain and the series is there already, all of
that finds what it found the last time: here the series are remembered with their instrument and given the measurement.
Whatever is out of the ordinary goes upstream's own way: a new series, other attributes, a view that leaves some out, an
instrument that is off.

The private names of the SDK's metrics that this needs stand in this module and in `clew.latency.taking` only; where one
is gone nothing is changed.
"""

from __future__ import annotations

import functools
import os
import random
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from opentelemetry.sdk.metrics._internal import _view_instrument_match
from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir
from opentelemetry.sdk.metrics._internal.measurement import Measurement
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer

from clew.bounded import PLAIN
from clew.current import current_context
from clew.latency import taking

if TYPE_CHECKING:
    from collections.abc import Callable

# ruff: noqa: SLF001 - see the module's docstring

_HOOK: Final = "_clew_recording"
_SERIES: Final = "_clew_series"
"""The attribute of an instrument that holds its readers' storages and, by attributes, the series found in them."""

_Series: TypeAlias = "tuple[tuple[Any, taking.Take | None], ...]"
"""The series of one set of attributes in every view of every reader, each with its quick way to take a measurement."""

_MAX_KEYS: Final = 4096
"""Orders of attributes that are remembered for an instrument; series are fewer, by their own limit."""

_NUMBERS: Final = frozenset({int, float})
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
        if type(amount) in _NUMBERS and least <= amount < _LIMIT and type(attributes) is dict and not more:
            series = _series_of(self, attributes)
            if series is not None:
                here = context or current_context()
                exemplars = self._measurement_consumer._sdk_config.exemplar_filter
                if taking.is_surely_none(exemplars, here):
                    _give(series, self, amount, attributes, here)
                else:
                    _offer(series, self, amount, attributes, here)
                return
        original(self, amount, attributes, context, **more)

    setattr(record, _HOOK, True)
    return record


def _series_of(instrument: Any, attributes: dict[Any, Any]) -> _Series | None:
    """Return the series of these attributes; None where one has yet to be made, or none must be."""
    values = tuple(attributes.values())
    # Types are in the key, since 1, 1.0 and True are equal.
    key = (tuple(attributes), values, tuple(map(type, values)))
    try:
        storages = instrument._measurement_consumer._reader_storages
        known = instrument.__dict__.get(_SERIES)
        # A forked child has storages of its own.
        if known is None or known[0] is not storages:
            known = instrument.__dict__[_SERIES] = (storages, {})
        found: _Series | None = known[1].get(key)
        if found is None:
            found = _find(instrument, attributes)
            if found is not None and len(known[1]) < _MAX_KEYS:
                known[1][key] = found
        return found if instrument._is_enabled() else None
    except (KeyError, AttributeError, TypeError):
        return None


def _find(instrument: Any, attributes: dict[Any, Any]) -> _Series | None:
    consumer = instrument._measurement_consumer
    if type(consumer) is not SynchronousMeasurementConsumer or not PLAIN.issuperset(map(type, attributes.values())):
        return None
    key = _view_instrument_match._hash_attributes(attributes)
    found = []
    for storage in consumer._reader_storages.values():
        for match in storage._instrument_view_instrument_matches[instrument]:
            if match._view._attribute_keys is not None:
                return None
            each = match._attributes_aggregation[key]
            found.append((each, taking.way_of(each)))
    return tuple(found)


def _give(series: _Series, instrument: Any, amount: float, attributes: dict[str, Any], context: Any) -> None:
    """Let each series take a measurement that is no exemplar."""
    for each, take in series:
        if take is not None:
            take(each, amount)
        else:
            each.aggregate(_measurement(instrument, amount, attributes, context), should_sample_exemplar=False)


def _offer(series: _Series, instrument: Any, amount: float, attributes: dict[str, Any], context: Any) -> None:
    """Let each series take a measurement, as an exemplar too where the filter says so."""
    measurement = _measurement(instrument, amount, attributes, context)
    now_ns, exemplars = measurement.time_unix_nano, instrument._measurement_consumer._sdk_config.exemplar_filter
    is_exemplar = taking.is_surely_one(exemplars, context) or exemplars.should_sample(
        amount, now_ns, measurement.attributes, context
    )
    for each, take in series:
        if take is None:
            each.aggregate(measurement, is_exemplar)
            continue
        take(each, amount)
        if is_exemplar:
            taking.offer(each._reservoir, measurement)


def _measurement(instrument: Any, amount: float, attributes: dict[str, Any], context: Any) -> Any:
    """Make upstream's record of a measurement; the copy of the attributes is the exemplar's."""
    measurement = object.__new__(Measurement)
    # A frozen dataclass is filled through its dict.
    measurement.__dict__.update(
        value=amount, time_unix_nano=time_ns(), instrument=instrument, context=context, attributes=attributes.copy()
    )
    return measurement
