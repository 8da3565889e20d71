"""Error groups: a failure is one, however many records tell of it; failures with one cause are one group."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from clew.desk import root_cause
from clew.logs import traceback_text
from clew.logs.failure import fingerprint, render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.desk.root_cause import Failure, RootCause
    from clew.files.reader.records import LogRow, SpanRecord

MAX_OPEN: Final = 10_000
"""Requests whose failures are held together at a time; in time order, older ones are over."""

MAX_GROUPS: Final = 10_000
"""Groups that are kept; failures of further ones are counted together."""

MAX_TELLINGS: Final = 64
"""Failures of one request that are kept; its root cause is among the first."""

MAX_MESSAGE_CHARS: Final = 4096
"""How much of a failure's message is kept."""

MAX_EXAMPLES: Final = 5

_ID_CHARS: Final = 12
_VALUE: Final = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}(?:-[0-9a-f]+)*|\d+(?:\.\d+)*|'[^']*'|\"[^\"]*\"", re.IGNORECASE)
_SHAPE_CHARS: Final = 200


@dataclass(frozen=True)
class ErrorGroup:
    """Failures that have one cause. Times are Unix nanoseconds."""

    id: str
    """The fingerprint, or where there is no exception a hash of where it failed and how; both are stable."""
    fingerprint: str
    type: str
    message: str
    """Of the first failure, at most `MAX_MESSAGE_CHARS` of it."""
    service: str
    """Where it begins."""
    operation: str
    services: tuple[str, ...]
    """Where it is told: the service where it begins first."""
    failures: int
    """Requests, or happenings outside of any, in which it failed."""
    records: int
    """Spans and log records that tell of it."""
    first_ns: int
    last_ns: int
    examples: tuple[str, ...]
    """Correlation IDs, else trace IDs, of the last failures."""
    stacktrace: str
    canonical: str
    """The text that the fingerprint is taken over: types and call path without lines and values."""


def group_errors(rows: Iterable[SpanRecord | LogRow]) -> tuple[ErrorGroup, ...]:
    """Group all failures among records in order of time, the most frequent first.

    What fails in one trace is one failure with one root cause; so is a record outside any trace that carries the
    correlation ID of one. A record without either joins the failures in which its fingerprint was told, else it
    stands for itself.
    """
    grouping = _Grouping()
    for row in rows:
        failure = root_cause.failure_of(row)
        if failure is not None:
            grouping.add(failure)
    return grouping.finish()


@dataclass
class _Tally:
    """A group while it is being counted."""

    cause: RootCause
    failures: int = 0
    records: int = 0
    first_ns: int = 0
    last_ns: int = 0
    services: dict[str, None] = field(default_factory=dict)
    examples: dict[str, None] = field(default_factory=dict)

    def add(self, cause: RootCause, tellings: list[Failure]) -> None:
        times = [telling.time_ns for telling in tellings if telling.time_ns] or [cause.time_ns]
        self.first_ns = min(self.first_ns or times[0], *times)
        self.last_ns = max(self.last_ns, *times)
        self.records += len(tellings)
        self.services.update(dict.fromkeys([cause.service, *(telling.service for telling in tellings)]))
        example = next((one.correlation_id for one in tellings if one.correlation_id), cause.trace_id)
        if example:
            self.examples.pop(example, None)
            self.examples[example] = None
            if len(self.examples) > MAX_EXAMPLES:
                del self.examples[next(iter(self.examples))]

    def group(self, identity: str) -> ErrorGroup:
        cause = self.cause
        return ErrorGroup(
            id=identity,
            fingerprint=cause.fingerprint,
            type=cause.type,
            message=cause.message,
            service=cause.service,
            operation=cause.operation,
            services=tuple(self.services),
            failures=self.failures,
            records=self.records,
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            examples=tuple(reversed(self.examples)),
            stacktrace=cause.stacktrace,
            canonical=canonical_text(cause.stacktrace, cause.fingerprint),
        )


