"""The hook on the SDK's `Tracer.start_span`: each span gets its correlation ID, each root span its trace ID.

A root span is a true root: no parent is invented, the sampler is asked with the final trace ID, and the ID is in the
start attributes, so samplers and span processors see it. The hook sits on the class, so it serves tracers made
before it, any configurator, and providers from a configuration file.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import SpanKind, get_current_span

from clew import diagnostics
from clew.bounded import attributes_of
from clew.correlation import command_spans, sdk_spans
from clew.correlation.context import MARK, SPAN_KEY, correlation_id_in, mark, mark_ids, process_context
from clew.correlation.ids import new_span_id, new_trace_id, reshape, trace_id_hex
from clew.correlation.origin import (
    CurrentIds,
    baggage_correlation_id,
    configure,
    makes_ids,
    new_origin,
    origin_for,
    origin_in,
)
from clew.current import current_context
from clew.schema import CORRELATION_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

    from clew.settings import Settings

_HOOK: Final = "_clew_hook"
"""The attribute by which `install` knows its own hook."""


class _Root:
    """The trace ID that one root span is to take, handed to the ID generator for the length of one call."""

    __slots__ = ("is_random", "trace_id")

    def __init__(self, trace_id: int, is_random: bool) -> None:
        self.trace_id = trace_id
        self.is_random = is_random

    def take(self) -> int:
        """Return the trace ID once, then 0: a span that a sampler starts meanwhile is another one."""
        trace_id, self.trace_id = self.trace_id, 0
        return trace_id


_Start: TypeAlias = "tuple[Context | None, str, int | None, bool]"
"""How one span is to start: its context, its correlation ID, the trace ID if it is a root (0 leaves it to the
generator), and whether that may carry the W3C random flag. A plain tuple, for speed."""


started_requests: Final[list[Callable[[CurrentIds, Span | None], object]]] = []
"""Who is told of each server span that was started, None where it is not recorded; must be quick and not raise."""

_root: ContextVar[_Root | None] = ContextVar("clew_root", default=None)


class CorrelationIdGenerator(IdGenerator):
    """The tracer's own ID generator, except for the trace ID of a root span that belongs to a request.

    Where the tracer has the SDK's default one, IDs come from a generator of ours instead of the program's `random`.
    No ID of ours is shaped like a UUID.
    """

    def __init__(self, inner: IdGenerator) -> None:
        """Take over from `inner`."""
        is_default = type(inner) is RandomIdGenerator
        self.inner = inner
        self.new_trace_id: Callable[[], int] = new_trace_id if is_default else self._reshaped
        """Return a new trace ID, whatever root span is being started."""
        self._new_span_id: Callable[[], int] = new_span_id if is_default else inner.generate_span_id

    def _reshaped(self) -> int:
        return reshape(self.inner.generate_trace_id())

    def generate_span_id(self) -> int:
        """Return a new span ID."""
        return self._new_span_id()

    def generate_trace_id(self) -> int:
        """Return the trace ID that the root span being started is to take, or a new one."""
        root = _root.get()
        return (root.take() if root is not None else 0) or self.new_trace_id()

    def is_trace_id_random(self) -> bool:
        """Return False for a trace ID that follows from a correlation ID: who sends the ID may have chosen it."""
        root = _root.get()
        return (root is None or root.is_random) and self.inner.is_trace_id_random()


def install(settings: Settings) -> None:
    """Hook the SDK's tracer. Idempotent; every tracer follows, old and new."""
    configure(settings)
    sdk_spans.install()
    if not _is_installed():
        Tracer.start_span = _hook(Tracer.start_span)  # type: ignore[method-assign]  # the SDK has no place for this
    command_spans.install()


def uninstall() -> None:
    """Take the hook away, unless someone has hooked over it."""
    sdk_spans.uninstall()
    if _is_installed():
        Tracer.start_span = Tracer.start_span.__wrapped__  # type: ignore[attr-defined, method-assign]  # ours has one


def _is_installed() -> bool:
    return getattr(Tracer.start_span, _HOOK, False)


