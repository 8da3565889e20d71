"""The current IDs go along to child processes of every kind, through the environment too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import SpanKind

from clew.correlation import context, ids, processes, propagation
from clew.correlation.context import bind, correlation_id
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Bench

BOOT = """
from clew.correlation import carriers, propagation, tracing
from clew.settings import read_process
for module in (tracing, propagation, carriers):
    module.install(read_process())
"""

PROGRAM = """
import concurrent.futures, json, multiprocessing, sys, traceback
from opentelemetry.sdk.trace import TracerProvider
from clew.correlation.context import bind, current_ids

tracer = TracerProvider(shutdown_on_exit=False).get_tracer("program")

def work(*_):
    found = current_ids()
    span = tracer.start_span("work")
    parent = span.parent.span_id if span.parent else 0
    return [found.correlation_id, span.get_span_context().trace_id, parent]

def put(queue):
    queue.put(work())

def fail():
    raise ValueError("no")

def catch(call):
    try:
        call()
    except Exception as error:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))

def main(kind):
    context = multiprocessing.get_context(kind)
    with bind("job-1"), tracer.start_as_current_span("root") as root:
        queue = context.SimpleQueue()
        process = context.Process(target=put, args=(queue,))
        process.start()
        child = queue.get()
        process.join()
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            first = pool.submit(work).result()
            with bind("job-2"):
                second = pool.submit(work).result()
            failure = str(pool.submit(fail).exception().__cause__)
        with context.Pool(1) as pool:
            tasks = [pool.apply(work)]
            with bind("job-2"):
                tasks += [*pool.map(work, [1]), *pool.imap(work, [1]), pool.apply_async(work).get()]
            error = catch(lambda: pool.apply(fail))
            unsent = catch(lambda: pool.apply(lambda: None))
    expected = root.get_span_context()
    print(json.dumps([child, first, second, [expected.trace_id, expected.span_id], failure + error + unsent, tasks]))

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    propagation.install(Settings())
    processes.install(Settings())
    yield
    processes.uninstall()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a program with correlation installed, and returns what it printed."""
    (tmp_path / "sitecustomize.py").write_text(BOOT, "utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")

    def start(*arguments: str, **variables: str) -> str:
        environ = {**os.environ, "PYTHONPATH": str(tmp_path), **variables}
        command = [sys.executable, *(arguments or ("program.py",))]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    return start


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
def test_children_carry_on(run: Callable[..., str], kind: str) -> None:
    """A child process and a pool's calls go on in the parent's trace with its ID; each call of a pool with its own."""
    child, first, second, (trace_id, span_id), failures, tasks = json.loads(run("program.py", kind))

    assert ["job-1", trace_id, span_id] == child == first
    assert ["job-2", ids.derive_trace_id("job-2"), 0] == second
    assert ids.derive_trace_id("job-1") == trace_id
    assert [first, second, second, second] == tasks
    assert "ValueError: no" in failures
    assert "clew" not in failures


SHOW = (
    "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k in json.loads(os.environ['SHOWN'])}))"
)
SHOWN = json.dumps(["TRACEPARENT", "TRACESTATE", "BAGGAGE", "X_CORRELATION_ID", "KEPT"])


def _environment(env: dict[str, str] | None) -> dict[str, str]:
    """Return what a plain child finds of `SHOWN` in its environment."""
    done = subprocess.run([sys.executable, "-S", "-c", SHOW], env=env, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_subprocess_finds_the_ids(install: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """A subprocess finds trace and ID in its environment under the specification's names; this process's own stays."""
    bench = install()
    monkeypatch.setenv("SHOWN", SHOWN)

    with bind("job-1"), bench.tracer.start_as_current_span("root") as root:
        found = _environment(None)
        copied = _environment({**os.environ, "KEPT": "1"})
    outside = _environment(None)

    here = root.get_span_context()
    expected = {
        "TRACEPARENT": f"00-{here.trace_id:032x}-{here.span_id:016x}-01",
        "BAGGAGE": "correlation.id=job-1",
        "X_CORRELATION_ID": "job-1",
    }
    assert (expected, {**expected, "KEPT": "1"}, {}) == (found, copied, outside)
    assert "TRACEPARENT" not in os.environ


def test_an_environment_made_by_hand_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child whose environment the program chose itself gets exactly that, and so does one that is told its trace."""
    monkeypatch.setenv("SHOWN", SHOWN)

    with bind("job-1"):
        by_hand = _environment({"SHOWN": SHOWN, "KEPT": "1"})
        told = _environment({**os.environ, "BAGGAGE": "own=1"})

    assert ({"KEPT": "1"}, {"BAGGAGE": "own=1"}) == (by_hand, told)


