"""A process whose Collector or disk fails ends in time, and each record is received, stored, or counted as dropped."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from pipelines import stored_lines, stored_records

from programs import instrumented
from receiver import ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from receiver import Receiver

PROTOCOLS = ("http/protobuf", "grpc")
MAKE = """
import logging, resource, sys, time
from opentelemetry import trace

tracer = trace.get_tracer("test")
log = logging.getLogger("app")
log.setLevel(logging.INFO)


def make(first, last):
    for number in range(first, last):
        with tracer.start_as_current_span(str(number)):
            log.info("%d", number)


"""
MAX_EXIT_S = 2.5


def end(body: str, receiver: Receiver, folder: Path, protocol: str, **environ: str) -> tuple[int, str, float]:
    """Run a program that ends by printing the time; return its status, what it was told, and how long exit took."""
    program = folder / "program.py"
    program.write_text(MAKE + textwrap.dedent(body) + "\nprint(time.time(), flush=True)\n")
    with instrumented(
        ["python", program],
        receiver=receiver,
        cwd=folder,
        protocol=protocol,
        environ={"CLEW_SHUTDOWN_TIMEOUT": "2", **environ},
    ) as process:
        out, err = process.communicate(timeout=60)
        ended_at = time.time()
    return process.returncode, err.decode(), ended_at - float(out)


def end_in_time(
    body: str, receiver: Receiver, folder: Path, protocol: str, **environ: str
) -> tuple[int, str, float, Path]:
    """Do as `end`, in a folder of its own, again where the machine made it late: what is too long is so each time."""
    for attempt in range(3):
        place = folder / str(attempt)
        place.mkdir()
        status, told, exit_s = end(body, receiver, place, protocol, **environ)
        if exit_s <= MAX_EXIT_S:
            break
    return status, told, exit_s, place


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Yield a port that takes no connections and refuses none."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("records", [100, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", ["dead", "hanging", "black hole"])
def test_exit(fault: str, records: int, protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """With a Collector that is gone or silent, exit takes no longer than its bound, and everything is in the spool."""
    with black_hole() as port:
        environ = {"OTEL_METRICS_EXPORTER": "none"}
        if fault == "dead":
            receiver.stop()
        elif fault == "hanging":
            receiver.hang(60)
        else:
            environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        status, told, exit_s, place = end_in_time(f"make(0, {records})", receiver, tmp_path, protocol, **environ)

    assert 0 == status
    assert {"logs": records, "traces": records} == stored_records(place), told
    assert exit_s <= MAX_EXIT_S
    assert told.count("\n") <= 1
    receiver.stop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", ["os.kill(os.getpid(), signal.SIGTERM)", "os._exit(5)"])
def test_sudden_exit(way: str, protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """SIGTERM and `os._exit` keep the bound too when the Collector hangs, and the status is what it would be."""
    receiver.hang(60)
    body = f"import os, signal\nmake(0, 100)\nprint(time.time(), flush=True)\n{way}\ntime.sleep(30)"
    status, told, exit_s, place = end_in_time(body, receiver, tmp_path, protocol, OTEL_METRICS_EXPORTER="none")

    assert (5 if "_exit" in way else -signal.SIGTERM) == status
    assert {"logs": 100, "traces": 100} == stored_records(place), told
    assert exit_s <= MAX_EXIT_S
    receiver.stop()


def test_disk_full(receiver: Receiver, tmp_path: Path) -> None:
    """A program whose disk takes no more runs on; what is neither sent nor stored is counted and told at exit."""
    receiver.stop()
    body = """
    make(0, 500)
    time.sleep(1.5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    make(500, 3000)
    time.sleep(1.5)
    """
    status, told, exit_s = end(body, receiver, tmp_path, "http/protobuf", OTEL_METRICS_EXPORTER="none")

    assert 0 == status
    assert exit_s <= MAX_EXIT_S
    accounted = Counter(stored_records(tmp_path))
    for records, name in re.findall(r"(\d+) (logs|traces) \(\w+\)", told):
        accounted[name] += int(records)
    assert {"logs": 3000, "traces": 3000} == accounted, told


KILLED = """
import itertools, logging, os, time

log = logging.getLogger("app")
for number in itertools.count():
    log.error("%d", number)
    os.write(1, b"%d\\n" % number)
    time.sleep(0.001)
"""


def check_kill(receiver: Receiver, folder: Path, rounds: int) -> None:
    """Kill a program that logs errors, `rounds` times, then let one more deliver what is left; none may be missing."""
    program = folder / "killed.py"
    program.write_text(KILLED)
    expected = set()
    environ = {"OTEL_METRICS_EXPORTER": "none"}
    for attempt in range(rounds):
        environ["OTEL_SERVICE_NAME"] = f"attempt-{attempt}"
        with instrumented([sys.executable, program], receiver=receiver, cwd=folder, environ=environ) as process:
            assert process.stdout is not None
            made = process.stdout.readline()
            time.sleep(attempt * 0.37 % 1.3)
            process.send_signal(signal.SIGKILL)
            made += process.stdout.read()
        whole = made[: made.rfind(b"\n")].split()
        expected |= {(f"attempt-{attempt}", number.decode()) for number in whole}
    body = "import logging, time; logging.getLogger('app').error('last')\ntime.sleep(60)"
    program.write_text(body)
    environ["OTEL_SERVICE_NAME"] = "last"
    with instrumented([sys.executable, program], receiver=receiver, cwd=folder, environ=environ) as process:
        try:
            receiver.wait_for(lambda _: not [line for line in stored_lines(folder) if b"attempt" in line[1]], 45)
        finally:
            process.kill()

    received = [record for record in receiver.logs if record.scope == "app"]
    assert set() == expected - {(str(item.resource["service.name"]), str(item.body)) for item in received}
    by_uid = {record.attributes["log.record.uid"]: record for record in received}
    once = {(str(item.resource["service.name"]), str(item.body)) for item in by_uid.values()}
    assert len(by_uid) == len(once)


def test_kill(receiver: Receiver, tmp_path: Path) -> None:
    """`kill -9` loses no error that was logged."""
    check_kill(receiver, tmp_path, rounds=3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_often(receiver: Receiver, tmp_path: Path) -> None:
    """`kill -9`, a hundred times at different moments, loses no error that was logged."""
    check_kill(receiver, tmp_path, rounds=100)


LOAD = """
import atexit, logging, os, sys, time
from opentelemetry import trace

tracer = trace.get_tracer("test")
log = logging.getLogger("app")
log.setLevel(logging.INFO)
seconds, made, started = float(sys.argv[1]), 0, time.monotonic()
while (elapsed := time.monotonic() - started) < seconds:
    while made < elapsed * 500:
        with tracer.start_as_current_span(str(made)):
            log.info("%d", made)
        made += 1
    time.sleep(0.005)
print(made, flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_outage_at_load(protocol: str, tmp_path: Path) -> None:
    """500 requests a second through 45 s without a Collector: all logs and spans arrive, none twice."""
    program = tmp_path / "load.py"
    program.write_text(LOAD)
    with ReceiverProcess(tmp_path / "requests", limit_s=200) as receiver:
        args = [sys.executable, program, "60", "25"]
        with instrumented(args, receiver=receiver, cwd=tmp_path, protocol=protocol) as process:  # type: ignore[arg-type]
            time.sleep(5)
            receiver.stop()
            time.sleep(45)
            receiver.start()
            out, err = process.communicate(timeout=120)
        made = int(out)
        stored = stored_records(tmp_path)

        expected = [str(number) for number in range(made)]
        assert {} == stored, err
        assert expected == sorted((record.body for record in receiver.logs if record.scope == "app"), key=int), err
        assert expected == sorted((span.name for span in receiver.spans), key=int), err
        assert b"dropped" not in err
