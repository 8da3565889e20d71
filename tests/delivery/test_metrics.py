"""Metrics take the way of logs and spans, a child starts at nothing, and delivery tells about itself."""

from __future__ import annotations

import os
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from pipelines import connect, make_delivery, make_entry, outcomes, stored_records

from clew.delivery import metric_state
from clew.delivery.metric_exporters import ClewFileMetricExporter, ClewMetricExporter
from clew.delivery.self_metrics import register_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from clew.delivery.pipeline import Delivery
    from receiver import Receiver


def provide(exporter: Any) -> MeterProvider:
    """Make a provider that exports when it is flushed."""
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    return MeterProvider([reader], shutdown_on_exit=False)


def export_to(receiver: Receiver, delivery: Delivery, protocol: str, monkeypatch: pytest.MonkeyPatch) -> MeterProvider:
    """Make a provider whose metrics go through `delivery`."""
    endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    return provide(ClewMetricExporter(delivery))


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_outage(protocol: str, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection made while the Collector is away waits on disk and arrives."""
    delivery = make_delivery(tmp_path)
    provider = export_to(receiver, delivery, protocol, monkeypatch)
    provider.get_meter("test").create_counter("orders", unit="{order}").add(3, {"kind": "new"})
    receiver.stop()
    assert provider.force_flush()
    assert {"metrics": 1} == stored_records(tmp_path)
    receiver.start()
    receiver.wait_for(lambda it: it.metrics)

    (point,) = receiver.metrics
    assert ("orders", "{order}", 3.0, {"kind": "new"}) == (point.name, point.unit, point.value, point.attributes)
    deadline = time.monotonic() + 10
    while len(outcomes(delivery)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)  # the receiver has it before its answer is counted
    assert {("metrics", "spooled", ""): 1, ("metrics", "replayed", ""): 1} == outcomes(delivery)
    provider.shutdown()
    delivery.close(1)


def test_files(tmp_path: Path) -> None:
    """`clew_file` writes metrics to segments."""
    delivery = make_delivery(tmp_path)
    provider = provide(ClewFileMetricExporter(delivery))
    provider.get_meter("test").create_histogram("latency").record(0.1)
    provider.shutdown()
    delivery.close(1)

    assert {("metrics", "delivered", ""): 1} == outcomes(delivery)
    assert ["clew"] == [path.parent.name for path in tmp_path.rglob("*.jsonl")]


def test_preferences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE holds."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    exporter = ClewMetricExporter(make_delivery(tmp_path))

    assert {"DELTA"} <= {temporality.name for temporality in exporter._preferred_temporality.values()}


def test_child_starts_at_nothing() -> None:
    """A forked child reports what it measures, not its parent's sums, though a thread of the parent was exporting."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("test").create_counter("work")
    counter.add(5)
    reader._export_lock = threading.Lock()
    reader._export_lock.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        metric_state.reset(provider)
        had = metric_state.has_measurements(provider)
        counter.add(1)
        os.write(writing, pickle.dumps((had, values(reader), reader._export_lock.locked())))
        os._exit(0)
    os.waitpid(child, 0)
    told = pickle.loads(os.read(reading, 10_000))
    os.close(reading)
    os.close(writing)

    assert (False, {"work": 1}, False) == told
    assert metric_state.has_measurements(provider)
    assert {"work": 5} == values(reader)


def values(reader: InMemoryMetricReader) -> dict[str, float]:
    """Collect, and return the value of each metric that has one point."""
    data = reader.get_metrics_data()
    return {
        metric.name: metric.data.data_points[0].value
        for of_resource in (data.resource_metrics if data else ())
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }


def test_unknown_provider() -> None:
    """A provider that is not the SDK's, or of a release that hides its storages, is left alone."""

    class Hidden:
        _measurement_consumer = object()

    for provider in (object(), Hidden()):
        metric_state.reset(provider)
        assert not metric_state.has_measurements(provider)


def test_self_metrics(receiver: Receiver, tmp_path: Path) -> None:
    """What became of records, what waits and what it costs can be read as metrics."""
    delivery = connect(make_delivery(tmp_path), receiver)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    register_metrics(delivery, provider)
    for number in range(7):
        delivery.put_log(make_entry(number))
    assert delivery.flush(5)

    data = reader.get_metrics_data()
    assert data is not None
    points = {
        (metric.name, *sorted(point.attributes.items())): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    delivered = ("clew.delivery.records", ("outcome", "delivered"), ("signal", "logs"))
    assert 7 == points.pop(delivered)
    assert len(receiver.requests[0].body) == points.pop(("clew.delivery.sent.bytes", ("signal", "logs")))
    assert 0 < points.pop(("clew.overhead.cpu_time", ("component", "delivery"))) < 5
    assert 0 == points.pop(("clew.delivery.spool.bytes",))
    assert {("clew.delivery.queue.depth", ("signal", name)): 0 for name in ("logs", "metrics", "traces")} == points
    delivery.close(1)
