"""What all requests together say: how long operations take, how many fail, when, what telemetry cost and lost.

One pass over records, memory bounded by the number of operations and periods, not of records.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from clew import schema
from clew.desk.durations import Budget, Durations
from clew.files.reader.records import MetricRow, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.entry import Attributes

SHARES: Final = (0.5, 0.9, 0.95, 0.99)
"""The percentiles that are told."""

MAX_OPERATIONS: Final = 2000
"""Operations that are told apart; further ones are counted together, as names with values in them would have no end."""

MAX_PERIODS: Final = 240
"""Periods that the time line has; twice as many become half as many of twice the length."""

MAX_EXAMPLES: Final = 20

_FIRST_PERIOD_NS: Final = 1_000_000_000
_ENTRY_KINDS: Final = frozenset({"server", "consumer"})
_OTHER: Final = "(other)"


@dataclass(frozen=True)
class Latency:
    """How long something took, in nanoseconds."""

    count: int
    errors: int
    total_ns: int
    p50_ns: int
    p90_ns: int
    p95_ns: int
    p99_ns: int
    longest_ns: int
    is_exact: bool

    @property
    def error_rate(self) -> float:
        """Share that failed, 0 to 1."""
        return self.errors / self.count if self.count else 0.0


@dataclass(frozen=True)
class Operation:
    """One operation of one service. For an HTTP server the name is method and route."""

    service: str
    name: str
    kind: str
    latency: Latency


@dataclass(frozen=True)
class Period:
    """One stretch of time: the requests that began in it."""

    start_ns: int
    width_ns: int
    latency: Latency
    heat: tuple[tuple[int, int], ...]
    """Requests by duration: pairs of the exponent to base 2 of the duration in microseconds, and how many."""

    @property
    def throughput_per_s(self) -> float:
        """Requests a second."""
        return self.latency.count * 1e9 / self.width_ns


@dataclass(frozen=True)
class Example:
    """One request worth a look."""

    duration_ns: int
    start_ns: int
    service: str
    name: str
    trace_id: str
    correlation_id: str
    is_failed: bool


@dataclass(frozen=True)
class Overhead:
    """What telemetry itself cost and lost, by its own metrics."""

    cpu_s: tuple[tuple[str, str, float], ...]
    """Service, component, CPU seconds."""
    records: tuple[tuple[str, str, str, str, int], ...]
    """Service, signal, outcome, reason, how many records."""

    @property
    def dropped(self) -> int:
        """Records that were lost."""
        return sum(count for _, _, outcome, _, count in self.records if outcome == "dropped")


@dataclass(frozen=True)
class Analysis:
    """The whole picture; requests are spans of kind server or consumer, and roots of other kinds."""

    start_ns: int
    end_ns: int
    spans: int
    services: tuple[str, ...]
    requests: Latency
    operations: tuple[Operation, ...]
    """By total time, longest first."""
    periods: tuple[Period, ...]
    slowest: tuple[Example, ...]
    failing: tuple[Example, ...]
    """The last requests that failed."""
    overhead: Overhead


def analyse(records: Iterable[object]) -> Analysis:
    """Analyse all spans and metric points among records, in any order; repeats are to be left out before."""
    analyser = Analyser()
    for record in records:
        analyser.add(record)
    return analyser.finish()


class Analyser:
    """Analyses records one by one, for a pass over files that others look at as well."""

    def __init__(self) -> None:
        self._tally = _Tally()
        self._meters = _Meters()

    def add(self, record: object) -> None:
        """Count a span or a metric point; anything else is left alone."""
        if isinstance(record, SpanRecord):
            self._tally.add(record)
        elif isinstance(record, MetricRow):
            self._meters.add(record)

    def finish(self) -> Analysis:
        """Return the whole picture."""
        return self._tally.analysis(self._meters.overhead())


def operation_name(span: SpanRecord, attributes: Attributes) -> str:
    """Return the name that an operation is counted under: method and route for HTTP, else the span's name."""
    route, method = attributes.get("http.route"), attributes.get("http.request.method") or attributes.get("http.method")
    return f"{method!s} {route!s}" if route and method else span.name


class _Timed:
    """Durations and how many of them failed."""

    __slots__ = ("durations", "errors")

    def __init__(self, budget: Budget) -> None:
        self.durations = Durations(budget)
        self.errors = 0

    def add(self, duration_ns: int, is_failed: bool) -> None:
        self.durations.add(duration_ns)
        self.errors += is_failed

    def extend(self, other: _Timed) -> None:
        self.durations.extend(other.durations)
        self.errors += other.errors

    def latency(self) -> Latency:
        durations = self.durations
        p50_ns, p90_ns, p95_ns, p99_ns = durations.percentiles_ns(SHARES)
        return Latency(
            durations.count,
            self.errors,
            durations.total_ns,
            p50_ns,
            p90_ns,
            p95_ns,
            p99_ns,
            durations.longest_ns,
            durations.is_exact,
        )


