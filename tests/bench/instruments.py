"""What `clew.timed` costs beside a bare span and a histogram's record, and a fingerprint beside its traceback's text.

CPU time of this thread, the lowest of many interleaved rounds, so that other load on the machine does not decide:
`python -m tests.bench.instruments`.
"""

from __future__ import annotations

import linecache
import runpy
import sys
import tempfile
import time
import timeit
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from clew import timed
from clew.logs import fingerprint as memory
from clew.logs.fingerprint import fingerprint_exception

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

ROUNDS: Final = 40
CALLS: Final = 200
TIMED_GOAL: Final = 1.3
FINGERPRINT_GOAL: Final = 0.1
FRAMES: Final = 10


class Row(NamedTuple):
    """What was compared, the ratio of its cost to the other's, and the most that it should be; 0 is no goal."""

    name: str
    ratio: float
    goal: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        return not self.goal or self.ratio <= self.goal


class _Nowhere(SpanExporter):
    """Takes spans and does nothing: exporting is not what is compared."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def lowest_s(*works: Callable[[], object], calls: int = CALLS) -> list[float]:
    """Return the lowest CPU seconds of each work over all rounds."""
    rounds = [[timeit.timeit(work, number=calls, timer=time.thread_time) for work in works] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def compare_timed() -> list[Row]:
    """Compare a timed block and a timed call with what they stand for, on providers that do the least."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_Nowhere()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    return timed_rows()


def timed_rows() -> list[Row]:
    """Compare a timed block and a timed call with a bare span and a histogram's record, on the providers in force."""
    tracer = trace.get_tracer_provider().get_tracer("bare")
    histogram = metrics.get_meter_provider().get_meter("bare").create_histogram("bare", "s")

    def bare() -> None:
        started_s = time.perf_counter()
        with tracer.start_as_current_span("bare"):
            pass
        histogram.record(time.perf_counter() - started_s, {"operation.name": "bare"})

    def block() -> None:
        with timed("block"):
            pass

    @timed("call")
    def call() -> None:
        pass

    of_bare, of_block, of_call = lowest_s(bare, block, call)
    return [
        Row("timed block / bare span and record", of_block / of_bare, TIMED_GOAL),
        Row("timed call / bare span and record", of_call / of_bare, TIMED_GOAL),
    ]


def make_error() -> Exception:
    """Return an exception that went through `FRAMES` functions of a module."""
    functions = [f"def f{number}():\n    return [f{number + 1}(), 1][0]\n" for number in range(FRAMES - 1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "failing.py")
        path.write_text("".join(functions) + f"def f{FRAMES - 1}():\n    return 1 / 0\n")
        functions_of = runpy.run_path(str(path))
        linecache.getlines(str(path))
    try:
        functions_of["f0"]()
    except ZeroDivisionError as error:
        return error
    raise AssertionError("unreachable")


def compare_fingerprint() -> list[Row]:
    """Compare the fingerprint of an error of ten frames, seen before and never seen, with the text of its traceback."""
    error = make_error()

    def form() -> None:
        traceback.format_exception(type(error), error, error.__traceback__)

    def never_seen() -> None:
        memory._remembered.clear()
        fingerprint_exception(error)

    of_text, of_known, of_new = lowest_s(form, lambda: fingerprint_exception(error), never_seen, calls=CALLS // 10)
    return [
        Row("fingerprint of a known site / format_exception", of_known / of_text, FINGERPRINT_GOAL),
        Row("fingerprint of a new site / format_exception", of_new / of_text),
    ]


def main() -> bool:
    """Print the table; return whether every goal is met."""
    rows = [*compare_timed(), *compare_fingerprint()]
    for row in rows:
        bound = f"at most {row.goal:g}" if row.goal else ""
        print(f"{row.name:<55} {row.ratio:6.3f}  {bound:<12}  {'ok' if row.is_met else 'MISSED'}")
    return all(row.is_met for row in rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
