"""With `clew_file` the files are the destination: segments that rotate, are compressed, and are kept within bounds."""

from __future__ import annotations

import math
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest
import zstandard
from pipelines import ERROR, make_delivery, make_entry, outcomes, stored_lines, stored_records

from clew.delivery.stored_lines import records_in
from programs import instrumented

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import logging, os, sys, time
from opentelemetry import metrics, trace

log = logging.getLogger("app")
log.setLevel(logging.INFO)
with trace.get_tracer("test").start_as_current_span("work"):
    log.info("working")
    log.error("failed")
metrics.get_meter("test").create_counter("done").add(1)
print("made", flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"CLEW_MODE": "file"},
        dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER"), "clew_file"),
    ],
)
def test_program(variables: dict[str, str], tmp_path: Path) -> None:
    """A program without a Collector leaves one segment for each signal, and nothing in the spool."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environ = {**variables, "OTEL_SERVICE_NAME": "shop"}
    with instrumented([sys.executable, program, "0"], receiver=None, cwd=tmp_path, environ=environ) as process:
        out, err = process.communicate(timeout=30)

    assert (b"made\n", b"failed\n", 0) == (out, err, process.returncode)
    names = sorted(path.name.split("-")[:2] for path in (tmp_path / "clew").glob("*.jsonl"))
    assert [["logs", "shop"], ["metrics", "shop"], ["traces", "shop"]] == names
    found = stored_records(tmp_path)
    assert (2, 1) == (found["logs"], found["traces"])
    assert [] == list((tmp_path / "clew" / "spool").iterdir())


def test_killed_program(tmp_path: Path) -> None:
    """What a killed program left on disk of its errors comes into the segments of the next program."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace('print("made", flush=True)', "os.kill(os.getpid(), 9)"))
    environ = {"CLEW_MODE": "file"}
    with instrumented([sys.executable, program, "60"], receiver=None, cwd=tmp_path, environ=environ) as process:
        assert -signal.SIGKILL == process.wait(30)
    program.write_text(PROGRAM)
    with instrumented([sys.executable, program, "60"], receiver=None, cwd=tmp_path, environ=environ) as process:
        folder = tmp_path / "clew"
        deadline = time.monotonic() + 20
        while sum(path.read_bytes().count(b'"failed"') for path in folder.glob("*.jsonl")) < 2 or stored_lines(
            folder / "spool"
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()

    assert 2 == sum(line.count(b'"failed"') for _, line in stored_lines(tmp_path))


def test_rotation(tmp_path: Path) -> None:
    """Segments stay within their size; closed ones are compressed, and all are within the folder's bounds."""
    variables = {"CLEW_SEGMENT_MAX_BYTES": "20000", "CLEW_RETENTION_MAX_FILES": "5"}
    delivery = make_delivery(tmp_path, variables, {"OTEL_BLRP_SCHEDULE_DELAY": "60000"})
    delivery._worker._house_at = math.inf
    delivery.add_files("logs")
    folder = tmp_path / "clew"
    for number in range(60):
        for item in range(10):
            delivery.put_log(make_entry(f"{number} {item}"))
        assert delivery.flush(5)
        assert len(list(folder.glob("logs-*"))) <= 5
    delivery._keep_house()

    assert {("logs", "delivered", ""): 600} == outcomes(delivery)
    assert max(path.stat().st_size for path in folder.glob("logs-*")) <= 20_000
    closed = sorted(folder.glob("logs-*.zst"))
    assert closed
    text = zstandard.ZstdDecompressor().decompressobj().decompress(closed[0].read_bytes())
    assert 0 == sum(records_in("logs", line) for line in text.splitlines()) % 10
    delivery.close(1)


def test_unwritable(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Records wait in memory while nothing can be written, and are written when it can."""
    blocked = tmp_path / "clew"
    blocked.write_text("in the way")
    delivery = make_delivery(tmp_path, {"CLEW_DURABLE_LEVEL": "off"})
    delivery.add_files("logs")
    delivery.put_log(make_entry("waits", ERROR))
    delivery.flush(5)
    assert 1 == delivery.queue_depths()["logs"]
    blocked.unlink()
    assert delivery.flush(5)

    assert {"logs": 1} == stored_records(tmp_path)
    assert 1 == capfd.readouterr().err.count("clew: logs are not written")
    delivery.close(1)


def test_segment_removed(tmp_path: Path) -> None:
    """A segment that is deleted while it is written costs what was in it and no more."""
    delivery = make_delivery(tmp_path)
    delivery.add_files("logs")
    delivery.put_log(make_entry("gone"))
    assert delivery.flush(5)
    (segment,) = (tmp_path / "clew").glob("*.jsonl")
    segment.unlink()
    delivery.put_log(make_entry("kept"))
    assert delivery.flush(5)

    assert {"logs": 1} == stored_records(tmp_path)
    delivery.close(1)
