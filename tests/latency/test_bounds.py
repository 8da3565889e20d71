"""Histograms in seconds have bounds in seconds, whoever makes them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)

from clew.files.reader.reading import read
from clew.files.reader.records import MetricRow, ReadStats
from clew.files.reader.sources import find_sources
from clew.latency import bounds
from clew.latency.bounds import DATABASE_BUCKETS_S
from clew.latency.operation import BUCKETS_S
from programs import BIN, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

UPSTREAM = "opentelemetry.instrumentation.celery"
MILLISECONDS = [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0]

PROGRAM = """
import sqlite3
cursor = sqlite3.connect(":memory:").cursor()
cursor.execute("create table orders (number)")
"""


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    bounds.install()
    bounds.install()
    yield
    bounds.uninstall()


def bounds_of(scope: str, name: str, unit: str, views: Sequence[View] = (), **advisory: Any) -> list[float]:
    """Return the bounds that a histogram of a meter ends up with."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=views)
    provider.get_meter(scope).create_histogram(name, unit, **advisory).record(0.2)
    data: Any = reader.get_metrics_data()
    provider.shutdown()
    return list(data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].explicit_bounds)


@pytest.mark.parametrize(
    ("scope", "name", "unit", "expected"),
    [
        (UPSTREAM, "flower.task.runtime.seconds", "seconds", list(BUCKETS_S)),
        ("opentelemetry-sdk", "otel.sdk.exporter.operation.duration", "s", list(BUCKETS_S)),
        ("opentelemetry.instrumentation.sqlite3", "db.client.operation.duration", "s", list(DATABASE_BUCKETS_S)),
        (UPSTREAM, "http.server.request.body.size", "By", MILLISECONDS),
        ("shop", "shop.duration", "s", MILLISECONDS),
    ],
)
def test_bounds(scope: str, name: str, unit: str, expected: list[float]) -> None:
    """Upstream's histograms in seconds get bounds in seconds; others, and the program's own, are left alone."""
    assert expected == bounds_of(scope, name, unit)


def test_choice_of_the_instrumentation_and_the_user() -> None:
    """Bounds that an instrumentation advises stay, and a user's view goes before them and before ours."""
    view = View(instrument_type=Histogram, aggregation=ExplicitBucketHistogramAggregation([7.0]))

    assert [1.0] == bounds_of(UPSTREAM, "x", "s", explicit_bucket_boundaries_advisory=[1.0])
    assert [7.0] == bounds_of(UPSTREAM, "x", "s", [view])


def test_aggregation_of_the_user() -> None:
    """Where the user chose exponential histograms, that is what they are."""
    reader = InMemoryMetricReader(preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
    provider = MeterProvider([reader])
    provider.get_meter(UPSTREAM).create_histogram("x", "s").record(0.2)
    data: Any = reader.get_metrics_data()
    provider.shutdown()

    kind = type(data.resource_metrics[0].scope_metrics[0].metrics[0].data).__name__
    assert "ExponentialHistogram" == kind


def test_database_durations(tmp_path: Path) -> None:
    """The duration of a query is in seconds, in bounds that tell queries apart, with an exemplar, by default."""
    (tmp_path / "program.py").write_text(PROGRAM)
    environ = {**clean_environment(tmp_path), "CLEW_MODE": "file", "CLEW_DIR": str(tmp_path / "files")}
    environ["CLEW_SHUTDOWN_TIMEOUT"] = "12"
    command = [BIN / "opentelemetry-instrument", sys.executable, tmp_path / "program.py"]
    subprocess.run(command, env=environ, check=True, timeout=60)

    rows = read(find_sources([tmp_path / "files"]), ReadStats(), signals=("metrics",))
    points = [row for row in rows if isinstance(row, MetricRow) and row.name == "db.client.operation.duration"]

    assert [("s", list(DATABASE_BUCKETS_S), 1)] == [
        (point.unit, point.raw["explicitBounds"], len(point.raw["exemplars"])) for point in points
    ]
