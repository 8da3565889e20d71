"""The start and the end of upstream's spans, by the same steps with a quarter of the calls.

To start a span upstream calls fifty functions, most of them constructors and properties; to end one it copies it for
the span processors. Here the objects are made as they are at the end of that, the samplers that nobody changes are
asked in place, and the processors that say so get the ended span itself, which nothing changes any more.

The private names that this needs stand in this module only. It is used where upstream's functions have the names that
are known here and a span that is made both ways is the same; whatever is out of the ordinary goes upstream's way.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, Tracer, sampling
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, StaticSampler
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    get_current_span,
)

from clew.bounded import is_plain

# ruff: noqa: SLF001 - the SDK's private names are this module's purpose, see its docstring

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

TAKES_SPAN: Final = "takes_span"
"""The attribute of a span processor's class that says: `on_end` may be given the ended span itself."""

_STARTING: Final = frozenset(
    """
    DEFAULT NonRecordingSpan RANDOM_TRACE_ID SAMPLED SpanContext TraceFlags TypeError _Span _instrumentation_scope
    _is_enabled _span_limits _tracer_metrics attributes decision generate_span_id generate_trace_id get_current_span
    get_span_context id_generator instrumentation_info is_recording is_sampled is_trace_id_random is_valid isinstance
    random_trace_id resource sampler should_sample span_processor start start_span trace_api trace_flags trace_id
    trace_state
    """.split()  # noqa: SIM905 - a list of names, to be read
)
_ENDING: Final = frozenset(
    """
    RuntimeError _attributes _end_time _immutable _lock _on_ending _readable_span _record_end_metrics _span_processor
    _start_time logger on_end time_ns warning
    """.split()  # noqa: SIM905 - likewise
)
_SAMPLING: Final = frozenset(
    """
    DROP Decision SamplingResult _decision _get_parent_trace_state _local_parent_not_sampled _local_parent_sampled
    _remote_parent_not_sampled _remote_parent_sampled _root get_current_span get_span_context is_remote is_valid
    sampled should_sample trace_flags trace_state
    """.split()  # noqa: SIM905 - likewise
)
"""The names that upstream's functions use, in the releases whose steps are those taken here."""

_CHAIN: Final = "_clew_chain"
_Chain: TypeAlias = "tuple[tuple[SpanProcessor, ...], tuple[SpanProcessor, ...], tuple[SpanProcessor, ...] | None]"
"""A provider's processors; those that hear of a start; those that hear of an end, None where one needs a copy."""

_Span: Final[Any] = getattr(sdk_trace, "_Span", None)
_FLAGS: Final = tuple(TraceFlags(number) for number in range(4))
"""By sampled, and by twice whether the trace ID is random."""

_new: Final[Any] = object.__new__
_UNSET: Final[Any] = ReadableSpan("").status
_ends: Final[list[Callable[[Any, int | None], None]]] = []
"""Upstream's own end of a span, while ours is in its place."""


def is_known(original: Callable[..., Any]) -> bool:
    """Return whether `original`, which starts spans, takes the steps that `start_span` does."""
    try:
        tracer = _probing_tracer()
        attributes = {"a": 1}
        quick = start_span(tracer, "probe", None, SpanKind.SERVER, attributes, ((), 1, True, True), 1, is_random=True)
        return set(original.__code__.co_names) == _STARTING and _is_same(
            original(tracer, "probe", None, SpanKind.SERVER, attributes, (), 1), quick
        )
    except Exception:  # noqa: BLE001 - whatever has moved upstream, its own way stays
        return False


def install() -> None:
    """End spans the short way. Idempotent; to be called before other hooks on `Span.end`."""
    code = getattr(Span.end, "__code__", None)
    if not _ends and code is not None and set(code.co_names) == _ENDING:
        _ends.append(Span.end)
        Span.end = _quick_end(Span.end)  # type: ignore[method-assign]  # the SDK has no place for this


