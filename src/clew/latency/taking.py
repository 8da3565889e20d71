"""How the SDK's series take a measurement: by upstream's steps, with a third of the calls.

The private names of its aggregations, exemplar filters and reservoirs that this needs stand here. What uses any other
in some release is left to itself.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.context import Context
from opentelemetry.sdk.metrics._internal import aggregation
from opentelemetry.sdk.metrics._internal.exemplar import exemplar_filter, exemplar_reservoir
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Callable

# ruff: noqa: SLF001 - see the module's docstring

Take: TypeAlias = "Callable[[Any, float], None]"
"""Lets a series take an amount, without an exemplar."""

_SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))


def is_surely_none(exemplars: Any, context: Any) -> bool:
    """Return whether no measurement of `context` is an exemplar by this filter."""
    return exemplars.__class__ in _TRACE_BASED and context.get(_SPAN_KEY) is None


def is_surely_one(exemplars: Any, context: Any) -> bool:
    """Return whether a measurement of `context` is an exemplar by this filter; False leaves it to the filter."""
    if exemplars.__class__ not in _TRACE_BASED:
        return False
    span = context.get(_SPAN_KEY)
    return isinstance(span, Span) and bool(span.get_span_context()[3] & 1)


def way_of(series: Any) -> Take | None:
    """Return the quick way of a series, if there is one."""
    return _WAYS.get(series.__class__)


def offer(reservoir: Any, measurement: Any) -> None:
    """Offer a measurement to a reservoir, as the series does."""
    amount, now_ns = measurement.value, measurement.time_unix_nano
    attributes, context = measurement.attributes, measurement.context
    span = context.get(_SPAN_KEY)
    if reservoir.__class__ not in _ALIGNED or not isinstance(span, Span):
        reservoir.offer(amount, now_ns, attributes, context)
        return
    here = span.get_span_context()
    with reservoir._lock:
        bucket = reservoir._reservoir_storage[bisect_left(reservoir._boundaries, amount)]
        bucket._ExemplarBucket__value = amount
        bucket._ExemplarBucket__time_unix_nano = now_ns
        bucket._ExemplarBucket__attributes = attributes
        bucket._ExemplarBucket__span_id = here[1]
        bucket._ExemplarBucket__trace_id = here[0]
        bucket._ExemplarBucket__offered = True


def _take_sum(series: Any, amount: float) -> None:
    with series._lock:
        value = series._value
        series._value = (0 if value is None else value) + amount


def _take_histogram(series: Any, amount: float) -> None:
    with series._lock:
        counts = series._value
        if counts is None:
            counts = series._value = [0] * (len(series._boundaries) + 1)
        series._sum += amount
        if series._record_min_max:
            series._min = min(series._min, amount)
            series._max = max(series._max, amount)
        counts[bisect_left(series._boundaries, amount)] += 1


_SUM: Final = "_lock _sample_exemplar _value value"
_HISTOGRAM: Final = (
    "_boundaries _get_empty_bucket_counts _lock _max _min _record_min_max _sample_exemplar _sum _value bisect_left max"
    " min value"
)
_SAMPLE: Final = "_reservoir attributes context offer time_unix_nano value"
_FILTER: Final = "INVALID_SPAN get_current_span get_span_context sampled trace trace_flags"
_OFFER: Final = "BucketIndexError _find_bucket_index _lock _reservoir_storage offer"
_FIND: Final = "_boundaries enumerate len"
_BUCKET: Final = (
    "INVALID_SPAN _ExemplarBucket__attributes _ExemplarBucket__offered _ExemplarBucket__span_id"
    " _ExemplarBucket__time_unix_nano _ExemplarBucket__trace_id _ExemplarBucket__value get_current_span"
    " get_span_context span_id trace trace_id"
)
"""The names that upstream's functions use, in the releases whose steps are those taken here."""


def _known(module: Any, name: str, **used: str) -> list[Any]:
    """Return the class `name` of `module` in a list, if its methods use no other names than those in `used`."""
    found: Any = getattr(module, name, None)
    codes = {method: getattr(getattr(found, method, None), "__code__", None) for method in used}
    is_known = all(
        code is not None and set(code.co_names) <= set(used[method].split()) for method, code in codes.items()
    )
    return [found] if is_known else []


_WAYS: Final[dict[Any, Take]] = {
    **dict.fromkeys(_known(aggregation, "_SumAggregation", aggregate=_SUM, _sample_exemplar=_SAMPLE), _take_sum),
    **dict.fromkeys(
        _known(aggregation, "_ExplicitBucketHistogramAggregation", aggregate=_HISTOGRAM, _sample_exemplar=_SAMPLE),
        _take_histogram,
    ),
}
_TRACE_BASED: Final = frozenset(_known(exemplar_filter, "TraceBasedExemplarFilter", should_sample=_FILTER))
_ALIGNED: Final = frozenset(
    _known(exemplar_reservoir, "AlignedHistogramBucketExemplarReservoir", offer=_OFFER, _find_bucket_index=_FIND)
    if _known(exemplar_reservoir, "ExemplarBucket", offer=_BUCKET)
    else ()
)