def test_variables_set_between_fork_and_exec_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a `preexec_fn` puts into the environment reaches the child, as without Clew."""
    monkeypatch.setenv("SHOWN", SHOWN)
    command = [sys.executable, "-S", "-c", SHOW]

    with bind("job-1"):
        shown = subprocess.check_output(command, preexec_fn=lambda: os.putenv("KEPT", "1"))

    assert {"KEPT": "1"} == json.loads(shown)


def _failure_to_start() -> str:
    with pytest.raises(FileNotFoundError, match="nothing-here") as raised:
        subprocess.run(["/nothing-here"], check=False)
    return "".join(traceback.format_exception(raised.type, raised.value, raised.tb))


def test_failing_to_start_shows_no_frame() -> None:
    """The traceback of a command that is missing is the one that Python shows without Clew."""
    with bind("job-1"):
        carried = _failure_to_start()
    processes.uninstall()

    assert _failure_to_start() == carried


CHILD = """
import json
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from clew.correlation.context import current_ids
tracer = TracerProvider(shutdown_on_exit=False).get_tracer("child")
work, server = tracer.start_span("work"), tracer.start_span("server", kind=SpanKind.SERVER)
print(json.dumps([list(current_ids()), work.get_span_context().trace_id, work.parent.span_id, server.parent]))
"""


@pytest.mark.parametrize("trust", ["all", "none"])
def test_environment_is_adopted(run: Callable[..., str], trust: str) -> None:
    """A program started with a trace in its environment works for it; the requests it serves are their own."""
    traceparent = "00-4bf92f3577b34da6c3ce929d0e0e4736-00f067aa0ba902b7-01"
    variables = {"TRACEPARENT": traceparent, "X_CORRELATION_ID": "job-1", "CLEW_CORRELATION_TRUST": trust}

    found = json.loads(run("-c", CHILD, **variables))

    trace_id, span_id = 0x4BF92F3577B34DA6C3CE929D0E0E4736, 0x00F067AA0BA902B7
    assert [[trace_id, span_id, 1, "job-1"], trace_id, span_id, None] == found


def test_requests_in_an_adopted_process_are_their_own(install: Callable[..., Bench]) -> None:
    """A server that was started inside a trace gives each request a trace of its own."""
    bench = install()
    processes.adopt_environment({"X_CORRELATION_ID": "deploy-7"}, Settings())

    bench.tracer.start_span("request", kind=SpanKind.SERVER).end()
    bench.tracer.start_span("startup").end()

    spans = bench.spans()
    assert "deploy-7" == correlation_id() == spans["startup"].attributes["correlation.id"]
    assert ids.derive_trace_id("deploy-7") == spans["startup"].context.trace_id
    assert "deploy-7" != spans["request"].attributes["correlation.id"]


@pytest.mark.parametrize(
    "environ", [{}, {"BAGGAGE": "correlation.id=x"}, {"TRACEPARENT": "garbage"}, {"X_CORRELATION_ID": "<b>\r\n"}]
)
def test_useless_variables_adopt_nothing(environ: dict[str, str]) -> None:
    """Baggage alone, or what is no trace and no ID, leaves the process without one."""
    processes.adopt_environment(environ, Settings())

    assert context.process_context() is None


def test_variable_names() -> None:
    """A header becomes a variable as the specification says: upper case, everything else an underscore."""
    assert "X_CORRELATION_ID" == processes.variable_name("x-correlation-id")
    assert "TRACEPARENT" == processes.variable_name("traceparent")


def test_pool_calls_pickle_without_clew() -> None:
    """What a pool sends to its worker holds nothing but plain text besides the call itself."""
    from concurrent.futures import process as pool  # noqa: PLC0415 - importing it is what weaves it

    with bind("job-1"):
        waiting: Any = pool._WorkItem(None, int, ("7",), {"base": 8})  # type: ignore[arg-type]
    sent: Any = pool._CallItem(1, waiting.fn, waiting.args, waiting.kwargs)

    expected = {"baggage": "correlation.id=job-1", "x-correlation-id": "job-1"}
    assert {"work_id": 1, "fn": int, "args": ("7",), "kwargs": {"base": 8}, "_clew_carrier": expected} == vars(sent)
    assert dict is type(sent.kwargs)
