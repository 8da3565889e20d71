"""What the report tells, as plain values: the analysis, the error groups, and the requests that it shows whole.

Files are read twice, once for the counts and once for the requests that turned out to be worth showing. Memory is
bounded by the number of operations, groups and shown requests, not of records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from clew.desk import ordering, query
from clew.desk.analysis import Analyser, Analysis
from clew.desk.error_groups import ErrorGroup, group_errors
from clew.desk.report.requests import Requests, Story
from clew.files.reader import reading
from clew.files.reader.records import LogRow, MetricRow, ReadStats, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from clew.desk.analysis import Example
    from clew.desk.options import Place
    from clew.files.reader.sources import Source

MAX_SHOWN_GROUPS: Final = 50
"""Error groups on the page, the most frequent."""

MAX_SLOWEST: Final = 10
MAX_FAILING: Final = 10
MAX_GROUP_EXAMPLES: Final = 10
"""Groups of which a request is shown whole."""

_REMEMBERED: Final = 100_000
"""Records in which a repeat is told; see `query.unique`."""

_Told: TypeAlias = "SpanRecord | LogRow"


@dataclass(frozen=True)
class Selection:
    """Which records the report is about."""

    since_ns: int | None = None
    until_ns: int | None = None
    services: frozenset[str] = frozenset()

    def takes(self, row: SpanRecord | LogRow | MetricRow) -> bool:
        """Tell whether a record is of the period and of one of the services."""
        time_ns = row.time_ns
        return (
            (self.since_ns is None or time_ns >= self.since_ns)
            and (self.until_ns is None or time_ns < self.until_ns)
            and (not self.services or row.service in self.services)
        )


@dataclass(frozen=True)
class Contents:
    """Everything that stands on the page."""

    analysis: Analysis
    groups: tuple[ErrorGroup, ...]
    """The most frequent first, at most `MAX_SHOWN_GROUPS`."""
    omitted_groups: int
    slowest: tuple[Example, ...]
    failing: tuple[Example, ...]
    stories: tuple[Story, ...]
    """The requests that are shown whole: the slowest, the last that failed, and one of each frequent group."""
    stats: ReadStats
    """Of the first pass."""
    log_records: int
    selection: Selection
    paths: tuple[str, ...]


def collect(place: Place, selection: Selection, progress: Callable[[int], None] | None = None) -> Contents:
    """Read the files and return what they say.

    Raises:
        NoDataError: If there is nothing to read.
    """
    sources = place.sources(since_ns=selection.since_ns)
    reader = _Pass(place, selection, sources, progress)
    groups, analysis = reader.first()
    slowest = _by_trace(analysis.slowest, lambda example: -example.duration_ns)[:MAX_SLOWEST]
    failing = _by_trace(analysis.failing, lambda example: example.start_ns)[:MAX_FAILING]
    requests = Requests()
    for example in (*slowest, *failing):
        requests.want(example.trace_id, example.correlation_id)
    for group in groups[:MAX_GROUP_EXAMPLES]:
        requests.want_any(group.examples)
    reader.second(requests)
    return Contents(
        analysis=analysis,
        groups=groups[:MAX_SHOWN_GROUPS],
        omitted_groups=max(0, len(groups) - MAX_SHOWN_GROUPS),
        slowest=slowest,
        failing=failing,
        stories=requests.stories(),
        stats=reader.stats,
        log_records=reader.log_records,
        selection=selection,
        paths=tuple(str(path) for path in place.paths),
    )


def _by_trace(examples: Iterable[Example], rank: Callable[[Example], int]) -> tuple[Example, ...]:
    """Leave out all but one of the calls inside each request: the one of the lowest rank."""
    seen: dict[str, Example] = {}
    for number, example in enumerate(examples):
        key = example.trace_id or str(number)
        known = seen.setdefault(key, example)
        if rank(example) < rank(known):
            seen[key] = example
    return tuple(seen.values())


class _Pass:
    """The passes over the files."""

    def __init__(
        self, place: Place, selection: Selection, sources: list[Source], progress: Callable[[int], None] | None
    ) -> None:
        self._form, self._selection, self._sources, self._progress = place.text_form(), selection, sources, progress
        self.stats = ReadStats()
        self.log_records = 0

    def first(self) -> tuple[tuple[ErrorGroup, ...], Analysis]:
        """Count everything: spans and logs in order of time, as groups need them, then metric points."""
        analyser = Analyser()
        sources = [source for source in self._sources if source.signal != "metrics"]
        rows = query.unique(ordering.in_time_order(sources, self._rows), _REMEMBERED)
        groups = group_errors(self._counted(rows, analyser))
        sources = [source for source in self._sources if source.signal in {"metrics", ""}]
        for point in reading.read(sources, ReadStats(), signals=("metrics",)):
            if isinstance(point, MetricRow) and self._selection.takes(point):
                analyser.add(point)
        return groups, analyser.finish()

    def second(self, requests: Requests) -> None:
        """Collect the records of chosen requests."""
        if requests.is_empty:
            return
        sources = [source for source in self._sources if source.signal != "metrics"]
        needles = query.needles_of(requests.identifiers)
        found = reading.read(sources, ReadStats(), signals=("traces", "logs"), needles=needles, form=self._form)
        for row in found:
            if isinstance(row, (SpanRecord, LogRow)):
                requests.add(row)

    def _rows(self, source: Source) -> Iterator[_Told]:
        found = reading.read(
            [source],
            self.stats,
            signals=("traces", "logs"),
            form=self._form,
            progress=self._progress,
            frugal=len(self._sources) > 1,
        )
        return (row for row in found if isinstance(row, (SpanRecord, LogRow)) and self._selection.takes(row))

    def _counted(self, rows: Iterable[_Told], analyser: Analyser) -> Iterator[_Told]:
        for row in rows:
            if isinstance(row, SpanRecord):
                analyser.add(row)
            else:
                self.log_records += 1
            yield row
