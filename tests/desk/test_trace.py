"""`clew trace`: the picture of one request, from any of its IDs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clew.desk import query
from clew.desk.timeline import make_timeline
from clew.files.reader.records import LogRow, ReadStats, SpanRecord
from clew.files.reader.sources import find_sources
from otlp_lines import TRACE_ID, log, logs_line, span, spans_line, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from clew.desk.timeline import Timeline
    from conftest import Outcome


def _timeline(path: Path, identifier: str = TRACE_ID) -> Timeline:
    return make_timeline(query.find_trace(find_sources([path]), identifier, ReadStats()))


def _outline(timeline: Timeline) -> list[str]:
    """Return the timeline's rows with their depth, by name, message, or ID of a missing span."""
    lines = []
    for row in timeline.rows:
        item = row.item
        text = item.name if isinstance(item, SpanRecord) else item.message if isinstance(item, LogRow) else row.span_id
        lines.append(f"{len(row.indent) // 2} {text}")
    return lines


def test_picture(clew: Callable[..., Outcome], shop: Path) -> None:
    """The whole picture: services, bars, durations, log lines at their place, the failing span, the cause."""
    outcome = clew("trace", "order-4711", "--dir", shop)

    lines = outcome.out.splitlines()
    assert (0, "") == (outcome.status, outcome.err)
    assert ["Correlation ID order-4711", f"Trace          {TRACE_ID}"] == lines[:2]
    assert lines[2].startswith("3 services  6 spans  4 logs  130 ms")
    assert lines[2].endswith("5 failed spans")
    assert [
        "shop  POST /checkout",
        "├ · +2 ms     INFO    shop.views  checkout begins",
        "└ shop  POST",
        "  └ orders  POST /orders",
        "    ├ orders  SELECT stock",
        "    │ └ · +28 ms    INFO    orders.stock  3 items reserved",
        "    ├ orders  POST",
        "    │ └ payments  POST /charge",
        "    │   └ · +96 ms    ERROR   payments.app  charge failed  payments.gateway.CardDeclined: card declined",
        "    └ · +108 ms   orders.PaymentFailed: it broke",
        "· +130 ms   ERROR   shop.late  checkout failed",
        "",
        "Root cause  payments  POST /charge  payments.gateway.CardDeclined: card declined",
    ] == [line.partition("━")[0].rstrip() for line in lines[4:]]
    assert ["120 ms ✗", "107 ms ✗", "100 ms ✗", "20 ms", "69 ms ✗", "62 ms ✗ cause"] == [
        line.rpartition("━")[2].strip() for line in lines if "━" in line
    ]


def test_same_request_from_any_id(clew: Callable[..., Outcome], shop: Path) -> None:
    """Correlation ID, trace ID in either case and span ID show the same request."""
    shown = {clew("trace", one, shop, "--no-logs").out for one in ("order-4711", TRACE_ID, TRACE_ID.upper(), "d" * 16)}

    assert 1 == len(shown)


def test_data(clew: Callable[..., Outcome], shop: Path) -> None:
    """With `--json` a program gets spans, logs and the cause."""
    data = json.loads(clew("trace", "order-4711", shop, "--json").out)

    assert ([TRACE_ID], ["order-4711"], 0) == (data["trace_ids"], data["correlation_ids"], data["omitted"])
    assert (6, 4) == (len(data["spans"]), len(data["logs"]))
    assert ("payments", "f" * 16) == (data["root_cause"]["service"], data["root_cause"]["span_id"])
    assert ["checkout begins", "3 items reserved", "charge failed", "checkout failed"] == [
        row["message"] for row in data["logs"]
    ]


def test_unknown_id(clew: Callable[..., Outcome], shop: Path) -> None:
    """An ID that is nowhere is an error with the number of files looked at."""
    outcome = clew("trace", "order-1", shop)

    assert (1, "") == (outcome.status, outcome.out)
    assert outcome.err.startswith("clew: no span or log carries 'order-1' in 4 files (see ")


def test_id_that_owns_several_traces(tmp_path: Path) -> None:
    """A correlation ID may own several traces, some of whose spans do not carry it: all are found."""
    second = "1" * 32
    write(
        tmp_path / "traces.jsonl",
        spans_line("a", span("1" * 16, "first", **{"correlation.id": "job-1"})),
        spans_line("a", span("2" * 16, "second", trace_id=second, **{"correlation.id": "job-1"})),
        spans_line("b", span("3" * 16, "without", trace_id=second, parent="2" * 16, begin=1)),
        spans_line("b", span("4" * 16, "stranger", trace_id="2" * 32)),
    )

    trace = query.find_trace(find_sources([tmp_path]), "job-1", ReadStats())

    assert ["first", "second", "without"] == [one.name for one in trace.spans]
    assert (TRACE_ID, second) == trace.trace_ids


