"""Files that are read side by side do not hold their large lines as objects."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from clew.files.reader.reading import read
from clew.files.reader.records import ReadStats
from clew.files.reader.sources import find_sources
from otlp_lines import counter, log, logs_line, metrics_line, span, spans_line, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["logs", "traces", "metrics", "deep"])
def test_same_records(tmp_path: Path, kind: str) -> None:
    """What is packed comes out as it was, in its order; what cannot be packed is given as it is."""
    deep: dict[str, object] = {"stringValue": "x"}
    for _ in range(120):
        deep = {"arrayValue": {"values": [deep]}}
    line = {
        "logs": logs_line("a", *(log(f"number {number} " + "x" * 2000, ms=number) for number in range(1000))),
        "traces": spans_line("a", *(span(f"{number:016x}", "x" * 2000) for number in range(1, 1000))),
        "metrics": metrics_line("a", *(counter("x" * 2000, number) for number in range(1000))),
        "deep": logs_line("a", log("x" * 1_100_000), {**log(), "body": deep}),
    }[kind]
    path = write(tmp_path / "a.jsonl", line, logs_line("b", log("small")))

    stats = [ReadStats(), ReadStats()]
    plain, frugal = (
        list(read(find_sources([path]), one, frugal=is_frugal))
        for one, is_frugal in zip(stats, (False, True), strict=True)
    )

    assert len(line) > 1_000_000
    assert plain == frugal
    assert stats[0] == stats[1]


def test_memory(tmp_path: Path) -> None:
    """Ten files that each stand in the middle of a large line take less than the objects of two such lines."""
    many = [log(f"number {number}", ms=number, **dict.fromkeys("abcdefgh", "value")) for number in range(4000)]
    paths = [write(tmp_path / f"{number}.jsonl", logs_line("a", *many)) for number in range(10)]
    tracemalloc.start()
    (one,) = [list(read(find_sources(paths[:1]), ReadStats()))]
    of_objects = tracemalloc.get_traced_memory()[0]
    del one
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]

    readers = [read(find_sources([path]), ReadStats(), frugal=True) for path in paths]
    firsts = [next(reader) for reader in readers]
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert 10 == len(firsts)
    assert held < 2 * of_objects
