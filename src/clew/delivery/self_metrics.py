"""Delivery's own metrics: what became of each record, what waits, what it costs. Read only when collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation

from clew import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import MeterProvider

    from clew.delivery.pipeline import Delivery

    Callback = Callable[[CallbackOptions], Iterable[Observation]]

_SCOPE = "clew"


def register_metrics(delivery: Delivery, provider: MeterProvider) -> None:
    """Observe `delivery` in the meters of `provider`; once for each provider."""
    meter = provider.get_meter(_SCOPE)

    def add(create: Callable[..., object], name: str, observe: Callable[[], Iterable[Observation]]) -> None:
        unit, description = schema.METRICS[name]
        create(name, callbacks=[lambda _options: observe()], unit=unit, description=description)

    add(meter.create_observable_counter, schema.METRIC_DELIVERED, lambda: _delivered(delivery))
    add(meter.create_observable_counter, schema.METRIC_SENT_BYTES, lambda: _by_signal(delivery.sent_bytes()))
    add(meter.create_observable_gauge, schema.METRIC_QUEUE_DEPTH, lambda: _by_signal(delivery.queue_depths()))
    add(meter.create_observable_gauge, schema.METRIC_SPOOL_BYTES, lambda: [Observation(delivery.spool.size_bytes())])
    add(meter.create_observable_counter, schema.METRIC_OVERHEAD_CPU, lambda: _cpu_time(delivery))


def _delivered(delivery: Delivery) -> list[Observation]:
    return [
        Observation(
            tally.records,
            {schema.SIGNAL: tally.signal, schema.OUTCOME: tally.outcome}
            | ({schema.REASON: tally.reason} if tally.reason else {}),
        )
        for tally in delivery.counts()
    ]


def _by_signal(numbers: dict[str, int]) -> list[Observation]:
    return [Observation(number, {schema.SIGNAL: signal}) for signal, number in numbers.items()]


def _cpu_time(delivery: Delivery) -> list[Observation]:
    return [Observation(delivery.cpu_time_s(), {schema.COMPONENT: "delivery"})]
