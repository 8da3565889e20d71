"""Claim: the Collector's files hold what it acknowledged, within their bounds, through a kill and a full disk."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from otlp_posts import counter, log, logs, metrics, post, span, spans
from stack_servers import Collector, wait_until

from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, ReadStats
from clew.files.reader.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conftest import CollectorMaker

pytestmark = pytest.mark.stack

MIB = 1024**2
ROTATED = re.compile(r"logs-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}-size\.jsonl")


def send_logs(collector: Collector, number: int, records: int = 500, body: str = "x" * 400) -> int:
    """Send one request of records that say their number; return the status."""
    made = [log(f"{number}-{index} {body}") for index in range(records)]
    return post(collector.url, "logs", logs("load", made)).status


def test_each_signal_has_its_own_file_in_a_closed_folder(make_collector: CollectorMaker) -> None:
    """Traces, metrics and logs are never mixed, and others of the machine cannot look inside the folder."""
    collector = make_collector("files").start()
    statuses = [
        post(collector.url, "traces", spans("shop", [span("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")])),
        post(collector.url, "metrics", metrics("shop", [counter("sold", "{item}", [({}, 3)])])),
        post(collector.url, "logs", logs("shop", [log("sold one")])),
    ]
    assert [200] * 3 == [answer.status for answer in statuses]
    kinds = {path.name: [list(line) for line in collector.lines(path.stem)] for path in collector.files.iterdir()}
    assert {
        "traces.jsonl": [["resourceSpans"]],
        "metrics.jsonl": [["resourceMetrics"]],
        "logs.jsonl": [["resourceLogs"]],
    } == kinds
    assert 0o750 == collector.files.stat().st_mode & 0o777


def sizes_of(paths: Iterable[Path]) -> list[int]:
    """Return the bytes of each file that is still there."""
    sizes = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sizes


def test_rotation_keeps_size_and_count(make_collector: CollectorMaker) -> None:
    """Under load no file passes the bound, no more than the backups stay, and the sum of bytes is never over."""
    collector = make_collector("files", OTELCOL_FILES_MAX_MEGABYTES=1, OTELCOL_FILES_MAX_BACKUPS=3).start()
    for number in range(40):
        assert 200 == send_logs(collector, number)
        sizes = sizes_of(collector.files.glob("logs*"))
        # Pruning follows a rotation in a goroutine of its own: one file more for that moment.
        assert sum(sizes) <= (3 + 2) * MIB
        assert max(sizes) <= MIB
    wait_until(lambda: len(list(collector.files.glob("logs-*"))) == 3, "three backups")
    names = sorted(path.name for path in collector.files.glob("logs*"))
    assert "logs.jsonl" == names[-1]
    assert [] == [name for name in names[:-1] if not ROTATED.fullmatch(name)]


def test_age_is_kept_when_a_file_is_first_opened(make_collector: CollectorMaker) -> None:
    """A rotated file older than max_days goes at the first write after a start, and one of yesterday stays."""
    collector = make_collector("files", OTELCOL_FILES_MAX_DAYS=2)
    collector.files.mkdir(mode=0o750)
    old, recent = (
        collector.files
        / time.strftime("logs-%Y-%m-%dT%H-%M-%S.000-size.jsonl", time.gmtime(time.time() - days * 86400))
        for days in (3, 1)
    )
    old.write_text("{}\n", encoding="utf-8")
    recent.write_text("{}\n", encoding="utf-8")
    collector.start()
    assert 200 == send_logs(collector, 1, records=1)
    wait_until(lambda: not old.exists(), "the old file gone")
    assert recent.exists()


def test_the_largest_request_is_a_line_that_clew_reads(make_collector: CollectorMaker) -> None:
    """A request just under the bound is written and read whole; one over it is refused at the door."""
    collector = make_collector("files").start()
    traceback = '  File "app.py", line 7, in f\n' * (MIB // 30)
    assert 200 == send_logs(collector, 1, records=9, body=traceback)
    assert send_logs(collector, 2, records=11, body=traceback) in {400, 413}
    stats = ReadStats()
    rows = list(read(find_sources([collector.files]), stats))
    assert [f"1-{index}" for index in range(9)] == [row.message.split()[0] for row in rows if isinstance(row, LogRow)]
    assert (0, 0, 0) == (stats.torn, stats.foreign, stats.overlong)


def test_a_kill_loses_nothing_that_was_acknowledged(make_collector: CollectorMaker) -> None:
    """Each request answered with 200 before kill -9 is in the files after the restart."""
    collector = make_collector("files").start()
    acknowledged = [number for number in range(20) if send_logs(collector, number, records=5) == 200]
    collector.stop(signal.SIGKILL)
    collector.start()
    assert 200 == send_logs(collector, 99, records=5)
    expected = {f"{number}-{index}" for number in (*acknowledged, 99) for index in range(5)}
    assert expected == {body.split()[0] for body in collector.bodies()}
    assert 20 == len(acknowledged)


class SmallDisk(Collector):
    """A Collector in a mount namespace of its own, whose files are on a disk of a few megabytes."""

    def program(self) -> list[str]:
        """Return the program, behind the mount."""
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        script = f'mount -t tmpfs -o size=8m tmpfs {disk} && exec "$@"'
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *super().program()]

    def disk(self) -> Path:
        """Return the disk as this process can reach it."""
        return Path(f"/proc/{self.pid()}/root{self.folder}/disk")


def can_mount() -> bool:
    """Return whether this machine lets a user mount a disk of memory in a namespace."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="no user namespaces here to mount a small disk in")
