"""Folding keeps the count, and sampling by trace keeps what matters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from clew.entry import LogEntry
from clew.logs import intake
from clew.logs.sampling import Folding
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def _entry(body: str, severity: int = 9, trace_id: int = 0, flags: int = 0) -> LogEntry:
    return LogEntry(
        1, severity, "INFO", "s", body, None, trace_id, 7, flags, None, None, None, None, None, None
    )  # fmt: skip


def _count(entries: list[LogEntry]) -> int:
    return sum(int(str((entry.attributes or {}).get("clew.log.repeated", 1))) for entry in entries)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3))))
def test_totals_reconcile(steps: list[tuple[str, float]]) -> None:
    """Whatever comes when, the counts of what goes out add up to what came in."""
    out: list[LogEntry] = []
    now = [0.0]
    folding = Folding(out.append, 1000.0, clock=lambda: now[0] * 400)
    for body, pause in steps:
        now[0] += pause
        folding.put(_entry(body))
    folding.flush()

    assert len(steps) == _count(out)


def test_repeats_become_one_record() -> None:
    """The first record passes at once, the rest of its window is one record with its count."""
    out: list[LogEntry] = []
    folding = Folding(out.append, 1000.0)
    for _ in range(10_000):
        folding.put(_entry("same"))
    folding.put(_entry("other"))
    folding.flush()

    assert [(entry.body, entry.attributes) for entry in out] == [
        ("same", None),
        ("other", None),
        ("same", {"clew.log.repeated": 9_999}),
    ]


def test_window_ends_by_itself() -> None:
    """A program that falls silent still emits its count."""
    out: list[LogEntry] = []
    folding = Folding(out.append, 0.05)
    folding.put(_entry("same"))
    folding.put(_entry("same"))
    deadline = time.monotonic() + 5
    while len(out) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert [1, 1] == [_count([entry]) for entry in out]


def test_sampling_follows_the_trace() -> None:
    """Below WARNING a record of an unsampled trace is left out and counted; all others are kept."""
    out: list[LogEntry] = []
    intake.open_to(out.append, Settings(log_sampling="trace"))
    before = intake.counts()["sampled_out"]
    for entry in (
        _entry("unsampled", trace_id=1),
        _entry("sampled", trace_id=1, flags=1),
        _entry("no trace"),
        _entry("warning", severity=13, trace_id=1),
    ):
        intake.offer(entry)
    intake.close()

    assert ["sampled", "no trace", "warning"] == [entry.body for entry in out]
    assert 1 == intake.counts()["sampled_out"] - before


def test_sink_that_raises_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A record that could not be taken in is counted and told."""
    before = intake.counts()["failed"]
    intake.failed(ValueError("no room"))

    assert 1 == intake.counts()["failed"] - before
    assert "no room" in capsys.readouterr().err or before


def test_counts_are_emitted_at_exit(run_program: Callable[..., Any]) -> None:
    """A program that ends within the window leaves the exact count."""
    records = run_program("repeating.py", clew=True, CLEW_LOG_FOLD="1h").records

    assert [{}, {"clew.log.repeated": 4}] == [record["attributes"] for record in records]
