"""Lines out of blocks: whole whatever the block's borders, bounded whatever their length."""

from __future__ import annotations

import io
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.files.reader import lines
from clew.files.reader.records import ReadStats

contents = st.lists(st.sampled_from([b"a", b"b", b"ab", b"\n", b"\r", b"xyz"]), max_size=60).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut data into blocks at places."""
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders) if start < end]


def naive(data: bytes) -> list[bytes]:
    """Split as `bytes.split` does, without the empty rest behind the last newline."""
    found = data.split(b"\n")
    return found[:-1] if found[-1] == b"" else found


@given(contents, cuts)
def test_split_is_independent_of_blocks(data: bytes, places: list[int]) -> None:
    """Lines are the same wherever the blocks end."""
    assert naive(data) == list(lines.split_lines(cut(data, places), ReadStats()))


@given(contents, cuts, st.lists(st.sampled_from([b"a", b"ab", b"bx", b"xyza", b"ba"]), min_size=1, max_size=3))
def test_found_lines_are_those_that_hold_a_needle(data: bytes, places: list[int], needles: list[bytes]) -> None:
    """Searching blocks gives the lines that hold one of the needles, in order, each once."""
    expected = [line for line in naive(data) if any(needle in line for needle in needles)]

    assert expected == list(lines.find_lines(cut(data, places), needles, ReadStats()))


@pytest.mark.parametrize("needles", [(), (b"needle",)])
def test_endless_line_is_bounded(needles: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line past the limit only the head is kept, and it is counted; the next line is whole."""
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 4 * lines.KEPT_BYTES)
    block = b"x" * 65536
    stats = ReadStats()

    def blocks() -> object:
        yield b"needle"
        for _ in range(800):
            yield block
        yield b"\nneedle after\n"

    tracemalloc.start()
    cut_lines = lines.find_lines(blocks(), needles, stats) if needles else lines.split_lines(blocks(), stats)
    found = list(cut_lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [lines.KEPT_BYTES, 12] == [len(line) for line in found]
    assert 1 == stats.overlong
    assert peak < 3_000_000


def test_ten_megabyte_line_is_whole() -> None:
    """A line of ten megabytes comes whole."""
    data = b"y" * 10_000_000

    assert [data, b"z"] == list(lines.split_lines(lines.read_blocks(io.BytesIO(data + b"\nz\n")), ReadStats()))