def _hook(original: Callable[..., Span]) -> Callable[..., Span]:
    """Make the hook over `original`; whatever goes wrong in ours, the span starts as it would without."""
    quick = sdk_spans.start_span if sdk_spans.is_known(original) else None

    @functools.wraps(original)
    def start_span(  # noqa: PLR0913, PLR0917 - upstream's signature
        self: Tracer,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Any = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        **more: Any,
    ) -> Span:
        rest = (links, start_time, record_exception, set_status_on_exception)
        try:
            context_of_it, correlation_id, trace_id, is_random = _plan(self, context, kind)
            first = {CORRELATION_ID: correlation_id}
            merged = {**first, **attributes} if attributes else first
        except Exception as error:  # noqa: BLE001 - the application's span starts in any case
            _tell(error)
            return original(self, name, context, kind, attributes, *rest, **more)
        span = None
        if quick is not None and not more:
            span = quick(self, name, context_of_it, kind, merged, rest, trace_id, is_random)
        if span is None:
            token = _root.set(None if trace_id is None else _Root(trace_id, is_random))
            try:
                span = original(self, name, context_of_it, kind, merged, *rest, **more)
            finally:
                _root.reset(token)
        _finish(span, correlation_id, kind)
        return span

    setattr(start_span, _HOOK, True)
    return start_span


def _plan(tracer: Tracer, context: Context | None, kind: SpanKind) -> _Start:
    """Decide how a span that is asked for in `context` starts."""
    if type(tracer.id_generator) is not CorrelationIdGenerator:
        tracer.id_generator = CorrelationIdGenerator(tracer.id_generator)
    here = current_context() if context is None else context
    begins_request = kind is SpanKind.SERVER or kind is SpanKind.CONSUMER
    if not here and (begins_request or context is not None or process_context() is None):
        return _plan_unasked(tracer, context)
    if begins_request:
        # Kinds whose root spans begin a request of their own, whatever the process was started in.
        outside = command_spans.without_command(here)
        if outside is not here:
            context = here = outside
    inherited: str | None = getattr(here.get(SPAN_KEY), MARK, None)
    if inherited is not None:
        return context, inherited, None, True
    parent = get_current_span(here).get_span_context()
    if parent.is_valid:
        return context, correlation_id_in(here) or trace_id_hex(parent.trace_id), None, True
    return _plan_root(tracer, context, here, begins_request=begins_request)


def _plan_unasked(tracer: Any, context: Context | None) -> _Start:
    """Decide how a span starts where nothing came in and nothing is current: what `_plan_root` comes to, at once."""
    trace_id = tracer.id_generator.new_trace_id()
    if makes_ids():
        origin = new_origin(trace_id)
        return context, origin.correlation_id, origin.trace_id, origin.is_random
    return context, f"{trace_id:032x}", trace_id, True


def _plan_root(tracer: Any, context: Context | None, here: Context, *, begins_request: bool) -> _Start:
    """Decide how a span without a parent starts."""
    origin = origin_in(here)
    if origin is None and context is None and not begins_request:
        started_in = process_context()
        if started_in is not None:
            return _plan(tracer, Context({**here, **started_in}), SpanKind.SERVER)
    if origin is None:
        found = baggage_correlation_id(here)
        origin = origin_for(found) if found else new_origin(tracer.id_generator.new_trace_id())
    return context, origin.correlation_id, origin.trace_id, origin.is_random


def _finish(span: Span, correlation_id: str, kind: SpanKind) -> None:
    """Leave the ID on the span, and in its attributes where a sampler has dropped those given at the start."""
    try:
        mark(span, correlation_id)
        is_recorded = span.is_recording()
        if is_recorded and CORRELATION_ID not in attributes_of(span):
            span.set_attribute(CORRELATION_ID, correlation_id)
        if kind is SpanKind.SERVER:
            ids = mark_ids(span, correlation_id)
            for watch in started_requests:
                watch(ids, span if is_recorded else None)
    except Exception as error:  # noqa: BLE001 - the span has started; it is the application's
        _tell(error)


def _tell(error: Exception) -> None:
    diagnostics.report("correlation-span", f"a span goes without its correlation ID: {type(error).__name__}: {error}")
