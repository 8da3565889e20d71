"""Processes that share a `CLEW_DIR` deliver each other's leavings: nothing is lost, nothing comes twice unmarked."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from pipelines import stored_records

from programs import instrumented

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from receiver import Receiver
    from telemetry import LogRecord, Request, Span

RECORDS = 900
PROGRAM = f"""
import logging, sys, time
from opentelemetry import trace

tracer, log = trace.get_tracer("test"), logging.getLogger("app")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = False
for number in range({RECORDS}):
    with tracer.start_as_current_span(str(number)):
        log.log(logging.ERROR if number % 9 == 0 else logging.INFO, "%d", number)
    time.sleep(0.002)
print("made", flush=True)
sys.stdin.read()
"""
NAMES = ("one", "two", "three")


@contextlib.contextmanager
def programs(receiver: Receiver, folder: Path, protocol: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run the program thrice with one `CLEW_DIR`; segments are small, so that there are many to share."""
    (folder / "shop.py").write_text(PROGRAM)
    environ = {"OTEL_METRICS_EXPORTER": "none", "CLEW_SPOOL_MAX_BYTES": "64000000", "CLEW_SEGMENT_MAX_BYTES": "20000"}
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                instrumented(
                    [sys.executable, "shop.py"],
                    receiver=receiver,
                    cwd=folder,
                    protocol=protocol,
                    environ={**environ, "OTEL_SERVICE_NAME": name},
                    stdin=-1,
                )
            )
            for name in NAMES
        ]


def outages(receiver: Receiver) -> None:
    """Let the Collector take nothing twice, while the programs run."""
    for _ in range(2):
        time.sleep(0.4)
        receiver.respond(503)
        time.sleep(0.7)
        receiver.respond()


def name_of(record: Span | LogRecord) -> str:
    """Return the name of the program that made a record."""
    return str(record.resource["service.name"])


def name_in(request: Request) -> str:
    """Return the name of the program that sent a request, or an empty one."""
    return next((name for name in NAMES if name.encode() in request.body), "")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_each_record_once(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Three processes and two outages: each record arrives once, whoever delivers it, and the folder is left empty."""
    with programs(receiver, tmp_path, protocol) as processes:
        outages(receiver)
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        receiver.wait_for(lambda it: len(it.logs) >= 3 * RECORDS and len(it.spans) >= 3 * RECORDS, 30)
        receiver.wait_for(lambda _: not stored_records(tmp_path))
        errors = [process.communicate(timeout=30)[1] for process in processes]

    expected = {(name, str(number)): 1 for name in NAMES for number in range(RECORDS)}
    assert expected == Counter((name_of(record), str(record.body)) for record in receiver.logs)
    assert expected == Counter((name_of(span), span.name) for span in receiver.spans)
    assert {} == stored_records(tmp_path)
    assert not [error for error in errors if b"dropped" in error]


def test_a_killed_one_among_them(receiver: Receiver, tmp_path: Path) -> None:
    """What one that was killed had stored the others deliver; a log record that comes twice has one uid."""
    with programs(receiver, tmp_path, "http/protobuf") as processes:
        receiver.respond(503)
        receiver.wait_for(lambda it: set(NAMES) == {name_in(request) for request in it.requests})
        time.sleep(0.5)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait(10)
        stored = {name: count for name, count in stored_records(tmp_path).items() if name == "logs"}
        receiver.respond()
        for process in processes[1:]:
            assert process.stdout is not None
            process.stdout.readline()
        receiver.wait_for(lambda _: not stored_records(tmp_path), 45)
        for process in processes[1:]:
            process.communicate(timeout=30)

    assert stored["logs"] > 0
    uids = {record.attributes.get("log.record.uid", id(record)): record for record in receiver.logs}
    once = Counter((name_of(record), str(record.body)) for record in uids.values())
    assert {1} == set(once.values())
    for name in NAMES[1:]:
        assert {str(number) for number in range(RECORDS)} == {body for made_by, body in once if made_by == name}
    killed = [int(body) for name, body in once if name == NAMES[0]]
    assert [number for number in range(0, max(killed) + 1, 9) if number not in killed] == []
