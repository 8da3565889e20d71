"""The root cause of one failing request, and groups of failures: one failure is one, however often it is told."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clew.desk.error_groups import group_errors
from clew.desk.query import find_trace
from clew.desk.root_cause import RootCause, find_root_cause
from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, Origin, ReadStats, SpanRecord
from clew.files.reader.sources import find_sources
from clew.logs.fingerprint import fingerprint_traceback_text
from otlp_lines import STACKTRACE, START_NS, TRACE_ID, log, logs_line, span, spans_line, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.desk.error_groups import ErrorGroup


def _rows(*paths: Path) -> list[SpanRecord | LogRow]:
    found = (row for row in read(find_sources(paths), ReadStats()) if isinstance(row, (SpanRecord, LogRow)))
    return sorted(found, key=lambda row: row.time_ns)


def _cause(*paths: Path) -> RootCause:
    rows = _rows(*paths)
    cause = find_root_cause(
        [row for row in rows if isinstance(row, SpanRecord)], [row for row in rows if isinstance(row, LogRow)]
    )
    assert cause is not None
    return cause


def _groups(*paths: Path) -> tuple[ErrorGroup, ...]:
    return group_errors(_rows(*paths))


def test_service_that_raised_is_the_cause(shop: Path) -> None:
    """A calls B calls C, C raises, B wraps, A logs late outside its span: the cause is C's span and exception."""
    assert RootCause(
        service="payments",
        operation="POST /charge",
        type="payments.gateway.CardDeclined",
        message="card declined",
        fingerprint=fingerprint_traceback_text(STACKTRACE) or "",
        stacktrace=STACKTRACE,
        trace_id=TRACE_ID,
        span_id="f" * 16,
        correlation_id="order-4711",
        time_ns=START_NS + 100_000_000,
    ) == _cause(shop)


def test_one_failure_is_one_group(shop: Path) -> None:
    """The same request makes one group with all its services, its ID, and the late log among its tellings."""
    (group,) = _groups(shop)

    assert ("payments", "POST /charge", 1, 7) == (group.service, group.operation, group.failures, group.records)
    assert {"payments", "orders", "shop"} == set(group.services)
    assert "payments" == group.services[0]
    assert ("order-4711",) == group.examples
    assert (START_NS + 96_000_000, START_NS + 130_000_000) == (group.first_ns, group.last_ns)
    assert ["type payments.gateway.CardDeclined", "frame payments.app:charge", "frame payments.gateway:charge"] == [
        line for line in group.canonical.splitlines() if line.startswith(("type", "frame"))
    ] or "type payments.gateway.CardDeclined" in group.canonical


def test_first_of_several_failing_calls(tmp_path: Path) -> None:
    """Of retries that all fail the first one is the cause, although the last one ends last."""
    path = write(
        tmp_path / "traces.jsonl",
        spans_line(
            "a",
            span("1" * 16, "root", end=100, failed=True),
            span("2" * 16, "try 1", parent="1" * 16, begin=1, end=10, failed=True),
            span("3" * 16, "try 2", parent="1" * 16, begin=20, end=30, failed=True),
        ),
    )

    assert "try 1" == _cause(path).operation


def test_clocks_do_not_decide(tmp_path: Path) -> None:
    """A called service whose clock is ahead ends after its caller by its own clock, and is the cause all the same."""
    path = write(
        tmp_path / "traces.jsonl",
        spans_line("a", span("1" * 16, "call", end=10, kind=3, failed=True)),
        spans_line("b", span("2" * 16, "serve", parent="1" * 16, begin=60_000, end=60_005, kind=2, failed=True)),
    )

    assert ("b", "serve") == (_cause(path).service, _cause(path).operation)


