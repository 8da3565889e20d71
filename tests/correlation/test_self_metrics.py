"""What comes in and is not taken can be seen in a metric."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from clew.correlation.propagation import ClewPropagator
from clew.correlation.self_metrics import register_metrics
from clew.settings import Settings


def _rejected(reader: InMemoryMetricReader) -> dict[str, int]:
    data = reader.get_metrics_data()
    found = [] if data is None else data.resource_metrics
    metrics = [metric for resource in found for scope in resource.scope_metrics for metric in scope.metrics]
    points = [
        point for metric in metrics if metric.name == "clew.correlation.rejected" for point in metric.data.data_points
    ]
    return {point.attributes["reason"]: point.value for point in points}


def test_rejected_ids_are_counted_by_reason() -> None:
    """Each inbound ID that is not taken moves the metric by one, under its reason."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    register_metrics(provider)
    before = _rejected(reader)

    ClewPropagator(Settings()).extract({"x-correlation-id": "<script>"})
    ClewPropagator(Settings()).extract({"x-correlation-id": "x" * 129})

    after = _rejected(reader)
    provider.shutdown()
    assert {"characters": 1, "length": 1} == {key: after[key] - before.get(key, 0) for key in ("characters", "length")}
