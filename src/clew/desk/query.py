"""Questions to telemetry files: which records match, which traces belong to an ID, what happened in them."""

from __future__ import annotations

import difflib
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from clew.errors import NoDataError
from clew.files.reader import reading
from clew.files.reader.records import LogRow, RawLine, ReadStats, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from clew.files.reader.formats import TextFormat
    from clew.files.reader.sources import Source

R = TypeVar("R", bound="SpanRecord | LogRow")

MAX_RECORDS: Final = 20_000
"""Spans and logs of one request that are kept: some 100 MB parsed. A request with more is told so."""

MAX_NEEDLES: Final = 16
"""IDs that a file is searched for as bytes; for more of them, parsing it whole is faster."""

MAX_NAMED: Final = 10
"""Services that are named when one is asked for that there is not."""

_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_TRACE_ID_LENGTH: Final = 32
_SIGNALS: Final = frozenset({"traces", "logs"})


@dataclass(frozen=True)
class LogFilter:
    """Which log records are asked for; what is empty or None is not asked about."""

    identifier: str = ""
    """A correlation ID, trace ID or span ID."""
    services: frozenset[str] = frozenset()
    least_severity: int = 0
    since_ns: int | None = None
    until_ns: int | None = None
    text: str = ""
    """Stands in the message or the exception, in any case of letters."""
    attributes: tuple[tuple[str, str], ...] = ()

    def matches(self, row: LogRow) -> bool:
        """Tell whether a record is asked for."""
        return (
            (not self.services or row.service in self.services)
            and row.severity_number >= self.least_severity
            and self.is_in_time(row.time_ns)
            and (not self.identifier or has_id(row, self.identifier))
            and (not self.text or self._has_text(row))
            and all(_has_attribute(row, key, value) for key, value in self.attributes)
        )

    def is_in_time(self, time_ns: int) -> bool:
        """Tell whether a time is in the period."""
        return (self.since_ns is None or time_ns >= self.since_ns) and (
            self.until_ns is None or time_ns < self.until_ns
        )

    def _has_text(self, row: LogRow) -> bool:
        wanted = self.text.lower()
        return wanted in row.message.lower() or wanted in str(row.attribute("exception.stacktrace") or "").lower()


@dataclass(frozen=True)
class Trace:
    """What is known of one request: all spans and logs of the traces that an ID owns, each once, in time order."""

    identifier: str
    trace_ids: tuple[str, ...]
    correlation_ids: tuple[str, ...]
    spans: tuple[SpanRecord, ...]
    logs: tuple[LogRow, ...]
    omitted: int = 0
    """Records past `MAX_RECORDS`."""


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number} {noun}{'s' * (number != 1)}"


def has_id(row: SpanRecord | LogRow, identifier: str) -> bool:
    """Tell whether a record carries a correlation, trace or span ID, be it in the words of a plain log line."""
    lower = identifier.lower()
    if lower in {row.trace_id, row.span_id} or row.correlation_id == identifier:
        return True
    return isinstance(row, LogRow) and row.origin.form != "otlp" and _is_word_in(identifier, row.message)


def needles_of(identifiers: Iterable[str]) -> tuple[bytes, ...]:
    """Return the bytes by which lines that may hold one of the IDs are found; none if there are too many to search for.

    Hex IDs may stand in a file in either case.
    """
    forms = {
        form.encode() for one in identifiers for form in ({one, one.lower(), one.upper()} if _is_hex(one) else {one})
    }
    return tuple(sorted(forms)) if len(forms) <= MAX_NEEDLES else ()


def find_trace(
    sources: Sequence[Source],
    identifier: str,
    stats: ReadStats,
    *,
    key: bytes | None = None,
    form: TextFormat | None = None,
    progress: Callable[[int], None] | None = None,
) -> Trace:
    """Collect all spans and logs of the traces that a correlation ID, trace ID or span ID belongs to.

    Log records outside any span, that carry the correlation ID of these traces, are part of it. It takes one pass over
    the files where the ID's own trace is all there is, a second one where other IDs belong to it.

    Args:
        sources: Files to look in.
        identifier: What to look for.
        stats: Counts what was read.
        key: `CLEW_CORRELATION_KEY`, with which trace IDs were derived.
        form: The form of text logs.
        progress: Told the bytes of each file that was read.

    Raises:
        NoDataError: If no record carries the ID.
    """
    expected = {derived_trace_id(identifier, key)}
    collected = _Collected(identifier)

    def look(trace_ids: set[str], correlation_ids: set[str]) -> None:
        needles = needles_of({identifier, *trace_ids, *correlation_ids})
        for row in reading.read(sources, stats, signals=_SIGNALS, needles=needles, form=form, progress=progress):
            if isinstance(row, (SpanRecord, LogRow)) and (
                row.trace_id in trace_ids
                or has_id(row, identifier)
                or (not row.trace_id and row.correlation_id in correlation_ids)
            ):
                collected.add(row)

    look(expected, set())
    others = collected.correlation_ids - expected - {identifier}
    if collected.trace_ids - expected or others:
        look(expected | collected.trace_ids, others)
    if collected.is_empty:
        raise NoDataError(f"no span or log carries {identifier!r} in {counted(len(sources), 'file')}")
    return collected.trace()


