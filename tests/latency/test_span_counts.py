"""Spans are counted under upstream's names, and cheaply."""

from __future__ import annotations

import subprocess
import sys
import threading

from opentelemetry.metrics import CallbackOptions
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanContext

from clew.latency.span_counts import SpanCounts

PROGRAM = """
from clew.latency import span_counts
span_counts.install()
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
reader = InMemoryMetricReader()
meters = MeterProvider([reader])
span_counts.register(meters)
tracer = TracerProvider(meter_provider=meters).get_tracer("t")
quiet = TracerProvider(sampler=ALWAYS_OFF, meter_provider=meters).get_tracer("t")
open_span = tracer.start_span("open")
with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
    pass
quiet.start_span("dropped").end()
for _ in range(2):
    for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
        if not metric.name.startswith("otel.sdk.span."):
            continue
        points = sorted((sorted(point.attributes.values()), point.value) for point in metric.data.data_points)
        print(metric.name, metric.unit, points)
"""


def test_metrics_are_upstreams() -> None:
    """Names, units, attributes and values are what the SDK records, and a collection changes none of them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    started = (
        "otel.sdk.span.started {span} [(['DROP', 'none'], 1), (['RECORD_AND_SAMPLE', 'local'], 1), "
        "(['RECORD_AND_SAMPLE', 'none'], 2)]"
    )
    live = "otel.sdk.span.live {span} [(['RECORD_AND_SAMPLE'], 1), (['RECORD_ONLY'], 0)]"
    assert [started, live] * 2 == done.stdout.splitlines()


def test_threads_lose_no_count() -> None:
    """Spans started on many threads at once are all counted."""
    counts = SpanCounts()
    parent = SpanContext(1, 1, is_remote=True)

    def work() -> None:
        for _ in range(5000):
            counts.start_span(parent, Decision.RECORD_AND_SAMPLE)()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [40_000] == [item.value for item in counts.observe_started(CallbackOptions())]
    assert [0, 0] == [item.value for item in counts.observe_live(CallbackOptions())]
