"""What a log call and a span cost in this process: run under each variant, prints one JSON object of nanoseconds.

`caller` is CPU time of the calling thread while the exporter has nothing to do; `total` is CPU time of the process
until all is exported. Bursts stay below a batch, so that export happens between them.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import _logs, trace

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 400

logger = logging.getLogger("bench")
logger.setLevel(logging.INFO)
logger.addHandler(logging.NullHandler())
tracer = trace.get_tracer("bench")
ATTRIBUTES = {
    "http.request.method": "GET", "url.path": "/orders/17", "url.scheme": "http", "http.route": "/orders/{id}",
    "http.response.status_code": 200, "server.address": "127.0.0.1", "server.port": 8000,
    "network.protocol.version": "1.1", "user_agent.original": "bench/1", "client.address": "127.0.0.1",
}  # fmt: skip


class Cost(NamedTuple):
    """Nanoseconds of CPU time per call."""

    caller_ns: float
    total_ns: float


def log_call() -> None:
    """Log with two arguments and three fields."""
    logger.info("order %s of %s", 17, "bob", extra={"order.id": 17, "kind": "book", "price": 12.5})


def disabled_call() -> None:
    """Log below the level."""
    logger.debug("order %s of %s", 17, "bob", extra={"order.id": 17, "kind": "book", "price": 12.5})


def error_call() -> None:
    """Log an exception of four frames."""
    logger.error("order %s failed", 17, exc_info=_error)


def span() -> None:
    """Make a span with ten attributes."""
    with tracer.start_as_current_span("bench", attributes=ATTRIBUTES):
        pass


def make_error(depth: int) -> Exception:
    """Return an exception that went through `depth` frames."""

    def fail(left: int) -> None:
        if left == 0:
            raise ValueError("no such order: 17")
        fail(left - 1)

    try:
        fail(depth)
    except ValueError as error:
        return error
    raise AssertionError("unreachable")


_error = make_error(3)


def flush() -> None:
    """Export all that is queued."""
    for provider in (_logs.get_logger_provider(), trace.get_tracer_provider()):
        force_flush = getattr(provider, "force_flush", None)
        if force_flush is not None:
            force_flush()


def cost_of(call: Callable[[], None], bursts: int) -> Cost:
    """Return the median cost of a call over so many bursts."""
    costs = [burst(call) for _ in range(bursts)]
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))


def burst(call: Callable[[], None]) -> Cost:
    """Call `BURST` times, then flush."""
    flush()
    process_s, thread_s = time.process_time(), time.thread_time()
    for _ in range(BURST):
        call()
    caller_s = time.thread_time() - thread_s
    flush()
    return Cost(caller_s / BURST * 1e9, (time.process_time() - process_s) / BURST * 1e9)


def main() -> None:
    """Measure each kind of call; the argument is how many bursts."""
    bursts = int(sys.argv[1])
    calls = {"log": log_call, "disabled": disabled_call, "error": error_call, "span": span}
    with tracer.start_as_current_span("around"):
        for call in calls.values():
            cost_of(call, 3)
        costs = {name: cost_of(call, bursts)._asdict() for name, call in calls.items()}
    print(json.dumps(costs))


if __name__ == "__main__":
    main()
