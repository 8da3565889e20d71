"""OpenTelemetry's batching variables hold where they are set, and what suits the pipeline where they are not."""

from __future__ import annotations

import pytest

from clew.otel_variables import Batching, batching

OWN = Batching(1000, 512, 1.0, 30.0)


@pytest.mark.parametrize(("signal", "prefix"), [("traces", "OTEL_BSP_"), ("logs", "OTEL_BLRP_")])
def test_variables(signal: str, prefix: str) -> None:
    """Each variable is read for its signal, times in milliseconds."""
    environ = {
        f"{prefix}MAX_QUEUE_SIZE": "300",
        f"{prefix}MAX_EXPORT_BATCH_SIZE": "20",
        f"{prefix}SCHEDULE_DELAY": "250",
        f"{prefix}EXPORT_TIMEOUT": "4000",
    }

    assert Batching(300, 20, 0.25, 4.0) == batching(environ, signal, 1000)
    assert OWN == batching(environ, "metrics", 1000)


def test_defaults() -> None:
    """Where nothing is set the queue is `CLEW_QUEUE_SIZE`, and a batch is never larger than the queue."""
    assert [OWN] * 3 == [batching({}, signal, 1000) for signal in ("traces", "metrics", "logs")]
    assert 100 == batching({}, "logs", 100).batch_size


@pytest.mark.parametrize("text", ["", " ", "0", "-1", "many", "1.5"])
def test_bad_value(text: str) -> None:
    """A value that cannot be used is as if it were not set."""
    assert OWN == batching({"OTEL_BLRP_MAX_QUEUE_SIZE": text, "OTEL_BLRP_SCHEDULE_DELAY": text}, "logs", 1000)
