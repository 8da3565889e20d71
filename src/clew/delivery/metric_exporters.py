"""Metric exporters that hand each collection to `Delivery`, to be sent, stored and counted as logs and spans are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from clew.delivery.endpoints import make_transport
from clew.otel_variables import otlp_protocol
from clew.settings import process_environment

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from clew.delivery.pipeline import Delivery
    from clew.delivery.transport import Encoding


class _QueuingMetricExporter(MetricExporter):
    """Queues what the reader collects."""

    def __init__(self, delivery: Delivery | None, **preferences: Any) -> None:
        super().__init__(**preferences)
        self._delivery = delivery

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - it takes no time
        **_: Any,
    ) -> MetricExportResult:
        """Queue one collection; what becomes of it is counted there."""
        if self._delivery is None:
            return MetricExportResult.FAILURE
        self._delivery.put_metrics(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Deliver or store what is queued."""
        return self._delivery is None or self._delivery.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - the process's own bound holds
        """Flush, within `CLEW_SHUTDOWN_TIMEOUT`."""
        if self._delivery is not None:
            self._delivery.end_metrics()
            self._delivery.shutdown(self._delivery.settings.shutdown_timeout_s)


class ClewMetricExporter(_QueuingMetricExporter):
    """Sends metrics to the endpoint that OpenTelemetry's variables name, in the protocol that they name."""

    def __init__(self, delivery: Delivery | None = None) -> None:
        """Make the exporter; without `delivery`, or where upstream's exporter hides its endpoint, that one sends."""
        protocol = otlp_protocol(process_environment(), "metrics")
        upstream: Any = _upstream_exporter(protocol)
        super().__init__(
            delivery,
            preferred_temporality=getattr(upstream, "_preferred_temporality", None),
            preferred_aggregation=getattr(upstream, "_preferred_aggregation", None),
        )
        encoding: Encoding = "json" if protocol == "http/json" else "protobuf"
        transport = None if delivery is None else make_transport(upstream, "metrics", encoding=encoding)
        self._upstream = upstream if transport is None else None
        if delivery is not None and transport is not None:
            delivery.add_collector("metrics", transport)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Queue one collection."""
        if self._upstream is not None:
            result: MetricExportResult = self._upstream.export(metrics_data, timeout_millis, **kwargs)
            return result
        return super().export(metrics_data, timeout_millis, **kwargs)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Flush."""
        if self._upstream is not None:
            self._upstream.shutdown(timeout_millis, **kwargs)
        else:
            super().shutdown(timeout_millis, **kwargs)


class ClewFileMetricExporter(_QueuingMetricExporter):
    """Chosen by `OTEL_METRICS_EXPORTER=clew_file`: metrics go to segments in `CLEW_DIR`."""

    def __init__(self, delivery: Delivery | None = None) -> None:
        super().__init__(delivery)
        if delivery is not None:
            delivery.add_files("metrics")


QUEUING: Final = (ClewMetricExporter, ClewFileMetricExporter)
"""The classes that are to be made with the process's `Delivery`."""


def _upstream_exporter(protocol: str) -> MetricExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415 - only the one that is used
            OTLPMetricExporter as GrpcExporter,
        )

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - as above
        OTLPMetricExporter as HttpExporter,
    )

    return HttpExporter()