def test_logs_alone(tmp_path: Path) -> None:
    """Where spans were not sampled the earliest error with an exception is the cause."""
    raised: dict[str, Any] = {"exception.type": "KeyError", "exception.message": "'x'"}
    path = write(
        tmp_path / "logs.jsonl",
        logs_line(
            "a",
            log("before", ms=1, severity=17),
            log("broken", ms=2, severity=17, **raised),
            log("after", ms=3, severity=17),
            logger="shop",
        ),
    )

    cause = _cause(path)

    assert ("a", "shop", "KeyError", "'x'") == (cause.service, cause.operation, cause.type, cause.message)


def test_nothing_failed(tmp_path: Path) -> None:
    """Without failures there is no cause and no group."""
    path = write(tmp_path / "all.jsonl", spans_line("a", span("1" * 16)), logs_line("a", log()))
    rows = _rows(path)

    assert find_root_cause([row for row in rows if isinstance(row, SpanRecord)], []) is None
    assert () == group_errors(rows)


def test_same_cause_in_many_requests(tmp_path: Path) -> None:
    """Requests that fail at one place are one group; values in messages do not split it, another place does."""
    lines = [
        spans_line("a", span(f"{number:016x}", "work", trace_id=f"{number:032x}", failed=True, raised="shop.Broken"))
        for number in range(1, 6)
    ]
    lines.append(spans_line("a", span("f" * 16, "other", trace_id="f" * 32, failed=True, raised="shop.Late")))
    path = write(tmp_path / "traces.jsonl", *lines)

    assert [("shop.Broken", 5, 5), ("shop.Late", 1, 1)] == [
        (group.type, group.failures, group.records) for group in _groups(path)
    ]


@pytest.mark.parametrize("mark", [{"error.fingerprint": "ab" * 16}, {}])
def test_memory_of_many_failing_requests(mark: dict[str, str]) -> None:
    """Failures that are held together share a stack trace: memory does not grow by its length for each."""
    raised = {"exception.type": "E", "exception.message": "it broke", **mark}

    def rows() -> Iterator[LogRow]:
        for number in range(2000):
            text = f"E: {number}\n" + "    at shop.Orders.place(Orders.java:42)\n" * 500
            record = log(
                "failed", severity=17, trace_id=f"{number + 1:032x}", **raised, **{"exception.stacktrace": text}
            )
            yield LogRow(record, Origin({}, {}, Path("x")))

    tracemalloc.start()
    (group,) = group_errors(rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert 2000 == group.failures
    assert group.stacktrace.startswith("E: 0\n")
    assert peak < 8_000_000


def test_errors_without_exception(tmp_path: Path) -> None:
    """Error logs without an exception group by logger and message, their numbers left out."""
    made = [log(f"order {number} failed", ms=number, severity=17, trace_id="") for number in range(4)]
    path = write(tmp_path / "logs.jsonl", logs_line("a", *made, log("disk full", severity=17, trace_id="")))

    assert [("order 0 failed", 4, 4), ("disk full", 1, 1)] == [
        (group.message, group.failures, group.records) for group in _groups(path)
    ]


def test_record_without_ids_joins_by_fingerprint(tmp_path: Path) -> None:
    """A record outside any request that tells of a known failure is one more telling, not one more failure."""
    mark = {"exception.type": "shop.Broken", "error.fingerprint": "ab" * 16}
    path = write(
        tmp_path / "logs.jsonl",
        logs_line("a", log("inside", severity=17, **mark), log("outside", ms=5, severity=17, trace_id="", **mark)),
    )

    assert [(1, 2)] == [(group.failures, group.records) for group in _groups(path)]


def test_trace_is_found_from_any_id(shop: Path) -> None:
    """The cause is found from the correlation ID, the trace ID and any span's ID."""
    causes = set()
    for identifier in ("order-4711", TRACE_ID, "d" * 16):
        trace = find_trace(find_sources([shop]), identifier, ReadStats())
        cause = find_root_cause(trace.spans, trace.logs)
        causes.add(cause and cause.span_id)

    assert {"f" * 16} == causes
