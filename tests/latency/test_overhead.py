"""What Clew says that it costs is what the operating system says, and saying it costs next to nothing."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import Span, Tracer, TracerProvider

from clew.latency import overhead
from programs import clean_environment, instrumented
from receiver import ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Callable


def burn(cpu_s: float) -> None:
    """Use CPU time."""
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        pass


class TestCallTimer:
    """A sample of the calls tells the time of all."""

    def test_estimate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The estimate is near the truth, for calls that differ ten times in length."""
        monkeypatch.setattr(overhead, "_random", random.Random(20))
        timer = overhead.CallTimer()
        called = []

        def work(cost_s: float) -> None:
            called.append(cost_s)
            burn(cost_s)

        measured = timer.measure(work)
        for index in range(6400):
            measured(0.0002 if index % 7 == 0 else 0.00002)

        assert sum(called) == pytest.approx(timer.total_s(), rel=0.75)
        assert len(called) == 6400

    def test_waiting_is_no_cost(self) -> None:
        """CPU time counts, time that passes does not."""
        timer = overhead.CallTimer()

        timer.measure(time.sleep)(0.05)

        assert timer.total_s() < 0.01

    def test_first_calls_stand_for_themselves(self) -> None:
        """An expensive first call is not taken for 64."""
        timer = overhead.CallTimer()
        measured = timer.measure(burn)

        measured(0.01)
        for _ in range(1000):
            measured(0)

        assert timer.total_s() < 0.03

    def test_rare_calls_stand_for_themselves(self) -> None:
        """A pause of 20 ms, as the garbage collector's may be, is counted once where it is measured."""
        timer = overhead.CallTimer()
        sample = overhead._Sample(timer, burn)
        for _ in range(100):
            sample._add(10e-6, overhead.ONE_IN)
        before_s = timer.total_s()
        sample._add(0.02, overhead.ONE_IN)

        assert 0.02 + 63 * 10e-6 == pytest.approx(timer.total_s() - before_s, rel=0.05)

    def test_function_stays(self) -> None:
        """Arguments, result, exception and metadata go through."""
        timer = overhead.CallTimer()

        def work(a: int, *, b: int = 2) -> int:
            """Divide."""
            return a // b

        def hook(first: object, second: object) -> tuple[object, object]:
            return first, second

        measured = timer.measure(work)

        assert [measured(4), measured(4, b=4)] == [2, 1]
        assert (measured.__name__, measured.__doc__) == ("work", "Divide.")
        with pytest.raises(ZeroDivisionError, match="zero"):
            measured(1, b=0)
        assert [timer.measure_hook(hook)(1, index) for index in range(200)] == [(1, index) for index in range(200)]

    def test_cost(self) -> None:
        """A measured hook costs less than a quarter of a microsecond more."""
        timer = overhead.CallTimer()

        def hook(first: object, second: object) -> object:
            return first, second

        def cost_s(function: Callable[[object, object], object]) -> float:
            started_s = time.thread_time()
            for _ in range(1000):
                function(1, 2)
            return (time.thread_time() - started_s) / 1000

        measured = timer.measure_hook(hook)
        added = [cost_s(measured) - cost_s(hook) for _ in range(100)]

        assert min(added) < 0.25e-6


def test_spans() -> None:
    """Spans are measured; hooks go in once and come out again."""
    before = Tracer.start_span, Span.end
    overhead.install()
    installed = Tracer.start_span, Span.end
    overhead.install()
    again = Tracer.start_span, Span.end
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    start_s = overhead.spans.total_s()
    for _ in range(100):
        tracer.start_span("a").end()
    counted_s = overhead.spans.total_s() - start_s
    overhead.uninstall()

    assert installed == again
    assert before == (Tracer.start_span, Span.end)
    assert counted_s > 0


FORK = """
import os
from clew.latency import overhead

overhead.boot_ended()
overhead.logs.measure(sum)(range(100_000))
if os.fork() == 0:
    os._exit(any(observation.value for observation in overhead._observe(None)))
print(os.wait()[1], overhead.logs.total_s() > 0)
"""


def test_fork() -> None:
    """A forked child starts from nothing: what its parent has cost is its parent's."""
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False)

    assert ("0 True\n", "") == (run.stdout, run.stderr)


def test_metric() -> None:
    """The costs are one counter by component."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    overhead.register_metrics(provider)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    [metric] = data.resource_metrics[0].scope_metrics[0].metrics

    assert ("clew.overhead.cpu_time", "s") == (metric.name, metric.unit)
    assert ["logs", "spans", "metrics", "requests", "start"] == [
        point.attributes["component"] for point in metric.data.data_points
    ]


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process that was started with its output going nowhere; return the CPU seconds of it."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("overhead_program.py", ["8000"]),
        ("requests_program.py", ["6000", "flask"]),
        ("requests_program.py", ["6000", "fastapi"]),
    ],
)
def test_same_as_the_operating_system(tmp_path: Path, program: str, arguments: list[str]) -> None:
    """The metric's sum is within 30 % of the CPU time that the process takes more than without Clew.

    The least of up to fifteen runs each: what else the machine does makes any of them take longer.
    """
    command = [str(Path(__file__).with_name(program)), *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    plain_s, least_s, latest = math.inf, math.inf, {"none": math.inf}
    for number in range(15):
        environ = clean_environment(tmp_path)
        plain_s = min(plain_s, cpu_s(subprocess.Popen([sys.executable, *command], env=environ, cwd=tmp_path, **quiet)))
        with ReceiverProcess(tmp_path / f"requests-{number}") as receiver:
            clew_s = cpu_s(instrumented(["python", *command], receiver=receiver, cwd=tmp_path, **quiet))
            points = [point for point in receiver.metrics if point.name == "clew.overhead.cpu_time"]
        if clew_s < least_s:
            least_s, latest = clew_s, {point.attributes["component"]: point.value for point in points}
        if sum(latest.values()) == pytest.approx(least_s - plain_s, rel=0.3):
            break

    assert {"delivery", "logs", "metrics", "requests", "spans", "start"} == set(latest)
    assert sum(latest.values()) == pytest.approx(least_s - plain_s, rel=0.3)
