"""However a process ends and whatever it forks, each record arrives once, with its trace ID, and under its own name."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from programs import instrumented

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver

PROTOCOLS = ("http/protobuf", "grpc")
HEAD = """
import logging, multiprocessing, os, signal, sys, time
from opentelemetry import metrics, trace

tracer = trace.get_tracer("test")
log = logging.getLogger("app")
log.setLevel(logging.INFO)
counter = metrics.get_meter("test").create_counter("work")


def work(name):
    with tracer.start_as_current_span(name):
        log.info("in %s", name)
        counter.add(1)


"""


class Ending(NamedTuple):
    """A program, the units of work it does, and how it exits."""

    body: str
    names: tuple[str, ...]
    status: int = 0


ENDINGS = {
    "end of the program": Ending('work("a")', ("a",)),
    "sys.exit": Ending('work("a"); sys.exit(3)', ("a",), 3),
    "an unhandled exception": Ending('work("a"); raise SystemExit("no")', ("a",), 1),
    "os._exit": Ending('work("a"); os._exit(4)', ("a",), 4),
    "SIGTERM": Ending('work("a"); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)', ("a",), -signal.SIGTERM),
    "SIGINT": Ending(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever a shell in the background has made of it
        work("a")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(9)
        """,
        ("a",),
        -signal.SIGINT,
    ),
    "SIGTERM, handled and raised again": Ending(
        """
        def again(signum, frame):
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

        signal.signal(signal.SIGTERM, again)
        work("a")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(9)
        """,
        ("a",),
        -signal.SIGTERM,
    ),
    "a log call at exit": Ending('import atexit; atexit.register(work, "late"); work("a")', ("a", "late")),
}

FORKS = {
    "os.fork and os._exit": Ending(
        """
        work("parent")
        for number in range(2):
            child = os.fork()
            if not child:
                work(f"child{number}")
                os._exit(0)
            os.waitpid(child, 0)
        """,
        ("parent", "child0", "child1"),
    ),
    "os.fork of a process that has sent, and sys.exit": Ending(
        """
        work("parent")
        time.sleep(1.5)
        child = os.fork()
        if not child:
            work("child")
            sys.exit()
        os.waitpid(child, 0)
        work("parent again")
        """,
        ("parent", "child", "parent again"),
    ),
    "a daemon's double fork": Ending(
        """
        work("parent")
        if os.fork():
            os._exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
        work("daemon")
        """,
        ("parent", "daemon"),
    ),
    "multiprocessing fork": Ending(
        """
        work("parent")
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(f"child{number}",)) for number in range(3)]
        for child in children: child.start()
        for child in children: child.join()
        """,
        ("parent", "child0", "child1", "child2"),
    ),
    "multiprocessing forkserver": Ending(
        """
        if __name__ == "__main__":
            work("parent")
            child = multiprocessing.get_context("forkserver").Process(target=work, args=("child",))
            child.start()
            child.join()
        """,
        ("parent", "child"),
    ),
    "multiprocessing spawn": Ending(
        """
        if __name__ == "__main__":
            work("parent")
            child = multiprocessing.get_context("spawn").Process(target=work, args=("child",))
            child.start()
            child.join()
        """,
        ("parent", "child"),
    ),
    "ProcessPoolExecutor": Ending(
        """
        from concurrent.futures import ProcessPoolExecutor

        work("parent")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
            list(executor.map(work, [f"child{number}" for number in range(4)]))
        """,
        ("parent", "child0", "child1", "child2", "child3"),
    ),
    "a multiprocessing pool, terminated": Ending(
        """
        work("parent")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(work, [f"child{number}" for number in range(4)])
        """,
        ("parent", "child0", "child1", "child2", "child3"),
    ),
}


def run(ending: Ending, receiver: Receiver, folder: Path, protocol: str) -> int:
    """Run the program to its end and return its exit status."""
    program = folder / "program.py"
    program.write_text(HEAD + textwrap.dedent(ending.body))
    with instrumented(["python", program], receiver=receiver, cwd=folder, protocol=protocol) as process:
        output = process.communicate(timeout=60)
    assert (b"", 0) == (output[0], output[1].count(b"clew:")), output
    return process.returncode


def check_arrived(ending: Ending, receiver: Receiver) -> None:
    """Compare what arrived with the work done: each span once, each log record once, in its span's trace."""
    expected = dict.fromkeys(ending.names, 1)
    receiver.wait_for(lambda it: len(it.spans) >= len(expected) and len(it.logs) >= len(expected), 5)
    assert expected == Counter(span.name for span in receiver.spans)
    assert {f"in {name}": 1 for name in expected} == Counter(record.body for record in receiver.logs)
    traces = {f"in {span.name}": (span.trace_id, span.span_id) for span in receiver.spans}
    assert traces == {record.body: (record.trace_id, record.span_id) for record in receiver.logs}


