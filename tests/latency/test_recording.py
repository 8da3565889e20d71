"""Measurements taken in one step are collected as those taken upstream's way."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics._internal import _view_instrument_match
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.trace import TracerProvider

from clew.latency import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

AMOUNTS = st.integers(-3, 2**65) | st.floats(width=32) | st.booleans()
HAS_QUICK_WAY = hasattr(_view_instrument_match, "_hash_attributes")
"""SDK 1.44 knows a series by another key, and raises for values that have no hash."""

VALUES = st.sampled_from(["a", "b", 1, 1.0, True, None, b"a", ("a",), *([["a", 1], {"k": 1}] if HAS_QUICK_WAY else [])])
ATTRIBUTES = st.none() | st.dictionaries(st.sampled_from(["x", "y", "dropped", "", 1]), VALUES, max_size=3)
CALLS = st.lists(
    st.tuples(st.sampled_from(["counter", "updown", "histogram", "viewed", "off"]), AMOUNTS, ATTRIBUTES, st.booleans()),
    max_size=12,
)
DELTA = dict.fromkeys((Counter, UpDownCounter, Histogram), AggregationTemporality.DELTA)
SPAN = trace.set_span_in_context(
    TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("sampled"), Context()
)


@pytest.fixture(autouse=True)
def _uninstalled() -> Iterator[None]:
    recording.uninstall()
    yield
    recording.uninstall()


class _Meters:
    """Instruments with two readers and two views, and what was collected of them."""

    def __init__(self) -> None:
        self.readers = [InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=DELTA)]
        views = [
            View(instrument_name="viewed", attribute_keys={"x"}),
            View(instrument_name="off", aggregation=DropAggregation()),
        ]
        meter = MeterProvider(self.readers, views=views, shutdown_on_exit=False).get_meter("t")
        self.instruments: dict[str, Any] = {
            "counter": meter.create_counter("counter").add,
            "updown": meter.create_up_down_counter("updown").add,
            "histogram": meter.create_histogram("histogram").record,
            "viewed": meter.create_counter("viewed").add,
            "off": meter.create_counter("off").add,
        }

    def collect(self) -> list[Any]:
        """Return the points of each reader without their times."""
        return [_points(reader.get_metrics_data()) for reader in self.readers]


def _points(data: Any) -> list[Any]:
    metrics = data.resource_metrics[0].scope_metrics[0].metrics if data is not None else ()
    return [
        (metric.name, type(metric.data).__name__, [_point(point) for point in metric.data.data_points])
        for metric in metrics
    ]


def _point(point: Any) -> Any:
    """Return a point's values and its exemplars; which measurement of a sum is its exemplar is chance."""
    timeless = {key: repr(value) for key, value in vars(point).items() if not key.endswith("time_unix_nano")}
    exemplars = [
        (each.filtered_attributes, each.value, each.trace_id, each.span_id) for each in vars(point)["exemplars"]
    ]
    return timeless | {"exemplars": exemplars if hasattr(point, "bucket_counts") else len(exemplars)}


def _run(calls: list[Any]) -> list[Any]:
    meters = _Meters()
    collected = []
    for index, (name, amount, attributes, is_in_span) in enumerate(calls * 2):
        meters.instruments[name](amount, attributes, SPAN if is_in_span else Context())
        if index == len(calls):
            collected.append(meters.collect())
    return [*collected, meters.collect()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(CALLS)
def test_points_and_exemplars_are_upstreams(calls: list[Any]) -> None:
    """The same calls give the same points and exemplars, cumulative and delta, with views, over two collections."""
    recording.uninstall()
    expected = _run(calls)
    recording.install()

    assert expected == _run(calls)


def test_moved_names_leave_upstreams_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK has its series elsewhere, measurements are taken as before."""
    monkeypatch.delattr(_view_instrument_match, "_hash_attributes", raising=False)
    original = Counter.add

    recording.install()

    assert original is Counter.add


def test_programs_random_is_left_alone() -> None:
    """Exemplars are drawn from another generator: a seeded program sees the numbers that it sees without us."""
    recording.install()
    counter = _Meters().instruments["counter"]
    random.seed(7)
    expected = random.random()

    random.seed(7)
    for _ in range(10):
        counter(1, {"x": "a"}, SPAN)

    assert expected == random.random()
