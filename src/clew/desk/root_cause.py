"""The root cause of a failure: of all that failed in one request, what failed first and deepest.

An error happens once and is told many times: in the log of the service that raised it, in those of its callers, on
each span in between. What joins them is the trace: a failing span whose child failed tells of its child's error, in
this process or another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from clew import schema
from clew.files.reader.records import SpanRecord
from clew.logs import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clew.entry import Attributes
    from clew.files.reader.records import LogRow


@dataclass(frozen=True)
class RootCause:
    """Where a failure began. Strings are empty where nothing tells."""

    service: str
    operation: str
    """The failing span's name, or the logger's where only logs tell of the failure."""
    type: str
    message: str
    fingerprint: str
    stacktrace: str
    trace_id: str
    span_id: str
    correlation_id: str
    time_ns: int


class Failure(NamedTuple):
    """One telling of a failure: a span that failed, or a log record that is an error."""

    time_ns: int
    """When it failed: a span's end, a record's time."""
    service: str
    operation: str
    type: str
    message: str
    fingerprint: str
    stacktrace: str
    trace_id: str
    span_id: str
    parent_span_id: str
    correlation_id: str
    is_span: bool


def failure_of(row: SpanRecord | LogRow) -> Failure | None:
    """Return what a record tells of a failure, or None if it tells of none.

    A span failed if its status says so. A log record tells of a failure if it is an error or carries an exception.
    """
    return _failed_span(row) if isinstance(row, SpanRecord) else _failed_log(row)


def find_root_cause(spans: Iterable[SpanRecord], logs: Iterable[LogRow]) -> RootCause | None:
    """Return the root cause of what failed in one request, or None if nothing did."""
    rows: list[SpanRecord | LogRow] = [*spans, *logs]
    failures = [failure for row in rows if (failure := failure_of(row)) is not None]
    return root_cause(failures) if failures else None


def root_cause(failures: Sequence[Failure]) -> RootCause:
    """Choose the root cause among the failures of one request.

    It is the failing span that has no failing child, the earliest to end of several; its exception comes from its own
    events, else from an error logged inside it, else from the earliest error that its service logged in the request.
    Without a failing span it is the earliest error record, one with an exception before one without.
    """
    spans = [failure for failure in failures if failure.is_span]
    logs = [failure for failure in failures if not failure.is_span]
    if not spans:
        return _cause(min(logs, key=lambda failure: (not failure.type, failure.time_ns)))
    parents = {span.parent_span_id for span in spans}
    deepest = [span for span in spans if span.span_id not in parents] or spans
    first = min(deepest, key=lambda span: span.time_ns)
    teller = first if first.stacktrace or first.fingerprint else _teller(first, logs)
    return _cause(first, teller)


def _teller(span: Failure, logs: Sequence[Failure]) -> Failure:
    """Return the record that says best what was raised in a span that does not say itself."""
    near = [log for log in logs if log.type and (log.span_id == span.span_id or log.service == span.service)]
    return min(near, key=lambda log: (log.span_id != span.span_id, log.time_ns), default=span)


def _cause(place: Failure, teller: Failure | None = None) -> RootCause:
    """Put together where it failed and what was raised."""
    teller = teller or place
    return RootCause(
        service=place.service,
        operation=place.operation,
        type=teller.type or place.type,
        message=teller.message or place.message,
        fingerprint=teller.fingerprint,
        stacktrace=teller.stacktrace,
        trace_id=place.trace_id,
        span_id=place.span_id,
        correlation_id=place.correlation_id,
        time_ns=place.time_ns,
    )


def _failed_span(span: SpanRecord) -> Failure | None:
    if span.status != "error":
        return None
    events = [event for event in span.events if event.name == "exception"]
    attributes = events[-1].attributes if events else {}
    raised = _Raised.of(attributes)
    return Failure(
        span.end_ns,
        span.service,
        span.name,
        raised.type or str(span.attribute(schema.ERROR_TYPE) or ""),
        raised.message or span.status_message,
        raised.fingerprint,
        raised.stacktrace,
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.correlation_id,
        is_span=True,
    )


def _failed_log(row: LogRow) -> Failure | None:
    kind = row.attribute(schema.EXCEPTION_TYPE)
    if not row.is_error and not kind:
        return None
    raised = _Raised.of(row.attributes)
    return Failure(
        row.time_ns,
        row.service,
        row.logger,
        raised.type,
        raised.message or row.message,
        raised.fingerprint,
        raised.stacktrace,
        row.trace_id,
        row.span_id,
        "",
        row.correlation_id,
        is_span=False,
    )


class _Raised(NamedTuple):
    """An exception as attributes tell it."""

    type: str
    message: str
    stacktrace: str
    fingerprint: str

    @classmethod
    def of(cls, attributes: Attributes) -> _Raised:
        """Read the attributes; a fingerprint that is not among them is made from the traceback's text."""
        kind, message, stacktrace, mark = (
            str(attributes.get(name) or "")
            for name in (
                schema.EXCEPTION_TYPE,
                schema.EXCEPTION_MESSAGE,
                schema.EXCEPTION_STACKTRACE,
                schema.ERROR_FINGERPRINT,
            )
        )
        if not mark and stacktrace:
            mark = fingerprint.fingerprint_traceback_text(stacktrace) or ""
        return cls(kind, message, stacktrace, mark)