class _Grouping:
    """Failures on their way into groups: by request while the request may go on, then by cause."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, list[Failure]] = OrderedDict()  # a dict takes ever longer to find its first
        self._trace_of: dict[str, str] = {}
        self._tallies: dict[str, _Tally] = {}
        self._told_in: dict[str, str] = {}
        self._stacktraces: dict[str, str] = {}
        self._alone: dict[str, list[Failure]] = {}
        self._counts_alone: dict[str, int] = {}

    def add(self, failure: Failure) -> None:
        """Put a failure to its request."""
        failure = self._compacted(failure)
        if failure.trace_id and failure.correlation_id:
            self._trace_of.setdefault(failure.correlation_id, failure.trace_id)
        request = failure.trace_id or self._trace_of.get(failure.correlation_id) or failure.correlation_id
        if not request:
            self._add_alone(failure)
            return
        tellings = self._requests.pop(request, [])
        if len(tellings) < MAX_TELLINGS:
            tellings.append(failure)
        self._requests[request] = tellings
        if len(self._requests) > MAX_OPEN:
            self._close(next(iter(self._requests)))

    def finish(self) -> tuple[ErrorGroup, ...]:
        """Close everything and return the groups."""
        while self._requests:
            self._close(next(iter(self._requests)))
        for identity, tellings in self._alone.items():
            known = self._told_in.get(tellings[0].fingerprint) if tellings[0].fingerprint else None
            cause = root_cause.root_cause(tellings)
            tally = self._tally(known or identity, cause)
            tally.add(cause, tellings)
            more = self._counts_alone[identity]
            tally.records += more - len(tellings)
            tally.failures += 0 if known else more
        groups = (tally.group(identity) for identity, tally in self._tallies.items())
        return tuple(sorted(groups, key=lambda group: (-group.failures, -group.records, group.id)))

    def _compacted(self, failure: Failure) -> Failure:
        """Let failures of one kind share one stack trace, the first: thousands of requests are held at a time."""
        kind = failure.fingerprint or f"{failure.service}\0{failure.operation}\0{failure.type}"
        stacktrace = failure.stacktrace
        if stacktrace and (kind in self._stacktraces or len(self._stacktraces) < MAX_GROUPS):
            stacktrace = self._stacktraces.setdefault(kind, stacktrace)
        return failure._replace(stacktrace=stacktrace, message=failure.message[:MAX_MESSAGE_CHARS])

    def _add_alone(self, failure: Failure) -> None:
        """Keep first and last of the records that belong to no request, and how many there were."""
        identity = _identity(root_cause.root_cause([failure]))
        if identity not in self._alone and len(self._alone) >= MAX_GROUPS:
            identity = _OTHER
        tellings = self._alone.setdefault(identity, [])
        del tellings[1:]
        tellings.append(failure)
        self._counts_alone[identity] = self._counts_alone.get(identity, 0) + 1

    def _close(self, request: str) -> None:
        """Find the root cause of a request that is over, and count it to its group."""
        tellings = self._requests.pop(request)
        for telling in tellings:
            self._trace_of.pop(telling.correlation_id, None)
        cause = root_cause.root_cause(tellings)
        identity = _identity(cause)
        tally = self._tally(identity, cause)
        tally.add(cause, tellings)
        tally.failures += 1
        if len(self._told_in) < MAX_GROUPS:
            self._told_in.update({telling.fingerprint: identity for telling in tellings if telling.fingerprint})

    def _tally(self, identity: str, cause: RootCause) -> _Tally:
        if identity not in self._tallies and len(self._tallies) >= MAX_GROUPS:
            identity = _OTHER
        return self._tallies.setdefault(identity, _Tally(cause))


_OTHER: Final = "other"
"""Where failures are counted once there are `MAX_GROUPS`."""


def canonical_text(stacktrace: str, wanted: str = "") -> str:
    """Return what a traceback's fingerprint is taken over: of its readings the one with the wanted fingerprint."""
    readings = traceback_text.readings(stacktrace) if stacktrace else []
    chosen = next(
        (reading for reading in readings if fingerprint(reading) == wanted), readings[0] if readings else None
    )
    return render(chosen).strip() if chosen is not None else ""


def _identity(cause: RootCause) -> str:
    """Name a cause's group: its fingerprint, else a hash of place, type and message without values."""
    if cause.fingerprint:
        return cause.fingerprint[:_ID_CHARS]
    shape = _VALUE.sub("…", cause.message.partition("\n")[0])[:_SHAPE_CHARS]
    words = f"{cause.service}\0{cause.operation}\0{cause.type}\0{shape}"
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:_ID_CHARS]
