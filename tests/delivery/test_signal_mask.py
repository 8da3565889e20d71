"""A signal that a program blocks stays pending: no thread of telemetry takes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from clew import signal_mask
from programs import BIN, clean_environment, instrumented

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver

PROTOCOLS = ("http/protobuf", "grpc")
WAITING = """
import logging, os, signal, sys

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")


def wait(who):
    logging.info("%s blocks", who)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
    for number in range(1000):
        logging.debug("%s has work to do", number)
    logging.info("%s got %s", who, signal.sigwait({signal.SIGTERM}))
    os.kill(os.getpid(), signal.SIGTERM)
    logging.info("%s lets go", who)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    logging.info("%s is not reached", who)


def in_child(who, then):
    child = os.fork()
    if not child:
        then(who)
    logging.info("%s ended with %s", who, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


in_child("child", wait)
in_child("child of a child's", lambda who: (in_child(who, wait), os._exit(3)))
wait("parent")
"""
THREADS = """
import logging, os, pathlib, time

logging.warning("start all threads")
time.sleep(0.5)


def show(who):
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            lines = (task / "status").read_text().splitlines()
        except OSError:
            continue
        if task.name != str(os.getpid()):
            blocked = int(dict(line.split(":", 1) for line in lines)["SigBlk"], 16)
            print(who, f"{blocked:x}", flush=True)


show("parent")
child = os.fork()
if not child:
    logging.warning("start all threads")
    time.sleep(0.5)
    show("child")
    os._exit(0)
os.waitpid(child, 0)
"""
CALLBACK = """
import signal, subprocess, threading
from opentelemetry import metrics

done = threading.Event()


def observe(options):
    if threading.current_thread() is not threading.main_thread() and not done.is_set():
        shown = subprocess.run(["grep", "SigBlk", "/proc/self/status"], capture_output=True, check=True).stdout
        print(int(shown.split()[1], 16))
        try:
            subprocess.run(["/nowhere/to/be/found"])
        except FileNotFoundError:
            print("not found")
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        print("blocks SIGTERM" if signal.SIGTERM in blocked else "blocks nothing", flush=True)
        done.set()
    return []


metrics.get_meter("app").create_observable_gauge("load", [observe])
done.wait(30)
"""
EXPORTERS = {
    "OTEL_TRACES_EXPORTER": "otlp,console",
    "OTEL_LOGS_EXPORTER": "otlp,console",
    "OTEL_METRICS_EXPORTER": "otlp",
}
"""Both with a thread of the SDK's own for each signal, and with Clew's."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_blocked(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """A program that waits for SIGTERM gets it, and one that holds it off lives on, in forked children too."""
    code = textwrap.dedent(WAITING)
    command = [BIN / "python", "-c", code]
    plain = subprocess.run(
        command, env=clean_environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )

    with instrumented(
        command, receiver=receiver, cwd=tmp_path, protocol=protocol, stdout=subprocess.PIPE, text=True
    ) as process:
        output, _ = process.communicate(timeout=60)

    assert "lets go" in plain.stdout
    assert (plain.returncode, plain.stdout) == (process.returncode, output)
    expected = [line for line in plain.stdout.splitlines() if line]
    receiver.wait_for(lambda _: len(receiver.logs) >= len(expected), 5)
    assert sorted(expected) == sorted(str(record.body) for record in receiver.logs)
    assert [] == [record.body for record in receiver.logs if "log.record.uid" in record.attributes]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threads(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Each thread of ours, of the SDK's and of gRPC's blocks all signals but those that a thread does to itself."""
    command = ["python", "-c", THREADS]
    with instrumented(
        command,
        receiver=receiver,
        cwd=tmp_path,
        protocol=protocol,
        environ=EXPORTERS,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=60)

    lines = [line.split() for line in output.splitlines() if line.startswith(("parent ", "child "))]
    masks = {(who, int(mask, 16)) for who, mask in lines}
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
    own = {*faults, signal.SIGABRT, signal.SIGPROF, signal.SIGVTALRM}
    never = {signal.SIGKILL, signal.SIGSTOP}
    expected = sum(1 << number - 1 for number in signal.valid_signals() - own - never)
    assert {("parent", expected), ("child", expected)} == masks
    assert len([who for who, _ in lines if who == "child"]) >= 5


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes(receiver: Receiver, tmp_path: Path) -> None:
    """A process that a callback of metrics starts blocks no signals, be it found or not; the callback's thread does."""
    environ = {"OTEL_METRIC_EXPORT_INTERVAL": "100"}
    command = ["python", "-c", CALLBACK]
    with instrumented(
        command, receiver=receiver, cwd=tmp_path, environ=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        output, _ = process.communicate(timeout=60)

    assert ["0", "not found", "blocks SIGTERM"] == output.splitlines()[:3]


def test_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a release has moved what its threads run, nothing is changed and nothing raised."""
    from opentelemetry.sdk.metrics import export  # noqa: PLC0415 - what is replaced

    class Moved:
        pass

    monkeypatch.setattr(export, "PeriodicExportingMetricReader", Moved)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk._shared_internal", None)
    before = set(vars(Moved))

    signal_mask.mask_sdk_threads()

    assert before == set(vars(Moved))
