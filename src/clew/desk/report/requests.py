"""The requests that the report shows whole: their records found among all, each request bounded."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clew.desk.query import Trace
from clew.desk.root_cause import find_root_cause
from clew.desk.timeline import make_timeline
from clew.files.reader.records import LogRow, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.desk.root_cause import RootCause
    from clew.desk.timeline import Timeline

MAX_SPANS: Final = 150
MAX_LOGS: Final = 100
"""Records of one request on the page; of more, those that failed and the longest spans, the errors and first logs."""


@dataclass(frozen=True)
class Story:
    """One request as it is shown."""

    number: int
    """Counts from 1; the page's links are made of it."""
    trace: Trace
    timeline: Timeline
    cause: RootCause | None

    @property
    def identifiers(self) -> frozenset[str]:
        """Every ID by which the request may be linked to."""
        return frozenset({*self.trace.trace_ids, *self.trace.correlation_ids})


class _Records:
    """The records of one request; when there are too many, the least important ones go."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._spans: list[tuple[tuple[bool, int], int, SpanRecord]] = []
        self._logs: list[tuple[tuple[bool, int], int, LogRow]] = []
        self._seen: set[int] = set()
        self.omitted = 0

    def add(self, row: SpanRecord | LogRow) -> None:
        """Keep a record that is new, and as important as those that are kept."""
        key = hash((row.trace_id, row.span_id) if isinstance(row, SpanRecord) else row.uid or id(row.raw))
        if key in self._seen:
            return
        self._seen.add(key)
        if isinstance(row, SpanRecord):
            heapq.heappush(self._spans, ((row.status == "error", row.duration_ns), len(self._seen), row))
        else:
            heapq.heappush(self._logs, ((row.is_error, -row.time_ns), len(self._seen), row))
        if len(self._spans) > MAX_SPANS:
            heapq.heappop(self._spans)
        elif len(self._logs) > MAX_LOGS:
            heapq.heappop(self._logs)
        else:
            return
        self.omitted += 1

    def trace(self) -> Trace:
        """Return what was kept, in order of time."""
        spans = sorted((span for *_, span in self._spans), key=lambda span: span.start_ns)
        logs = sorted((row for *_, row in self._logs), key=lambda row: row.time_ns)
        rows: list[SpanRecord | LogRow] = [*spans, *logs]
        return Trace(
            self._identifier,
            tuple(dict.fromkeys(row.trace_id for row in rows if row.trace_id)),
            tuple(dict.fromkeys(row.correlation_id for row in rows if row.correlation_id)),
            tuple(spans),
            tuple(logs),
            self.omitted,
        )


class Requests:
    """Requests that are wanted, each under its trace ID, else its correlation ID."""

    def __init__(self) -> None:
        self._records: dict[str, _Records] = {}
        self._key_of: dict[str, str] = {}
        self._has_untraced = False

    @property
    def is_empty(self) -> bool:
        """Whether none is wanted."""
        return not self._records

    @property
    def identifiers(self) -> frozenset[str]:
        """Every ID that is looked for."""
        return frozenset(self._key_of)

    def want(self, trace_id: str, correlation_id: str) -> None:
        """Ask for a request; one that carries neither ID cannot be found."""
        key = trace_id or correlation_id
        if not key:
            return
        self._records.setdefault(key, _Records(correlation_id or trace_id))
        self._key_of[key] = key
        self._has_untraced |= not trace_id
        if correlation_id:
            self._key_of.setdefault(correlation_id, key)

    def want_any(self, identifiers: Iterable[str]) -> None:
        """Ask for one request that has one of these IDs, unless one of them is wanted already."""
        identifiers = tuple(identifiers)
        if identifiers and not any(one in self._key_of for one in identifiers):
            self.want("", identifiers[0])

    def add(self, row: SpanRecord | LogRow) -> None:
        """Give a record to its request, if that is wanted.

        A record of another trace joins by its correlation ID only where the request is wanted by that ID.
        """
        trace_id = row.trace_id
        key = self._key_of.get(trace_id) if trace_id else None
        if key is None and (not trace_id or self._has_untraced):
            by_correlation = self._key_of.get(row.correlation_id)
            key = by_correlation if not trace_id or by_correlation == row.correlation_id else None
        if key is not None:
            self._records[key].add(row)

    def stories(self) -> tuple[Story, ...]:
        """Return the requests of which something was found, in the order in which they were asked for."""
        traces = [records.trace() for records in self._records.values()]
        found = [trace for trace in traces if trace.spans or trace.logs]
        return tuple(
            Story(number, trace, make_timeline(trace), find_root_cause(trace.spans, trace.logs))
            for number, trace in enumerate(found, 1)
        )
