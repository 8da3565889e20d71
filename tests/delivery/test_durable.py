"""An error is on disk before the log call returns, and off it once it has arrived."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from opentelemetry._logs import SeverityNumber
from pipelines import ERROR, INFO, connect, make_delivery, make_entry, stored_records

from clew.delivery.durable import NEVER, durable_severity
from clew.files.segments import SegmentWriter, open_locked

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver


def test_on_disk_at_once(tmp_path: Path) -> None:
    """CLEW_DURABLE_LEVEL is the level from which on a record is stored before `put_log` returns."""
    delivery = make_delivery(tmp_path)
    delivery._thread.start = lambda: False

    delivery.put_log(make_entry("told", INFO))
    assert {} == stored_records(tmp_path)
    delivery.put_log(make_entry("kept", ERROR))
    assert {"logs": 1} == stored_records(tmp_path)


def test_removed_when_delivered(receiver: Receiver, tmp_path: Path) -> None:
    """Delivered records leave no segment behind; the copy on disk and the one sent have the same uid."""
    delivery = connect(make_delivery(tmp_path), receiver)
    for number in range(10):
        delivery.put_log(make_entry(number, ERROR))
    assert delivery.flush(5)

    assert [] == list((tmp_path / "clew" / "spool").iterdir())
    assert 10 == len({record.attributes["log.record.uid"] for record in receiver.logs})
    delivery.close(1)


def test_stored_once(receiver: Receiver, tmp_path: Path) -> None:
    """While the Collector is away a durable record is on disk once, not twice."""
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver)
    for number in range(10):
        delivery.put_log(make_entry(number, ERROR))
    assert delivery.flush(5)

    assert {"logs": 10} == stored_records(tmp_path)
    delivery.close(1)
    assert {"logs": 10} == stored_records(tmp_path)


def test_full_segments_stay_ours(receiver: Receiver, tmp_path: Path) -> None:
    """What waits in this process's queue nobody else delivers, however many segments it fills; then they are gone."""
    delivery = connect(make_delivery(tmp_path, {"CLEW_SEGMENT_MAX_BYTES": "4096"}), receiver)
    start, delivery._thread.start = delivery._thread.start, lambda: False
    for number in range(100):
        delivery.put_log(make_entry(number, ERROR))
    segments = list((tmp_path / "clew" / "spool").iterdir())
    others = [open_locked(path) for path in segments]
    delivery._thread.start = start
    delivery.put_log(make_entry(100, ERROR))
    assert delivery.flush(5)

    assert len(segments) > 5
    assert {None} == set(others)
    assert [] == list((tmp_path / "clew" / "spool").iterdir())
    assert list(range(101)) == [record.body for record in receiver.logs]
    delivery.close(1)


def test_full_segments_are_never_unlocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no moment between a segment and the next in which another process would take the full one."""
    delivery = make_delivery(tmp_path, {"CLEW_SEGMENT_MAX_BYTES": "4096"})
    delivery._thread.start = lambda: False
    found: list[int | None] = []
    open_next = SegmentWriter._open

    def look_and_open(writer: SegmentWriter) -> None:
        found.extend(open_locked(path) for path in (tmp_path / "clew" / "spool").glob("logs-*"))
        open_next(writer)

    monkeypatch.setattr(SegmentWriter, "_open", look_and_open)
    for number in range(30):
        delivery.put_log(make_entry(number, ERROR))

    assert len(found) > 3
    assert {None} == set(found)


def test_what_closes_all_descriptors_keeps_its_own(tmp_path: Path) -> None:
    """A program that closes all descriptors, as a daemon does, keeps the files that it opens with their numbers."""
    delivery = make_delivery(tmp_path)
    delivery._thread.start = lambda: False
    delivery.put_log(make_entry("failed", ERROR))
    [(descriptor, _)] = delivery._durable._held.values()
    with (tmp_path / "own").open("wb") as own:
        os.dup2(own.fileno(), descriptor)
        delivery.close(1)

        assert os.path.samestat(os.fstat(own.fileno()), os.fstat(descriptor))
        os.close(descriptor)


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    """Its full segments are anybody's when it is gone, though a child that it forked lives on."""
    started, ended = os.pipe(), os.pipe()
    parent = os.fork()
    if not parent:
        delivery = make_delivery(tmp_path, {"CLEW_SEGMENT_MAX_BYTES": "4096"})
        delivery._thread.start = lambda: False
        for number in range(30):
            delivery.put_log(make_entry(number, ERROR))
        if not os.fork():
            delivery.after_fork()
            os.write(started[1], b"child")
            os.read(ended[0], 1)
        os._exit(0)
    os.waitpid(parent, 0)
    os.read(started[0], 5)
    claimed = [open_locked(path) for path in (tmp_path / "clew" / "spool").iterdir()]
    os.write(ended[1], b"!")

    assert len(claimed) > 1
    assert None not in claimed
    for descriptor in (*started, *ended, *claimed):
        os.close(descriptor or 0)


def test_off(tmp_path: Path) -> None:
    """`CLEW_DURABLE_LEVEL=off` stores nothing."""
    delivery = make_delivery(tmp_path, {"CLEW_DURABLE_LEVEL": "off"})
    delivery._thread.start = lambda: False
    delivery.put_log(make_entry("not kept", 24))

    assert {} == stored_records(tmp_path)


def test_fork(receiver: Receiver, tmp_path: Path) -> None:
    """A child's release of its records does not touch those of its parent."""
    delivery = make_delivery(tmp_path)
    delivery._thread.start = lambda: False
    delivery.put_log(make_entry("parent", ERROR))
    child = os.fork()
    if not child:
        delivery.after_fork()
        delivery._thread.start = lambda: False
        delivery.put_log(make_entry("child", ERROR))
        delivery._durable.release(delivery._logs.queue)
        os._exit(0)
    os.waitpid(child, 0)

    assert {"logs": 1} == stored_records(tmp_path)


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (None, NEVER),
        (5, SeverityNumber.TRACE4.value),
        (10, SeverityNumber.DEBUG.value),
        (20, SeverityNumber.INFO.value),
        (25, SeverityNumber.INFO4.value),
        (30, SeverityNumber.WARN.value),
        (40, SeverityNumber.ERROR.value),
        (50, SeverityNumber.FATAL.value),
        (99, SeverityNumber.FATAL4.value),
    ],
)
def test_severity(level: int | None, severity: int) -> None:
    """A logging level stands for the severity number that records of that level have."""
    assert severity == durable_severity(level)
