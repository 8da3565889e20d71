"""Hypothesis strategies for what the encoders take: values, log entries, spans, and how upstream says the same."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from clew.delivery.attributes import own_attributes
from clew.entry import ExceptionEntry, LogEntry, Scope

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = (
    st.sampled_from(["user", "user.id", "code.file.path", "thread.id", "exception.message", "correlation.id"]) | texts
)
integers = st.integers(-(2**63), 2**63 - 1)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False) | texts | st.binary(max_size=20)
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
log_attributes = st.dictionaries(keys, nested, max_size=6)
flat = st.booleans() | integers | st.floats(allow_nan=False) | texts
span_values = flat | st.lists(texts, max_size=3) | st.lists(integers | st.none(), max_size=3)
span_attributes = st.dictionaries(texts.filter(bool), span_values, max_size=6)
times = st.integers(0, 2**64 - 1)
trace_ids = st.integers(1, 2**128 - 1)
span_ids = st.integers(1, 2**64 - 1)
counts = st.integers(0, 2**32 - 1)
resources = st.builds(Resource, span_attributes, st.none() | texts)

awkward = st.recursive(
    scalars
    | st.text(max_size=20)
    | st.integers()
    | st.floats()
    | st.sampled_from([2**9000, object(), range(3), ValueError("x"), StatusCode.ERROR, True, 1, 1.0, -0.0]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)
"""Values that upstream cannot encode, or encodes to something else, among values that it can."""


@st.composite
def entries(draw: st.DrawFn, values: st.SearchStrategy[Any] = nested) -> LogEntry:
    """Make log entries as capture and the Logs API do, of any content."""
    exception = st.builds(ExceptionEntry, texts, texts, texts, st.none() | texts)
    return LogEntry(
        time_ns=draw(times),
        severity_number=draw(st.integers(0, 24)),
        severity_text=draw(texts),
        scope=draw(st.sampled_from(["app", "app.orders", ""])),
        body=draw(values),
        event_name=draw(st.none() | texts),
        trace_id=draw(st.just(0) | trace_ids),
        span_id=draw(st.just(0) | span_ids),
        trace_flags=draw(st.integers(0, 255)),
        correlation_id=draw(st.none() | texts),
        attributes=draw(st.none() | st.dictionaries(keys, values, max_size=6)),
        code=draw(st.none() | st.tuples(texts, texts, st.integers(0, 100000))),
        thread=draw(st.none() | st.tuples(st.integers(0, 2**63 - 1), texts)),
        exception=draw(st.none() | exception),
        uid=draw(st.none() | texts),
        observed_ns=draw(st.none() | times),
        dropped_attributes=draw(counts),
    )


class PlainAttributes(BoundedAttributes):
    """The SDK's attributes as its encoder sees them, with the content given instead of cleaned."""

    def __init__(self, content: dict[str, Any], dropped: int) -> None:
        super().__init__()
        self._dict = content
        self.dropped = dropped


def record_of(entry: LogEntry, resource: Resource) -> ReadableLogRecord:
    """Return the SDK's record that says what `entry` says."""
    own = own_attributes(entry)
    given = {key: value for key, value in (entry.attributes or {}).items() if key not in own}
    record = LogRecord(
        timestamp=entry.time_ns,
        observed_timestamp=entry.time_ns if entry.observed_ns is None else entry.observed_ns,
        severity_text=entry.severity_text,
        severity_number=SeverityNumber(entry.severity_number),
        body=entry.body,
        attributes=PlainAttributes(given | own, entry.dropped_attributes),
        event_name=entry.event_name,
    )
    record.trace_id, record.span_id = entry.trace_id, entry.span_id
    record.trace_flags = TraceFlags(entry.trace_flags)
    return ReadableLogRecord(record, resource, scope_of(entry.scope))


def scope_of(scope: str | Scope) -> InstrumentationScope:
    """Return the SDK's scope that says what `scope` says."""
    if isinstance(scope, str):
        return InstrumentationScope(scope)
    return InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes)


SCOPES = (
    None,
    InstrumentationScope("lib"),
    InstrumentationScope("lib", "1.2", "https://opentelemetry.io/schemas/1.30.0", {"team": "web", "tier": 1}),
    InstrumentationScope("lib", "1.2", "https://opentelemetry.io/schemas/1.30.0", {"team": "web", "tier": 1}),
)
RESOURCES = (Resource({}), Resource({"service.name": "shop", "n": [1, 2]}, "https://example.org/schema"))


@st.composite
def contexts(draw: st.DrawFn) -> SpanContext:
    """Make span contexts, local and remote, with and without a trace state."""
    state = TraceState(draw(st.just([]) | st.just([("vendor", "value"), ("other", "a:b")])))
    return SpanContext(draw(trace_ids), draw(span_ids), draw(st.booleans()), TraceFlags(draw(st.integers(0, 3))), state)


@st.composite
def bounded(draw: st.DrawFn) -> BoundedAttributes | dict[str, Any] | None:
    """Make attributes of events, links and spans, with a count of what the limits cut off."""
    content = draw(span_attributes)
    return draw(st.sampled_from([None, content, PlainAttributes(content, draw(counts))]))


@st.composite
def bounded_list(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> Any:
    """Make events or links, with a count of what the limits cut off."""
    content = draw(st.lists(items, max_size=3))
    made: BoundedList = BoundedList.from_seq(10, content)
    made.dropped = draw(counts)
    return draw(st.sampled_from([(), content, made]))


@st.composite
def spans(draw: st.DrawFn) -> ReadableSpan:
    """Make ended spans, of any content that the SDK lets through."""
    status = st.sampled_from(list(StatusCode))
    code = draw(status)
    return ReadableSpan(
        name=draw(texts),
        context=draw(contexts()),
        parent=draw(st.none() | contexts()),
        resource=draw(st.sampled_from(RESOURCES)),
        attributes=draw(bounded()),
        events=draw(bounded_list(st.builds(Event, texts, bounded(), times))),
        links=draw(bounded_list(st.builds(Link, contexts(), bounded()))),
        kind=draw(st.sampled_from(list(SpanKind))),
        status=Status(code, draw(st.none() | texts) if code is StatusCode.ERROR else None),
        start_time=draw(st.none() | times),
        end_time=draw(st.none() | times),
        instrumentation_scope=draw(st.sampled_from(SCOPES)),
    )