def missing_service(
    sources: Iterable[Source], wanted: Collection[str], signals: Collection[str], form: TextFormat | None = None
) -> str:
    """Say which service that was asked for is in no file, and which there are; empty if all of them are there."""
    named, last = set(), None
    for row in reading.read(sources, ReadStats(), signals=signals, form=form):
        if not isinstance(row, RawLine) and row.origin is not last:
            last = row.origin
            named.add(last.service)
    present = sorted(named)
    missing = next((service for service in sorted(wanted) if service not in present), None)
    if missing is None:
        return ""
    near = difflib.get_close_matches(missing, present, n=1)
    others = ", ".join([*near, *(service for service in present if service not in near)][:MAX_NAMED])
    return f"no service {missing!r}; there are {others or 'none'}"


def derived_trace_id(identifier: str, key: bytes | None) -> str:
    """Return the trace ID that a request with this correlation ID gets; a trace ID is its own."""
    from clew.correlation import ids  # noqa: PLC0415 - hashing is needed by questions about an ID only

    if len(identifier) == _TRACE_ID_LENGTH and _is_hex(identifier):
        return identifier.lower()
    return ids.trace_id_hex(ids.derive_trace_id(identifier, key))


def unique(rows: Iterable[R], remember: int) -> Iterator[R]:
    """Leave out repeats: spans with the same IDs, log records with the same `log.record.uid`.

    Only the last `remember` records are compared, so memory is bounded; repeats have the same time, so in time order
    they are near.
    """
    seen: OrderedDict[object, None] = OrderedDict()  # a plain dict takes ever longer to find its first key
    for row in rows:
        key = (row.trace_id, row.span_id) if isinstance(row, SpanRecord) else row.uid
        if key in seen:
            continue
        if key:
            seen[key] = None
            if len(seen) > remember:
                seen.popitem(last=False)
        yield row


class _Collected:
    """Records of one request while they are being found, each once."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._spans: dict[tuple[str, str], SpanRecord] = {}
        self._logs: dict[object, LogRow] = {}
        self._omitted: set[object] = set()
        self.trace_ids: set[str] = set()
        self.correlation_ids: set[str] = set()

    @property
    def is_empty(self) -> bool:
        return not self._spans and not self._logs

    def add(self, row: SpanRecord | LogRow) -> None:
        """Keep a record that is new."""
        if row.trace_id:
            self.trace_ids.add(row.trace_id)
        if row.correlation_id:
            self.correlation_ids.add(row.correlation_id)
        key: object = (row.trace_id, row.span_id) if isinstance(row, SpanRecord) else _log_key(row)
        if len(self._spans) + len(self._logs) >= MAX_RECORDS:
            if key not in self._spans and key not in self._logs:
                self._omitted.add(hash(key))
        elif isinstance(row, SpanRecord):
            self._spans.setdefault((row.trace_id, row.span_id), row)
        else:
            self._logs.setdefault(key, row)

    def trace(self) -> Trace:
        spans = sorted(self._spans.values(), key=lambda span: span.start_ns)
        logs = sorted(self._logs.values(), key=lambda row: row.time_ns)
        rows: list[SpanRecord | LogRow] = [*spans, *logs]
        correlation_ids = dict.fromkeys(row.correlation_id for row in rows if row.correlation_id)
        trace_ids = dict.fromkeys(row.trace_id for row in rows if row.trace_id)
        return Trace(
            self._identifier, tuple(trace_ids), tuple(correlation_ids), tuple(spans), tuple(logs), len(self._omitted)
        )


def _log_key(row: LogRow) -> object:
    """Return what two copies of a record share: its own ID, else the object itself, read in one pass or another."""
    return row.uid or (row.origin.path, row.time_ns, row.span_id, row.logger, row.message)


def _has_attribute(row: LogRow, key: str, value: str) -> bool:
    """Tell whether an attribute, or else one of the resource, has the value as text."""
    found = row.attribute(key)
    if found is None:
        found = row.origin.resource_attributes.get(key)
    return found is not None and (str(found) == value or str(found).lower() == value.lower())


def _is_hex(text: str) -> bool:
    return _HEX.fullmatch(text) is not None


def _is_word_in(word: str, text: str) -> bool:
    """Tell whether a text holds the word, not as a part of a longer one."""
    return word in text and re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None