def work_by_process(receiver: Receiver) -> dict[str, float]:
    """Return the counter's last value for each process, by its instance ID."""
    points = [point for point in receiver.metrics if point.name == "work"]
    return {point.resource["service.instance.id"]: point.value for point in points}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ENDINGS)
def test_ending(name: str, protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Everything arrives, metrics too, and the exit status is what it would be without Clew."""
    ending = ENDINGS[name]

    status = run(ending, receiver, tmp_path, protocol)

    assert ending.status == status
    check_arrived(ending, receiver)
    assert [float(len(ending.names))] == list(work_by_process(receiver).values())


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", FORKS)
def test_fork(name: str, protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Parent and children lose nothing, repeat nothing, not even sums, and have instance IDs of their own."""
    ending = FORKS[name]

    status = run(ending, receiver, tmp_path, protocol)

    assert ending.status == status
    check_arrived(ending, receiver)
    assert len(ending.names) == sum(work_by_process(receiver).values())
    instances = {span.name: span.resource["service.instance.id"] for span in receiver.spans}
    assert instances["parent"] not in [instance for name, instance in instances.items() if "parent" not in name]


STUCK = """
        import ctypes

        work("parent")
        libc = ctypes.CDLL(None)
        mutex = ctypes.create_string_buffer(256)
        libc.pthread_mutex_lock(mutex)
        os.write(1, b"stuck\\n")
        libc.pthread_mutex_lock(mutex)
        """
FORK_FIRST = """
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os._exit(0)
        os.write(1, b"%d\\n" % os.getpid())
        """


@pytest.mark.parametrize("forked", [False, True])
def test_sigterm_in_native_code(forked: bool, receiver: Receiver, tmp_path: Path) -> None:
    """A process whose main thread never comes back from native code dies of SIGTERM soon, and has delivered."""
    program = tmp_path / "program.py"
    program.write_text(HEAD + textwrap.dedent((FORK_FIRST if forked else "") + STUCK))
    with instrumented([sys.executable, program], receiver=receiver, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            target = int(process.stdout.readline()) if forked else process.pid
            assert b"stuck\n" == process.stdout.readline()
            begun = time.monotonic()
            os.kill(target, signal.SIGTERM)
            status = process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    assert (0 if forked else -signal.SIGTERM) == status
    assert time.monotonic() - begun < 5
    check_arrived(Ending("", ("parent",)), receiver)


def test_ignored_sigterm(receiver: Receiver, tmp_path: Path) -> None:
    """A program that ignores SIGTERM goes on ignoring it, forks included."""
    ending = Ending(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(2):
            child = os.fork()
            os.kill(os.getpid(), signal.SIGTERM)
            if not child:
                work("child")
                os._exit(0)
            os.waitpid(child, 0)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
            break
        work("a")
        """,
        ("child", "a"),
    )

    assert 0 == run(ending, receiver, tmp_path, "http/protobuf")
    check_arrived(ending, receiver)


def test_fork_is_silent(receiver: Receiver, tmp_path: Path) -> None:
    """A script without threads forks without a warning, and one with a thread is warned where Python does."""
    ending = Ending(
        """
        import threading
        work("a")
        time.sleep(0.5)
        def fork():
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)

        fork()
        print("with a thread", file=sys.stderr, flush=True)
        stop = threading.Event()
        threading.Thread(target=stop.wait).start()
        fork()
        stop.set()
        """,
        ("a",),
    )
    program = tmp_path / "program.py"
    program.write_text(HEAD + textwrap.dedent(ending.body))
    with instrumented([sys.executable, program], receiver=receiver, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=30)

    silent, _, told = err.decode().partition("with a thread\n")
    assert ("", sys.version_info >= (3, 12)) == (silent, "multi-threaded" in told)


def test_sigterm_is_hidden(receiver: Receiver, tmp_path: Path) -> None:
    """The program finds SIGTERM at its default, and a handler of its own is all that runs."""
    ending = Ending(
        """
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        own = lambda signum, frame: sys.exit(7)
        assert signal.signal(signal.SIGTERM, own) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.signal(signal.SIGTERM, signal.SIG_IGN) is own
        assert signal.signal(signal.SIGTERM, signal.SIG_DFL) is signal.SIG_IGN
        assert signal.signal(signal.SIGTERM, own) is signal.SIG_DFL
        assert signal.signal(signal.SIGUSR1, signal.SIG_DFL) is signal.SIG_DFL
        work("a")
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        ("a",),
        7,
    )

    assert 7 == run(ending, receiver, tmp_path, "http/protobuf")
    check_arrived(ending, receiver)
