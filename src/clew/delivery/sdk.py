"""The SDK's spans and log records, read as plain values: the one place here that knows their private fields.

The public properties copy (`span.attributes` is a new proxy whose iteration runs Python code for each key), which
would cost more than encoding. Where a private field is missing in some version of the SDK, the public way is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import SpanContext

from clew.bounded import items_of
from clew.delivery.value import detached
from clew.entry import LogEntry, Scope

# ruff: noqa: SLF001 - reading private fields is this module's purpose, see its docstring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

_MAX_SCOPES: Final = 256
_bounded_list: Any = BoundedList


def dropped_of(bounded: object) -> int:
    """Return how many items the SDK's limits cut off from attributes, events or links."""
    dropped = getattr(bounded, "dropped", 0)
    return dropped if isinstance(dropped, int) else 0


class SpanFields(NamedTuple):
    """What a span holds, in the order in which it is unpacked; `kind` and `status` are OTLP's numbers."""

    trace_id: int
    span_id: int
    trace_state: str
    parent_id: int | None
    is_parent_remote: bool
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    dropped_attributes: int
    events: Sequence[Any]
    dropped_events: int
    links: Sequence[Any]
    dropped_links: int
    status: int | None
    description: str | None
    resource: Resource
    scope: InstrumentationScope | None


def _read_private(span: Any) -> tuple[Any, ...]:
    trace_id, span_id, _, _, trace_state, _ = span._context
    parent, status = span._parent, span._status
    attributes: Any = span._attributes
    events: Any = span._events
    links: Any = span._links
    return (
        trace_id,
        span_id,
        trace_state.to_header() if trace_state._dict else "",
        None if parent is None else parent[1],
        parent is not None and parent[2],
        span._name,
        span._kind._value_ + 1,
        span._start_time or 0,
        span._end_time or 0,
        attributes._dict if attributes.__class__ is BoundedAttributes else items_of(attributes),
        attributes.dropped if attributes.__class__ is BoundedAttributes else dropped_of(attributes),
        events._dq or () if events.__class__ is _bounded_list else events,
        events.dropped if events.__class__ is _bounded_list else 0,
        links._dq or () if links.__class__ is _bounded_list else links,
        links.dropped if links.__class__ is _bounded_list else 0,
        None if status is None else status._status_code._value_,
        None if status is None else status._description,
        span._resource,
        span._instrumentation_scope,
    )


def _read_public(span: ReadableSpan) -> tuple[Any, ...]:
    context, parent, status = span.get_span_context(), span.parent, span.status
    if context is None:
        raise ValueError("a span without a context cannot be sent")
    return (
        context.trace_id,
        context.span_id,
        context.trace_state.to_header(),
        None if parent is None else parent.span_id,
        parent is not None and parent.is_remote,
        span.name,
        span.kind.value + 1,
        span.start_time or 0,
        span.end_time or 0,
        dict(span.attributes or {}),
        span.dropped_attributes,
        span.events,
        span.dropped_events,
        span.links,
        span.dropped_links,
        None if status is None else status.status_code.value,
        None if status is None else status.description,
        span.resource,
        span.instrumentation_scope,
    )


def _choose_reader() -> Callable[[Any], tuple[Any, ...]]:
    """Return the private reader if this SDK's spans have what it reads."""
    try:
        _read_private(ReadableSpan("probe", SpanContext(1, 1, is_remote=False)))
    except (AttributeError, TypeError, ValueError):
        return _read_public
    return _read_private


read_span: Final = _choose_reader()
"""Read one span into the fields of `SpanFields`, as a bare tuple because making the named one costs as much again."""


def fields_of(span: ReadableSpan) -> tuple[Any, ...] | ReadableSpan:
    """Return the fields of an ended span, or one that cannot be read itself: it is counted where it is encoded."""
    try:
        return read_span(span)
    except Exception:  # noqa: BLE001 - the span's end is the application's
        return span


_scopes: dict[int, tuple[InstrumentationScope, Scope]] = {}


def entry_from_sdk(record: ReadableLogRecord | ReadWriteLogRecord) -> LogEntry:
    """Make the entry of a record that came through the OpenTelemetry Logs API; all it says survives.

    What the caller does to the body or the attributes later does not reach the entry. The SDK has already put an
    exception it was given into the attributes.
    """
    log = record.log_record
    timestamp, observed = log.timestamp, log.observed_timestamp
    return LogEntry(
        time_ns=timestamp or 0,
        severity_number=getattr(log.severity_number, "value", 0),
        severity_text=log.severity_text or "",
        scope=_scope(record.instrumentation_scope),
        body=detached(log.body),
        event_name=log.event_name,
        trace_id=log.trace_id or 0,
        span_id=log.span_id or 0,
        trace_flags=int(log.trace_flags or 0),
        correlation_id=None,
        attributes=dict(items_of(log.attributes)),
        code=None,
        thread=None,
        exception=None,
        uid=None,
        observed_ns=observed,
        dropped_attributes=record.dropped_attributes,
    )


def _scope(scope: InstrumentationScope | None) -> str | Scope:
    """Return the scope in our form: the same object for the same scope, and a bare name where there is nothing more."""
    if scope is None:
        return ""
    if not (scope.version or scope.schema_url or scope.attributes):
        return scope.name
    known = _scopes.get(id(scope))
    if known is not None:
        return known[1]
    made = Scope(scope.name, scope.version, scope.schema_url, dict(items_of(scope.attributes)))
    if len(_scopes) >= _MAX_SCOPES:
        _scopes.clear()
    _scopes[id(scope)] = (scope, made)
    return made
