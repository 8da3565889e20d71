"""Records of many files in one order of time, with bounded memory."""

from __future__ import annotations

import heapq
import re
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from clew.files.reader import lines, reading
from clew.files.reader.records import LogRow, ReadStats, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from clew.files.reader.sources import Source

R = TypeVar("R", bound="SpanRecord | LogRow")

MAX_OPEN: Final = 16
"""Files that are read side by side. Each holds one line, a large one packed."""

WINDOW: Final = 2048
"""Records that are held back to put right what threads and batches wrote slightly out of order."""

_HEAD_BYTES: Final = 65536
_TIME: Final = re.compile(rb'"(?:startTimeUnixNano|timeUnixNano|observedTimeUnixNano)":\s*"?([1-9]\d*)')


def in_time_order(sources: Sequence[Source], open_rows: Callable[[Source], Iterable[R]]) -> Iterator[R]:
    """Give the rows of all files by time.

    A file is opened when the time comes at which it begins, so a thousand segments of one service are read one after
    the other. Order is exact where a file is in order up to `WINDOW` records and at most `MAX_OPEN` files cover the
    same time.
    """
    return _settle(_merge(sources, open_rows))


def _merge(sources: Sequence[Source], open_rows: Callable[[Source], Iterable[R]]) -> Iterator[R]:
    """Merge the files' rows, each file opened when its first record is due."""
    waiting = deque(sorted(((_first_time_ns(source), source) for source in sources), key=lambda pair: pair[0]))
    heap: list[tuple[int, int, R, Iterator[R]]] = []
    opened = 0
    while waiting or heap:
        while waiting and len(heap) < MAX_OPEN and (not heap or waiting[0][0] <= heap[0][0]):
            rows = iter(open_rows(waiting.popleft()[1]))
            opened += 1
            _push(heap, rows, opened, 0)
        if heap:
            time_ns, number, row, rows = heapq.heappop(heap)
            yield row
            _push(heap, rows, number, time_ns)


def _push(heap: list[tuple[int, int, R, Iterator[R]]], rows: Iterator[R], number: int, last_ns: int) -> None:
    """Put a file's next row on the heap; a row that does not know its time stands where its file has it."""
    row = next(rows, None)
    if row is not None:
        heapq.heappush(heap, (row.time_ns or last_ns, number, row, rows))


def _settle(rows: Iterable[R]) -> Iterator[R]:
    """Put right small disorder by holding back the newest rows."""
    heap: list[tuple[int, int, R]] = []
    latest = 0
    for number, row in enumerate(rows):
        latest = row.time_ns or latest
        item = (latest, number, row)
        if len(heap) < WINDOW:
            heapq.heappush(heap, item)
        else:
            yield heapq.heappushpop(heap, item)[2]
    while heap:
        yield heapq.heappop(heap)[2]


def _first_time_ns(source: Source) -> int:
    """Return the time of a file's first record without parsing a whole batch; 0 if it has none."""
    try:
        with lines.open_file(source.path) as file:
            head = next(lines.read_blocks(file), b"")[:_HEAD_BYTES]
    except (OSError, lines.DamagedError):
        return 0
    found = _TIME.search(head)
    if found is not None:
        return int(found[1])
    rows = (row for row in reading.read([source], ReadStats()) if isinstance(row, (LogRow, SpanRecord)))
    first = next(rows, None)
    return first.time_ns if first is not None else 0
