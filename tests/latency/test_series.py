"""Metrics of other people's code: exemplars, and series that stay few."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from clew import otel_variables
from clew.latency import series
from clew.latency.operation import BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """Return a reader; the limit of series is gone afterwards."""
    yield InMemoryMetricReader()
    series.unlimit_series()


def points(reader: InMemoryMetricReader) -> list[Any]:
    """Return every point that was collected."""
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


class TestLimit:
    """No instrument's series grow without end."""

    def test_overflow(self, reader: InMemoryMetricReader, capsys: pytest.CaptureFixture[str]) -> None:
        """Past the limit all new series are one, known ones go on, nothing is lost, and one line says so."""
        series.limit_series(5)
        provider = MeterProvider([reader])
        counter = provider.get_meter("test").create_counter("requests")
        for number in range(20):
            counter.add(1, {"host": f"h{number}"})
        counter.add(1, {"host": "h0"})

        found = {tuple(point.attributes.items()): point.value for point in points(reader)}
        provider.shutdown()

        assert found == {
            (("host", "h0"),): 2,
            (("host", "h1"),): 1,
            (("host", "h2"),): 1,
            (("host", "h3"),): 1,
            (("otel.metric.overflow", True),): 16,
        }
        assert capsys.readouterr().err == ("clew: metric requests has 5 series; further ones are counted together\n")

    def test_views_of_the_user(self, reader: InMemoryMetricReader) -> None:
        """Attributes that a view leaves out make no series."""
        series.limit_series(3)
        provider = MeterProvider([reader], views=[View(instrument_name="requests", attribute_keys={"kind"})])
        counter = provider.get_meter("test").create_counter("requests")
        for number in range(20):
            counter.add(1, {"host": f"h{number}", "kind": "a"})

        found = [(dict(point.attributes), point.value) for point in points(reader)]
        provider.shutdown()

        assert found == [({"kind": "a"}, 20)]


FRAMEWORKS = ["aiohttp", "asgi", "django", "fastapi", "flask", "starlette", "wsgi"]
BOUNDED = {
    "error.type", "http.request.method", "http.response.status_code", "http.route", "network.protocol.version",
    "server.address", "server.port", "url.scheme",
}  # fmt: skip


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_http_series(framework: str) -> None:
    """By default HTTP durations are in seconds with exemplars, and their series are by route, never by path."""
    program = Path(__file__).with_name("http_frameworks.py")
    environ = {**os.environ, **otel_variables.defaults({})}
    run = subprocess.run([sys.executable, program, framework], capture_output=True, text=True, check=True, env=environ)
    found = [one for one in json.loads(run.stdout) if one["name"].startswith("http.")]
    durations = [one for one in found if one["name"] == "http.server.request.duration"]

    assert {"s"} == {one["unit"] for one in durations}
    assert [list(BUCKETS_S)] * len(durations) == [one["bounds"] for one in durations]
    assert all(one["exemplars"] for one in durations)
    assert {key for one in found for key in one["attributes"]} <= BOUNDED
    assert len(found) <= 12
