"""How many inbound correlation IDs were not taken, as a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import Observation

from clew import schema
from clew.correlation.propagation import rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider


def register_metrics(provider: MeterProvider) -> None:
    """Observe the rejected IDs in a meter of `provider`; once for each provider."""
    unit, description = schema.METRICS[schema.METRIC_IDS_REJECTED]
    meter = provider.get_meter("clew.correlation")
    meter.create_observable_counter(schema.METRIC_IDS_REJECTED, [_observe], unit=unit, description=description)


def _observe(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(count, {schema.REASON: reason}) for reason, count in rejected().items()]