def uninstall() -> None:
    """Give upstream its own way back, unless someone has hooked over ours."""
    while _ends:
        original = _ends.pop()
        if getattr(Span.end, "__wrapped__", None) is original:
            Span.end = original  # type: ignore[method-assign]  # as above


def start_span(
    tracer: Any,
    name: str,
    context: Context | None,
    kind: SpanKind,
    attributes: dict[str, Any],
    rest: tuple[Any, int | None, bool, bool],
    trace_id: int | None,
    is_random: bool,
) -> Any:
    """Start a span as `Tracer.start_span` does; None where that has to.

    Args:
        tracer: The SDK's.
        name: The span's name.
        context: What the span starts in; None is the current one.
        kind: The span's kind.
        attributes: Those it starts with. The dict may become the span's own.
        rest: Links, start time, and whether exceptions are recorded and set the status.
        trace_id: The ID that a root span takes; 0 or None leaves it to the generator.
        is_random: Whether a root's ID may carry the W3C random flag.
    """
    parent: Any = INVALID_SPAN_CONTEXT
    if context or context is None:
        parent = get_current_span(context).get_span_context()
    links, start_ns, records_exception, sets_status = rest
    if links or parent.__class__ is not SpanContext or tracer.resource is None or not tracer._is_enabled():
        return None
    ids = tracer.id_generator
    if not parent[5]:
        parent, trace_id = None, trace_id or ids.generate_trace_id()
        is_random = is_random and ids.is_trace_id_random()
    else:
        trace_id, is_random = parent[0], parent[3].random_trace_id
    decision, attributes, state = _sampled(tracer.sampler, parent, context, trace_id, name, kind, attributes)
    flags = _FLAGS[(1 if decision is Decision.RECORD_AND_SAMPLE else 0) + (2 if is_random else 0)]
    here = SpanContext(trace_id, ids.generate_span_id(), is_remote=False, trace_flags=flags, trace_state=state)
    record_end = tracer._tracer_metrics.start_span(parent, decision)
    if decision is Decision.DROP:
        return NonRecordingSpan(here)
    span = _make(tracer, name, kind, here, parent, attributes)
    span._record_exception = records_exception
    span._set_status_on_exception = sets_status
    span._record_end_metrics = record_end
    span._start_time = time_ns() if start_ns is None else start_ns
    chain = _chain_of(tracer.span_processor)
    if chain is None:
        tracer.span_processor.on_start(span, parent_context=context)
    elif chain[1]:
        for processor in chain[1]:
            processor.on_start(span, parent_context=context)
    return span


def _sampled(
    sampler: Any,
    parent: Any,
    context: Context | None,
    trace_id: int,
    name: str,
    kind: SpanKind,
    attributes: dict[str, Any],
) -> tuple[Decision, Any, Any]:
    """Return a sampler's decision, the attributes and the trace state that come of it."""
    chosen = sampler
    if chosen.__class__ is ParentBased:
        if parent is None:
            chosen = chosen._root
        elif parent[2]:
            chosen = chosen._remote_parent_sampled if parent[3] & 1 else chosen._remote_parent_not_sampled
        else:
            chosen = chosen._local_parent_sampled if parent[3] & 1 else chosen._local_parent_not_sampled
    if chosen.__class__ is StaticSampler and _are_samplers_known:
        state = None if parent is None else parent[4]
        return chosen._decision, None if chosen._decision is Decision.DROP else attributes, state
    result = sampler.should_sample(context, trace_id, name, kind, attributes, ())
    return result.decision, result.attributes, result.trace_state


def _make(tracer: Any, name: str, kind: SpanKind, here: Any, parent: Any, attributes: Any) -> Any:
    """Make a span as its constructor leaves it, save for what the caller sets."""
    limits, lock = tracer._span_limits, threading.Lock
    span = _new(_Span)
    span._name = name
    span._context = here
    span._kind = kind
    span._instrumentation_info = tracer.instrumentation_info
    span._instrumentation_scope = tracer._instrumentation_scope
    span._parent = parent
    span._end_time = None
    span._attributes = _bounded(attributes, limits.max_span_attributes, limits.max_span_attribute_length)
    span._events = events = _new(BoundedList)
    events.dropped = 0
    events._dq = deque(maxlen=limits.max_events)
    events._lock = lock()
    span._links = links = _new(BoundedList)
    links.dropped = 0
    links._dq = deque(maxlen=limits.max_links)
    links._lock = lock()
    span._resource = tracer.resource
    span._status = _UNSET
    span._sampler = tracer.sampler
    span._trace_config = None
    span._span_processor = tracer.span_processor
    span._limits = limits
    span._lock = lock()
    return span