def test_repeats_are_shown_once(tmp_path: Path) -> None:
    """Spans and records that a replay repeated, in another file, are shown once; equal messages are not repeats."""
    repeated = [
        spans_line("a", span("1" * 16)),
        logs_line("a", log("same", uid="u1"), log("same", uid="u2"), log("no uid", uid="")),
    ]
    write(tmp_path / "all.jsonl", *repeated)
    write(tmp_path / "spool" / "all.jsonl", *repeated[:1], logs_line("a", log("same", uid="u1")))

    trace = query.find_trace(find_sources([tmp_path]), TRACE_ID, ReadStats())

    assert (1, ["no uid", "same", "same"]) == (len(trace.spans), sorted(row.message for row in trace.logs))


def test_missing_parent_is_shown(tmp_path: Path) -> None:
    """What hangs on a span that no file holds stands under a line that says so."""
    write(
        tmp_path / "all.jsonl",
        spans_line("a", span("1" * 16, "root"), span("2" * 16, "child", parent="9" * 16, begin=1)),
        logs_line("a", log("log of it", ms=2, span_id="9" * 16)),
    )

    assert ["0 root", f"0 {'9' * 16}", "1 child", "1 log of it"] == _outline(_timeline(tmp_path))


def test_circle_of_parents(tmp_path: Path) -> None:
    """Spans that name each other, or themselves, as parent are all shown, once."""
    write(
        tmp_path / "traces.jsonl",
        spans_line("a", span("1" * 16, "one", parent="2" * 16), span("2" * 16, "two", parent="1" * 16)),
        spans_line("a", span("3" * 16, "own", parent="3" * 16)),
    )

    assert ["0 own", "0 one", "1 two"] == _outline(_timeline(tmp_path))


def test_deep_trace(tmp_path: Path) -> None:
    """A trace of 3,000 levels is laid out without an end of the stack."""
    made = [
        span(f"{level:016x}", f"level {level}", parent=f"{level - 1:016x}" if level > 1 else "")
        for level in range(1, 3001)
    ]
    write(tmp_path / "traces.jsonl", spans_line("a", *made))

    assert 3000 == len(_timeline(tmp_path).rows)


def test_skewed_clock_is_corrected(tmp_path: Path) -> None:
    """A called service whose clock is ahead is put into the middle of the call, with its logs and children."""
    write(
        tmp_path / "traces.jsonl",
        spans_line("a", span("1" * 16, "call", begin=0, end=100, kind=3)),
        spans_line("b", span("2" * 16, "serve", parent="1" * 16, begin=60_000, end=60_060, kind=2)),
        spans_line("b", span("3" * 16, "query", parent="2" * 16, begin=60_010, end=60_020)),
    )
    write(tmp_path / "logs.jsonl", logs_line("b", log("inside", ms=60_030, span_id="2" * 16)))

    timeline = _timeline(tmp_path)

    begin = timeline.start_ns
    assert [("0 call", 0, 100), ("1 serve", 20, 80), ("2 query", 30, 40), ("2 inside", 50, 50)] == [
        (text, (row.start_ns - begin) // 1_000_000, (row.end_ns - begin) // 1_000_000)
        for text, row in zip(_outline(timeline), timeline.rows, strict=True)
    ]


def test_work_after_the_call_is_no_skew(tmp_path: Path) -> None:
    """A consumer that begins after its producer ended is where it was."""
    write(
        tmp_path / "traces.jsonl",
        spans_line("a", span("1" * 16, "send", begin=0, end=1, kind=4)),
        spans_line("b", span("2" * 16, "consume", parent="1" * 16, begin=500, end=600, kind=5)),
    )

    assert [0, 0] == [row.shift_ns for row in _timeline(tmp_path).rows]


def test_control_characters_do_not_reach_the_terminal(clew: Callable[..., Outcome], tmp_path: Path) -> None:
    """Escape sequences in names and messages come out as text."""
    write(
        tmp_path / "t.jsonl",
        spans_line("a\x1b[2J", span("1" * 16, "x\x1b]0;title\x07")),
        logs_line("a", log("\x1b[31mred")),
    )

    outcome = clew("trace", TRACE_ID, tmp_path)

    assert "\x1b" not in outcome.out
    assert r"\x1b[31mred" in outcome.out


def test_ascii_terminal(clew: Callable[..., Outcome], shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that takes ASCII only gets a picture in ASCII."""
    import sys  # noqa: PLC0415 - one test needs it

    monkeypatch.setattr(type(sys.stdout), "encoding", "ascii", raising=False)

    assert clew("trace", "order-4711", shop).out.isascii()
