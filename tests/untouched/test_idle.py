"""A program with everything at DEBUG says nothing of Clew's own export while it is idle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from programs import instrumented

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver

PROGRAM = """
import logging, sys, time
from opentelemetry import trace
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
with trace.get_tracer("t").start_as_current_span("work"):
    logging.getLogger("app").debug("said")
time.sleep(float(sys.argv[1]))
"""


def _idle(seconds: int, protocol: str, receiver: Receiver, folder: Path) -> bytes:
    """Run the idle program, its metrics collected each second, and return its console."""
    command = [sys.executable, "-c", PROGRAM, str(seconds)]
    environ = {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "CLEW_COMPRESSION": "none"}
    with instrumented(command, receiver=receiver, cwd=folder, protocol=protocol, environ=environ) as process:
        out, err = process.communicate(timeout=seconds + 60)
    assert process.returncode == 0
    return out + err


@pytest.mark.parametrize("seconds", [pytest.param(4, id="short"), pytest.param(30, id="long", marks=pytest.mark.slow)])
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_no_record_of_our_own_export(protocol: str, seconds: int, receiver: Receiver, tmp_path: Path) -> None:
    """The receiver gets the program's one record and nothing about what brought it, and the console shows that one."""
    console = _idle(seconds, protocol, receiver, tmp_path)

    assert console == b"app said\n"
    assert [("app", "said")] == [(record.scope, record.body) for record in receiver.logs]


@pytest.mark.parametrize("seconds", [pytest.param(4, id="short"), pytest.param(30, id="long", marks=pytest.mark.slow)])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_no_record_of_failing_export(protocol: str, seconds: int, receiver: Receiver, tmp_path: Path) -> None:
    """With nobody answering, the spool holds the program's one record, and the console one line of ours besides."""
    receiver.stop()

    console = _idle(seconds, protocol, receiver, tmp_path).splitlines()

    spooled = b"".join(path.read_bytes() for path in (tmp_path / "clew" / "spool").glob("logs-*"))
    assert (b"app said", 1) == (console[0], sum(line.startswith(b"clew: Collector ") for line in console[1:]))
    assert (2, 1) == (len(console), spooled.count(b'"severityNumber"'))
