"""What the tests of latency look at: finished spans and the points of the duration histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.schema import METRIC_OPERATION_DURATION

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Telemetry:
    """In-memory telemetry of one test."""

    def __init__(self, exporter: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
        self._exporter = exporter
        self._reader = reader

    def spans(self) -> list[ReadableSpan]:
        """Return the finished spans in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def durations(self) -> list[HistogramDataPoint]:
        """Return the points of `clew.operation.duration`."""
        data = self._reader.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return [
            point for metric in metrics if metric.name == METRIC_OPERATION_DURATION for point in metric.data.data_points
        ]

    def attributes(self) -> list[dict[str, object]]:
        """Return the attributes of each point."""
        return [dict(point.attributes) for point in self.durations()]