def _bounded(attributes: Any, maxlen: int | None, max_length: int | None) -> Any:
    """Make a span's attributes; a dict of plain values that needs no cut becomes theirs."""
    bounded = _new(BoundedAttributes)
    bounded._dict = {}
    bounded.maxlen = maxlen
    bounded.dropped = 0
    bounded.max_value_len = max_length
    bounded._lock = threading.Lock()
    bounded._immutable = False
    if (
        attributes.__class__ is dict
        and max_length is None
        and (maxlen is None or len(attributes) <= maxlen)
        and is_plain(attributes)
    ):
        bounded._dict = attributes
    elif attributes:
        bounded._set_items(attributes)
    return bounded


def _quick_end(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def end(self: Any, end_time: int | None = None) -> None:
        chain = _chain_of(self._span_processor)
        if chain is None or chain[2] is None or not _close(self, end_time):
            original(self, end_time)
            return
        if self._record_end_metrics:
            self._record_end_metrics()
        for processor in chain[2]:
            processor.on_end(self)

    return end


def _close(span: Any, end_ns: int | None) -> bool:
    """Set the time of a span's end; False for one that has not started or has ended, which upstream tells of."""
    with span._lock:
        if span._start_time is None or span._end_time is not None:
            return False
        span._end_time = time_ns() if end_ns is None else end_ns
        span._attributes._immutable = True
    return True


def _chain_of(processor: Any) -> _Chain | None:
    """Return what is known of a provider's processors, found anew where one was added."""
    if processor.__class__ is not sdk_trace.SynchronousMultiSpanProcessor:
        return None
    own, present = processor.__dict__, processor._span_processors
    chain: _Chain | None = own.get(_CHAIN)
    if chain is None or chain[0] is not present:
        hearing = tuple(each for each in present if type(each).on_start is not SpanProcessor.on_start)
        takes_all = all(getattr(type(each), TAKES_SPAN, False) for each in present)
        chain = own[_CHAIN] = (present, hearing, present if takes_all else None)
    return chain


def _know_samplers() -> bool:
    """Return whether the samplers decide by the steps that `_sampled` takes."""
    parent_state: Any = getattr(sampling, "_get_parent_trace_state", None)
    functions: tuple[Any, ...] = (ParentBased.should_sample, StaticSampler.should_sample, parent_state)
    codes = [getattr(function, "__code__", None) for function in functions]
    return all(code is not None and _SAMPLING.issuperset(code.co_names) for code in codes)


class _OneId(IdGenerator):
    """Gives a probe the same IDs each time."""

    def generate_span_id(self) -> int:
        return 1

    def generate_trace_id(self) -> int:
        return 1


def _probing_tracer() -> Any:
    make_processor: Any = sdk_trace.SynchronousMultiSpanProcessor
    make: Any = Tracer
    rest = (Resource({}), make_processor(), _OneId(), None, SpanLimits(), InstrumentationScope("clew.probe"))
    return make(ALWAYS_ON, *rest, meter_provider=NoOpMeterProvider())


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two objects are alike in all that they hold, whatever they think is equal."""
    if one is other:
        return True
    held, others = getattr(one, "__dict__", None), getattr(other, "__dict__", None)
    if type(one) is not type(other) or bool(held) is not bool(others):
        return False
    if not held or not others:
        return callable(one) or isinstance(one, type(threading.Lock())) or bool(one == other)
    return held.keys() == others.keys() and all(_is_same(held[key], others[key]) for key in held)


_are_samplers_known: Final = _know_samplers()
