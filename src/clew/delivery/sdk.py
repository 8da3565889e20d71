"""The SDK's spans and log records, read as plain values: the one place here that knows their private fields.

The public properties copy (`span.attributes` is a new proxy whose iteration runs Python code for each key), which
would cost more than encoding. Where a private field is missing in some version of the SDK, the public way is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from clew.entry import LogEntry, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status

_MAX_SCOPES: Final = 256
_NOTHING: Final[dict[str, Any]] = {}


class SpanFields(NamedTuple):
    """What a span holds, in the order in which it is unpacked."""

    context: SpanContext | None
    parent: SpanContext | None
    name: str
    kind: SpanKind
    start_ns: int | None
    end_ns: int | None
    attributes: Mapping[str, Any] | None
    events: Sequence[Any]
    links: Sequence[Any]
    status: Status | None
    resource: Resource
    scope: InstrumentationScope | None


def _read_private(span: Any) -> tuple[Any, ...]:
    return (
        span._context,  # noqa: SLF001 - this module's purpose, see its docstring; so below
        span._parent,  # noqa: SLF001
        span._name,  # noqa: SLF001
        span._kind,  # noqa: SLF001
        span._start_time,  # noqa: SLF001
        span._end_time,  # noqa: SLF001
        span._attributes,  # noqa: SLF001
        span._events,  # noqa: SLF001
        span._links,  # noqa: SLF001
        span._status,  # noqa: SLF001
        span._resource,  # noqa: SLF001
        span._instrumentation_scope,  # noqa: SLF001
    )


def _read_public(span: ReadableSpan) -> tuple[Any, ...]:
    return (
        span.get_span_context(),
        span.parent,
        span.name,
        span.kind,
        span.start_time,
        span.end_time,
        _Counted(dict(span.attributes or {}), span.dropped_attributes),
        _CountedList(span.events, span.dropped_events),
        _CountedList(span.links, span.dropped_links),
        span.status,
        span.resource,
        span.instrumentation_scope,
    )


class _Counted(dict[str, Any]):
    """Attributes read in public, with how many the SDK's limits cut off."""

    def __init__(self, attributes: Mapping[str, Any], dropped: int) -> None:
        super().__init__(attributes)
        self.dropped = dropped


class _CountedList(list[Any]):
    """Events or links read in public, with how many the SDK's limits cut off."""

    def __init__(self, items: Iterable[Any], dropped: int) -> None:
        super().__init__(items)
        self.dropped = dropped


def _choose_reader() -> Callable[[Any], tuple[Any, ...]]:
    """Return the private reader if this SDK's spans have what it reads."""
    try:
        _read_private(ReadableSpan("probe"))
    except AttributeError:
        return _read_public
    return _read_private


read_span: Final = _choose_reader()
"""Read one span into the fields of `SpanFields`, as a bare tuple because making the named one costs 0.3 µs."""


def items_of(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the dict inside the SDK's bounded attributes: their own iteration calls Python code for each key."""
    if not attributes:
        return _NOTHING
    inner = getattr(attributes, "_dict", None)
    return inner if isinstance(inner, dict) else attributes


def dropped_of(bounded: object) -> int:
    """Return how many items the SDK's limits cut off from attributes, events or links."""
    dropped = getattr(bounded, "dropped", 0)
    return dropped if isinstance(dropped, int) else 0


def ids_of(context: SpanContext) -> tuple[int, int]:
    """Return trace ID and span ID."""
    return context.trace_id, context.span_id


_scopes: dict[int, tuple[InstrumentationScope, Scope]] = {}


def entry_from_sdk(record: ReadableLogRecord) -> LogEntry:
    """Make the entry of a record that came through the OpenTelemetry Logs API; all it says survives.

    The SDK has already put an exception it was given into the attributes.
    """
    log = record.log_record
    timestamp, observed = log.timestamp, log.observed_timestamp
    return LogEntry(
        time_ns=timestamp or 0,
        severity_number=getattr(log.severity_number, "value", 0),
        severity_text=log.severity_text or "",
        scope=_scope(record.instrumentation_scope),
        body=log.body,  # type: ignore[arg-type]  # the SDK's AnyValue; the encoders take anything
        event_name=log.event_name,
        trace_id=log.trace_id or 0,
        span_id=log.span_id or 0,
        trace_flags=int(log.trace_flags or 0),
        correlation_id=None,
        attributes=items_of(log.attributes),  # type: ignore[arg-type]  # as for the body
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
