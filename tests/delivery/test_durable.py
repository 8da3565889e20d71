"""An error is on disk before the log call returns, and off it once it has arrived."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from opentelemetry._logs import SeverityNumber
from pipelines import ERROR, INFO, connect, make_delivery, make_entry, stored_records

from clew.delivery.durable import NEVER, durable_severity

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
