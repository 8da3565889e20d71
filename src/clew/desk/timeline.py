"""The timeline of one request: spans as a tree, logs and exceptions at their place in time, clocks set right.

Nothing here recurses, so a trace of any depth is fine; parents that are missing and circles of parents are shown, not
hidden.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clew import schema
from clew.files.reader.records import LogRow, SpanEvent, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.desk.query import Trace

MAX_INDENT: Final = 12
"""Levels that are drawn; deeper spans stand under the last of them."""

_SPACE, _LINE, _FORK, _END = "  ", "│ ", "├ ", "└ "


@dataclass(frozen=True)
class TimelineRow:
    """One line of the timeline. Times are on the clock of the trace's root span."""

    item: SpanRecord | LogRow | SpanEvent | None
    """None stands for a span that others name as their parent but that no file holds."""
    indent: str
    start_ns: int
    end_ns: int
    span_id: str
    shift_ns: int = 0
    """What was added to the times of the item, because its process's clock disagrees with its caller's."""


@dataclass(frozen=True)
class Timeline:
    """All lines of a request in reading order, and the time they cover."""

    rows: tuple[TimelineRow, ...]
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """From the first moment to the last; at least 1, so that it can divide."""
        return max(1, self.end_ns - self.start_ns)


def make_timeline(trace: Trace, *, with_logs: bool = True) -> Timeline:
    """Lay out a trace: each span under its parent, each log record under its span, all by time."""
    rows = _Layout(trace, with_logs=with_logs).rows()
    times = [time for row in rows for time in (row.start_ns, row.end_ns) if time]
    return Timeline(tuple(rows), min(times, default=0), max(times, default=0))


class _Layout:
    """The tree under construction."""

    def __init__(self, trace: Trace, *, with_logs: bool) -> None:
        self._spans = {span.span_id: span for span in trace.spans}
        self._children: dict[str, list[SpanRecord]] = defaultdict(list)
        self._logs: dict[str, list[LogRow]] = defaultdict(list)
        for span in trace.spans:
            parent = span.parent_span_id
            self._children[parent if parent != span.span_id else ""].append(span)
        for row in trace.logs if with_logs else ():
            self._logs[row.span_id].append(row)
        self._with_logs = with_logs
        self._seen: set[str] = set()
        self._rows: list[TimelineRow] = []

    def rows(self) -> list[TimelineRow]:
        """Lay out everything: trees from their roots, then what hangs on parents that are missing, then circles."""
        self._descend(self._top_level())
        self._descend([span for span in self._spans.values() if span.span_id not in self._seen])
        return self._rows

    def _top_level(self) -> list[SpanRecord | LogRow | str]:
        """Return root spans, logs outside any span, and the IDs of missing parents, in time order."""
        named = {*self._children, *self._logs} - {""} - self._spans.keys()
        top: list[SpanRecord | LogRow | str] = [*self._children[""], *self._logs[""], *named]
        return sorted(top, key=lambda item: self._missing_start(item) if isinstance(item, str) else item.time_ns)

    def _missing_start(self, span_id: str) -> int:
        items: list[SpanRecord | LogRow] = [*self._children[span_id], *self._logs[span_id]]
        return min(item.time_ns for item in items)

    def _descend(self, top: Iterable[SpanRecord | LogRow | str]) -> None:
        """Add rows depth first; the stack holds what is to come: item, its indent, its children's, its shift."""
        stack: list[tuple[SpanRecord | LogRow | SpanEvent | str, str, str, int]]
        stack = [(item, "", "", 0) for item in reversed(list(top))]
        while stack:
            item, indent, below, shift = stack.pop()
            if isinstance(item, SpanRecord):
                if item.span_id in self._seen:
                    continue
                self._seen.add(item.span_id)
            self._rows.append(self._row(item, indent, shift))
            if not isinstance(item, (SpanRecord, str)):
                continue
            parent = item if isinstance(item, SpanRecord) else None
            children = self._inside(item)
            for number in range(len(children) - 1, -1, -1):
                child, is_last = children[number], number == len(children) - 1
                child_shift = _shift(parent, child, shift) if isinstance(child, SpanRecord) else shift
                room = len(below) < 2 * MAX_INDENT
                line = below + (_END if is_last else _FORK) if room else below
                stack.append((child, line, below + (_SPACE if is_last else _LINE) if room else below, child_shift))

    def _inside(self, item: SpanRecord | str) -> list[SpanRecord | LogRow | SpanEvent]:
        """Return what stands under a span, or under a missing one, in time order."""
        span_id = item if isinstance(item, str) else item.span_id
        inside: list[SpanRecord | LogRow | SpanEvent] = [*self._children[span_id], *self._logs[span_id]]
        if isinstance(item, SpanRecord) and self._with_logs:
            inside += _untold_events(item, self._logs[span_id])
        return sorted(inside, key=lambda child: child.time_ns)

    def _row(self, item: SpanRecord | LogRow | SpanEvent | str, indent: str, shift: int) -> TimelineRow:
        if isinstance(item, str):
            start = self._missing_start(item)
            return TimelineRow(None, indent, start, start, item)
        end = item.end_ns if isinstance(item, SpanRecord) else item.time_ns
        span_id = "" if isinstance(item, SpanEvent) else item.span_id
        return TimelineRow(item, indent, item.time_ns + shift, max(item.time_ns, end) + shift, span_id, shift)


def _untold_events(span: SpanRecord, logs: Iterable[LogRow]) -> list[SpanEvent]:
    """Return a span's events, without exceptions that a log record of the span tells as well."""
    told = {(row.attribute(schema.EXCEPTION_TYPE), row.attribute(schema.EXCEPTION_MESSAGE)) for row in logs}
    return [
        event
        for event in span.events
        if (event.attributes.get(schema.EXCEPTION_TYPE), event.attributes.get(schema.EXCEPTION_MESSAGE)) not in told
        or schema.EXCEPTION_TYPE not in event.attributes
    ]


def _shift(parent: SpanRecord | None, child: SpanRecord, parent_shift: int) -> int:
    """Return what to add to a child's times.

    A child in the parent's process has the parent's clock. One in another process cannot begin before its caller
    began, and the server's side of a call cannot begin after its client's side ended; if it seems to, it is put into
    the middle of the call, as Jaeger does.
    """
    if parent is None or _clock(parent) == _clock(child):
        return parent_shift
    start, end = parent.start_ns + parent_shift, parent.end_ns + parent_shift
    is_call = parent.kind == "client" and child.kind == "server"
    if child.start_ns >= start and not (is_call and child.start_ns > end):
        return 0
    spare = max(0, parent.duration_ns - child.duration_ns)
    return start + spare // 2 - child.start_ns


def _clock(span: SpanRecord) -> tuple[object, ...]:
    """Return what names the clock that a span was timed by: host, or service where the host is not told."""
    attributes = span.origin.resource_attributes
    return (attributes.get("host.name"), None) if "host.name" in attributes else (None, span.service)