def test_a_full_disk_refuses_and_heals(tmp_path: Path) -> None:
    """While the disk is full senders are told to retry; once there is room retries are taken and nothing is missing."""
    folder = tmp_path / "otelcol"
    collector = SmallDisk(folder, ["files"], OTELCOL_FILES_DIR=folder / "disk" / "telemetry")
    with collector:
        filler = collector.disk() / "filler"
        filler.write_bytes(b"\0" * 6 * MIB)
        statuses: dict[int, int] = {}
        for number in range(40):
            statuses[number] = send_logs(collector, number, records=100, body="z" * 900)
            if statuses[number] != 200:
                break
        refused = max(statuses)
        assert statuses[refused] in {500, 503}
        filler.unlink()
        assert 200 == send_logs(collector, refused, records=100, body="z" * 900)
        # A refused write leaves its torn half, and the next one continues the line: the reader finds the whole one.
        stats = ReadStats()
        rows = list(read(find_sources([collector.disk() / "telemetry"]), stats))
    expected = {f"{number}-{index}" for number in statuses for index in range(100)}
    assert expected == {row.message.split()[0] for row in rows if isinstance(row, LogRow)}
    assert 1 == stats.torn


def test_an_idle_services_files_expire(make_collector: CollectorMaker) -> None:
    """The Collector never prunes while nothing is sent; `clew retain` does, and leaves the live file alone."""
    collector = make_collector("files").start()
    assert 200 == send_logs(collector, 1, records=1)
    time.sleep(5)  # the pruning that goes with the first write is over
    day_s = 86400
    old, recent = (
        collector.files / time.strftime("logs-%Y-%m-%dT%H-%M-%S.000-size.jsonl", time.gmtime(time.time() - age))
        for age in (8 * day_s, day_s)
    )
    for path, age in ((old, 8 * day_s), (recent, day_s)):
        path.write_text('{"resourceLogs":[]}\n', encoding="utf-8")
        os.utime(path, (time.time() - age, time.time() - age))
    time.sleep(2)
    assert old.exists()
    done = subprocess.run(
        [sys.executable, "-m", "clew", "retain", str(collector.files)], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert {"logs.jsonl", recent.name} == {path.name for path in collector.files.glob("logs*")}
