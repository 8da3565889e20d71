"""The analysis: exact percentiles, rates over time, the slowest and the failing, what telemetry itself cost."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from clew import schema
from clew.desk.analysis import MAX_PERIODS, Overhead, analyse
from clew.desk.durations import Budget, Durations
from clew.files.reader.reading import read
from clew.files.reader.records import ReadStats
from clew.files.reader.sources import find_sources
from otlp_lines import START_NS, counter, metrics_line, span, spans_line, write

if TYPE_CHECKING:
    from pathlib import Path

    from clew.desk.analysis import Analysis

durations_ns = st.lists(st.integers(0, 2**50), min_size=1, max_size=60)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=4)


def _analyse(*paths: Path) -> Analysis:
    return analyse(read(find_sources(paths), ReadStats()))


def _filled(values: list[int], budget: Budget) -> Durations:
    durations = Durations(budget)
    for value in values:
        durations.add(value)
    return durations


@given(durations_ns, shares)
def test_percentiles_are_exact(values: list[int], wanted: list[float]) -> None:
    """A percentile is the smallest value that at least that share of all does not exceed."""
    ordered = sorted(values)
    expected = tuple(ordered[max(0, math.ceil(share * len(values)) - 1)] for share in wanted)

    found = _filled(values, Budget())

    assert expected == found.percentiles_ns(wanted)
    assert (True, len(values), sum(values), max(values)) == (
        found.is_exact,
        found.count,
        found.total_ns,
        found.longest_ns,
    )


@given(durations_ns, shares, st.integers(0, 20))
def test_percentiles_beyond_the_budget(values: list[int], wanted: list[float], limit: int) -> None:
    """With the budget used up a percentile is off by a thousandth at most."""
    exact = _filled(values, Budget()).percentiles_ns(wanted)

    rounded = _filled(values, Budget(limit)).percentiles_ns(wanted)

    assert all(abs(one - other) <= one / 1000 + 1 for one, other in zip(exact, rounded, strict=True))


@given(durations_ns, durations_ns, st.integers(0, 40))
def test_joined_durations(first: list[int], second: list[int], limit: int) -> None:
    """Joining two sets counts all values of both."""
    budget = Budget(limit)
    joined = _filled(first, budget)

    joined.extend(_filled(second, budget))

    assert (len(first + second), sum(first + second), max(first + second)) == (
        joined.count,
        joined.total_ns,
        joined.longest_ns,
    )
    (median,) = joined.percentiles_ns([0.5])
    (expected,) = _filled(first + second, Budget()).percentiles_ns([0.5])
    assert abs(median - expected) <= expected / 1000 + 1


def test_operations_by_route(tmp_path: Path) -> None:
    """HTTP servers are counted by method and route, whatever their span is called; others by the span's name."""
    routed = {"http.route": "/orders/{id}", "http.request.method": "GET"}
    made = [
        span(f"{number:016x}", f"GET /orders/{number}", kind=2, end=number, failed=number > 98, **routed)
        for number in range(1, 101)
    ]
    path = write(
        tmp_path / "traces.jsonl", spans_line("shop", *made, span("f" * 16, "SELECT", parent="1" * 16, kind=3, end=7))
    )

    found = _analyse(path)

    assert [("shop", "GET /orders/{id}", "server"), ("shop", "SELECT", "client")] == [
        (one.service, one.name, one.kind) for one in found.operations
    ]
    latency = found.operations[0].latency
    milliseconds = (latency.p50_ns, latency.p90_ns, latency.p95_ns, latency.p99_ns, latency.longest_ns)
    assert (50, 90, 95, 99, 100) == tuple(value // 1_000_000 for value in milliseconds)
    assert (100, 2, 0.02) == (latency.count, latency.errors, latency.error_rate)
    assert latency == found.requests
    assert [100, 99, 98] == [example.duration_ns // 1_000_000 for example in found.slowest[:3]]
    assert [True, True] == [example.is_failed for example in found.failing]


def test_time_line_is_bounded_and_complete(tmp_path: Path) -> None:
    """Requests over days make a bounded number of periods, none is lost, and the heat map counts the same ones."""
    made = [span(f"{number:016x}", begin=number * 60_000, end=number * 60_000 + 5) for number in range(1, 3001)]
    path = write(tmp_path / "traces.jsonl", spans_line("shop", *made))

    periods = _analyse(path).periods

    assert 0 < len(periods) <= MAX_PERIODS
    assert 3000 == sum(period.latency.count for period in periods)
    assert 3000 == sum(count for period in periods for _, count in period.heat)
    assert {periods[0].width_ns} == {after.start_ns - before.start_ns for before, after in pairwise(periods)}
    assert periods[0].start_ns <= START_NS + 60 * 10**9 < periods[0].start_ns + periods[0].width_ns


def test_overhead(tmp_path: Path) -> None:
    """Of a cumulative count the last value of each process counts, of delta ones the sum."""
    delivered = schema.METRIC_DELIVERED
    dropped = {schema.SIGNAL: "logs", schema.OUTCOME: "dropped", schema.REASON: "queue-full"}
    path = write(
        tmp_path / "metrics.jsonl",
        metrics_line("shop", counter(delivered, 3, ms=1, **dropped)),
        metrics_line("shop", counter(delivered, 5, ms=2, **dropped)),
        metrics_line("cart", counter(delivered, 2, temporality=1, **dropped)),
        metrics_line("cart", counter(delivered, 4, temporality=1, **dropped)),
        metrics_line("shop", counter(schema.METRIC_OVERHEAD_CPU, 7, **{schema.COMPONENT: "delivery"})),
        metrics_line("shop", counter("something.else", 9)),
    )

    overhead = _analyse(path).overhead

    assert (
        Overhead(
            cpu_s=(("shop", "delivery", 7.0),),
            records=(("cart", "logs", "dropped", "queue-full", 6), ("shop", "logs", "dropped", "queue-full", 5)),
        )
        == overhead
    )
    assert 11 == overhead.dropped


def test_nothing(tmp_path: Path) -> None:
    """No records make an empty analysis, not an error."""
    (tmp_path / "x").mkdir()

    found = _analyse(tmp_path / "x")

    assert (0, (), (), 0) == (found.spans, found.periods, found.operations, found.requests.p99_ns)
