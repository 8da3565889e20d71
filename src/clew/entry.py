"""The plain forms in which telemetry goes from the hooks to delivery.

The hooks run on the application's threads and make the least that is safe to look at later on another thread: no
reference to the record, its arguments, an exception or a frame is kept, so nothing lives longer than it would without
Clew.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import NamedTuple, TypeAlias, Union

Value: TypeAlias = Union[bool, int, float, str, bytes, "list[Value]", "dict[str, Value]", None]
"""What an attribute or a body may hold after sanitising: OTLP's AnyValue in plain Python, acyclic and bounded."""

Attributes: TypeAlias = "dict[str, Value]"

Frame: TypeAlias = tuple[CodeType, int]
"""One frame of a traceback: its code object and the line that ran."""


@dataclass(frozen=True, eq=False)
class Scope:
    """An instrumentation scope that says more than a logger's name.

    Compared by identity, so that it can be a dict key.
    """

    name: str
    version: str | None
    schema_url: str | None
    attributes: Attributes


class ExceptionEntry(NamedTuple):
    """An exception as it was when it was logged.

    `type` is qualified by its module (builtins are not), `message` is `str(exception)`, `stacktrace` is the text of
    the full chain, `fingerprint` is the stable hash of the canonical text or None where none could be made.
    """

    type: str
    message: str
    stacktrace: str
    fingerprint: str | None


class LogEntry(NamedTuple):
    """One log record between the call that made it and delivery.

    `attributes` are the caller's own, sanitised; `delivery` adds those that follow from the other fields (`code.*`,
    `thread.*`, `exception.*`, `correlation.id`). IDs are 0 where there is no span. `uid` is None until the record is
    stored or sent. `scope` is the logger's name, or a `Scope` where a record was made through the OpenTelemetry API
    with one. `observed_ns` is when it was seen, None where that is `time_ns`; `time_ns` is 0 where the API was not
    told. `dropped_attributes` counts what the SDK's limits cut off.
    """

    time_ns: int
    severity_number: int
    severity_text: str
    scope: str | Scope
    body: Value
    event_name: str | None
    trace_id: int
    span_id: int
    trace_flags: int
    correlation_id: str | None
    attributes: Attributes | None
    code: tuple[str, str, int] | None
    thread: tuple[int, str] | None
    exception: ExceptionEntry | None
    uid: str | None
    observed_ns: int | None = None
    dropped_attributes: int = 0