class _Timeline:
    """Requests by the time they began, in periods that grow so that there are never too many."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._width_ns = _FIRST_PERIOD_NS
        self._first = self._last = 0
        self._periods: dict[int, _Timed] = {}
        self._heat: dict[int, dict[int, int]] = {}

    def add(self, start_ns: int, duration_ns: int, is_failed: bool) -> None:
        number = start_ns // self._width_ns
        if number not in self._periods:
            self._first = min(self._first, number) if self._periods else number
            self._last = max(self._last, number)
            self._periods[number] = _Timed(self._budget)
            self._heat[number] = {}
        self._periods[number].add(duration_ns, is_failed)
        level = (duration_ns // 1000).bit_length()
        self._heat[number][level] = self._heat[number].get(level, 0) + 1
        while self._last - self._first >= MAX_PERIODS:
            self._widen()

    def _widen(self) -> None:
        """Join each two neighbours."""
        self._width_ns *= 2
        self._first, self._last = self._first // 2, self._last // 2
        periods, heat = self._periods, self._heat
        self._periods, self._heat = {}, {}
        for number, timed in periods.items():
            self._periods.setdefault(number // 2, _Timed(self._budget)).extend(timed)
            merged = self._heat.setdefault(number // 2, {})
            for level, count in heat[number].items():
                merged[level] = merged.get(level, 0) + count

    def periods(self) -> tuple[Period, ...]:
        """Return all periods from the first to the last, empty ones too."""
        if not self._periods:
            return ()
        return tuple(
            Period(
                number * self._width_ns,
                self._width_ns,
                self._periods.get(number, _Timed(self._budget)).latency(),
                tuple(sorted(self._heat.get(number, {}).items())),
            )
            for number in range(self._first, self._last + 1)
        )


class _Tally:
    """Everything that is counted about spans."""

    def __init__(self) -> None:
        self._budget = Budget()
        self._operations: dict[tuple[str, str, str], _Timed] = {}
        self._requests = _Timed(self._budget)
        self._timeline = _Timeline(self._budget)
        self._slowest: list[tuple[int, int, Example]] = []
        self._failing: list[tuple[int, int, Example]] = []
        self._services: dict[str, None] = {}
        self._spans = 0
        self._start_ns = self._end_ns = 0

    def add(self, span: SpanRecord) -> None:
        """Count one span."""
        self._spans += 1
        attributes, duration_ns, is_failed = span.attributes, span.duration_ns, span.status == "error"
        start_ns = span.start_ns
        self._start_ns = min(self._start_ns or start_ns, start_ns)
        self._end_ns = max(self._end_ns, span.end_ns)
        key = (span.service, operation_name(span, attributes), span.kind)
        self._services[key[0]] = None
        if key not in self._operations and len(self._operations) >= MAX_OPERATIONS:
            key = (key[0], _OTHER, span.kind)
        self._operations.setdefault(key, _Timed(self._budget)).add(duration_ns, is_failed)
        if span.kind in _ENTRY_KINDS or not span.parent_span_id:
            self._add_request(span, key[1], duration_ns, is_failed)

    def _add_request(self, span: SpanRecord, name: str, duration_ns: int, is_failed: bool) -> None:
        """Count a request, and remember it if it is among the slowest or the last to fail."""
        start_ns = span.start_ns
        self._requests.add(duration_ns, is_failed)
        if start_ns:
            self._timeline.add(start_ns, duration_ns, is_failed)
        for heap, rank in ((self._slowest, duration_ns), *([(self._failing, start_ns)] if is_failed else [])):
            if len(heap) < MAX_EXAMPLES or rank > heap[0][0]:
                ids = (span.trace_id, span.correlation_id)
                example = Example(duration_ns, start_ns, span.service, name, *ids, is_failed=is_failed)
                heapq.heappush(heap, (rank, self._spans, example))
                if len(heap) > MAX_EXAMPLES:
                    heapq.heappop(heap)

    def analysis(self, overhead: Overhead) -> Analysis:
        """Return what was counted."""
        operations = [Operation(*key, timed.latency()) for key, timed in self._operations.items()]
        return Analysis(
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            spans=self._spans,
            services=tuple(sorted(self._services)),
            requests=self._requests.latency(),
            operations=tuple(
                sorted(operations, key=lambda one: (-one.latency.total_ns, one.service, one.name, one.kind))
            ),
            periods=self._timeline.periods(),
            slowest=tuple(example for *_, example in sorted(self._slowest, key=lambda item: item[:2], reverse=True)),
            failing=tuple(example for *_, example in sorted(self._failing, key=lambda item: item[:2], reverse=True)),
            overhead=overhead,
        )


class _Series(NamedTuple):
    """What tells one cumulative count from another: metric, process and point's attributes."""

    name: str
    resource: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...]
    start_ns: int


class _Meters:
    """Clew's own counts: of each cumulative series the last value, of delta ones the sum."""

    _NAMES: Final = frozenset({schema.METRIC_OVERHEAD_CPU, schema.METRIC_DELIVERED})

    def __init__(self) -> None:
        self._values: dict[_Series, float] = {}
        self._services: dict[_Series, str] = {}

    def add(self, point: MetricRow) -> None:
        """Take one point if it is one of Clew's own."""
        if point.name not in self._NAMES:
            return
        series = _Series(point.name, _pairs(point.origin.resource_attributes), _pairs(point.attributes), point.start_ns)
        before = self._values.get(series, 0.0)
        self._values[series] = before + point.value if point.is_delta else max(before, point.value)
        self._services[series] = point.service

    def overhead(self) -> Overhead:
        """Return what was counted, over all processes of a service."""
        cpu: dict[tuple[str, str], float] = {}
        records: dict[tuple[str, str, str, str], float] = {}
        for series, value in self._values.items():
            service, attributes = self._services[series], dict(series.attributes)
            if series.name == schema.METRIC_OVERHEAD_CPU:
                part = (service, attributes.get(schema.COMPONENT, ""))
                cpu[part] = cpu.get(part, 0.0) + value
            else:
                names = (schema.SIGNAL, schema.OUTCOME, schema.REASON)
                signal, outcome, reason = (attributes.get(name, "") for name in names)
                counted = (service, signal, outcome, reason)
                records[counted] = records.get(counted, 0) + value
        return Overhead(
            tuple((*key, value) for key, value in sorted(cpu.items())),
            tuple((*key, int(value)) for key, value in sorted(records.items())),
        )


def _pairs(attributes: Attributes) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, str(value)) for key, value in attributes.items()))
