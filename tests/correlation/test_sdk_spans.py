"""Spans that are started and ended the short way are those that upstream's own way gives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, Tracer, TracerProvider, sampling
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from clew.correlation import sdk_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

_upstream: Any = Tracer.start_span
while hasattr(_upstream, "__wrapped__"):
    _upstream = _upstream.__wrapped__

starts = pytest.mark.skipif(not sdk_spans.is_known(_upstream), reason="this SDK starts spans in another way")

VALUES = st.sampled_from(["a", "longer than ten", 1, 2**70, 1.5, True, None, b"x", ("a",), ["a", 1], {"k": 1}])
ATTRIBUTES = st.dictionaries(st.sampled_from(["x", "y", "z", "", 1]), VALUES, max_size=4)
LIMITS = st.builds(
    SpanLimits,
    max_span_attributes=st.sampled_from([0, 2, 128]),
    max_span_attribute_length=st.sampled_from([3, 128]),
    max_events=st.sampled_from([0, 5]),
)


class Sampler(sampling.Sampler):
    """Records without sampling, and says something of its own."""

    def should_sample(self, *_: Any, **__: Any) -> sampling.SamplingResult:
        """Decide."""
        return sampling.SamplingResult(sampling.Decision.RECORD_ONLY, {"sampler": "own"}, TraceState([("a", "1")]))

    def get_description(self) -> str:
        """Describe it."""
        return "own"


SAMPLERS = st.sampled_from(
    [
        sampling.ALWAYS_ON,
        sampling.ALWAYS_OFF,
        sampling.DEFAULT_ON,
        sampling.DEFAULT_OFF,
        sampling.ParentBased(sampling.TraceIdRatioBased(0.5), remote_parent_not_sampled=sampling.ALWAYS_ON),
        sampling.ParentBased(Sampler(), local_parent_sampled=Sampler()),
        Sampler(),
    ]
)


def _parent(trace_id: int, flags: int, *, is_remote: bool) -> Context:
    state = TraceState([("vendor", "1")])
    context = SpanContext(trace_id, 7, is_remote=is_remote, trace_flags=TraceFlags(flags), trace_state=state)
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


CONTEXTS = st.none() | st.builds(_parent, st.sampled_from([0, 5]), st.integers(0, 3), is_remote=st.booleans())
STARTS = st.fixed_dictionaries(
    {
        "context": CONTEXTS | st.just(Context()),
        "kind": st.sampled_from(SpanKind),
        "start_time": st.sampled_from([None, 0, 17]),
        "record_exception": st.booleans(),
        "set_status_on_exception": st.booleans(),
    }
)


class Ids(IdGenerator):
    """Counts."""

    def __init__(self, *, is_random: bool) -> None:
        self.given, self.is_random = 0, is_random

    def generate_span_id(self) -> int:
        """Return the next one."""
        self.given += 1
        return self.given

    def generate_trace_id(self) -> int:
        """Return the next one."""
        self.given += 1
        return self.given

    def is_trace_id_random(self) -> bool:
        """Tell."""
        return self.is_random


class Heard(SpanProcessor):
    """Notes what it hears of."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note a start."""
        self.heard.append(("start", span, parent_context))

    def on_end(self, span: ReadableSpan) -> None:
        """Note an end."""
        self.heard.append(("end", span))


class Taking(Heard):
    """Takes the ended span itself."""

    takes_span = True


class Spans:
    """A tracer, and its spans as facts."""

    def __init__(self, sampler: sampling.Sampler, limits: SpanLimits, *, is_random: bool) -> None:
        self.heard = Heard()
        provider = TracerProvider(
            sampler,
            Resource({}),
            id_generator=Ids(is_random=is_random),
            span_limits=limits,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self.heard)
        self.tracer: Any = provider.get_tracer("t", "1")

    def facts(self, span: Any, start_ns: int | None) -> list[Any]:
        """Return all that is known of a new span, and what was heard of it."""
        held = {key: _held(value) for key, value in vars(span).items()}
        if start_ns is None and "_start_time" in held:
            held["_start_time"] = type(held["_start_time"])
        return [type(span), held, [(kind, context) for kind, _, context in self.heard.heard]]


def _held(value: Any) -> Any:
    """Return what an object of the SDK holds, without what belongs to the tracer."""
    if isinstance(value, (type(None), bool, int, str, tuple, SpanKind)):
        return type(value), value
    if hasattr(value, "_dict"):
        return list(value._dict.items()), value.dropped, value.maxlen, value.max_value_len, value._immutable
    if hasattr(value, "_dq"):
        return value._dq, value.dropped
    return type(value)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep upstream's warnings off the test's output, and its own end of a span in place."""
    logging.getLogger("opentelemetry.attributes").disabled = True
    yield
    sdk_spans.uninstall()
    logging.getLogger("opentelemetry.attributes").disabled = False


@starts
@given(STARTS, ATTRIBUTES, SAMPLERS, LIMITS, st.booleans())
def test_spans_start_as_upstreams_do(
    start: dict[str, Any], attributes: dict[str, Any], sampler: sampling.Sampler, limits: SpanLimits, is_random: bool
) -> None:
    """Any start gives the same span, told to the same processors, with the same IDs asked for in the same order."""
    upstream, quick = (Spans(sampler, limits, is_random=is_random) for _ in range(2))
    expected = upstream.facts(_upstream(upstream.tracer, "n", attributes=attributes, **start), start["start_time"])
    rest = ((), start["start_time"], start["record_exception"], start["set_status_on_exception"])
    made = sdk_spans.start_span(
        quick.tracer, "n", start["context"], start["kind"], dict(attributes), rest, None, is_random=True
    )

    assert expected == quick.facts(made, start["start_time"])


@starts
def test_root_takes_the_trace_id() -> None:
    """A root span has the trace ID that it is given, and no random flag where that is not to be."""
    spans = Spans(sampling.ALWAYS_ON, SpanLimits(), is_random=True)
    made = sdk_spans.start_span(
        spans.tracer, "n", Context(), SpanKind.SERVER, {}, ((), 1, True, True), 77, is_random=False
    )

    assert (77, 1, TraceFlags.SAMPLED) == (made.context.trace_id, made.context.span_id, made.context.trace_flags)


@starts
def test_what_is_unusual_is_left_to_upstream() -> None:
    """Links and a tracer that is off are not started here."""
    spans = Spans(sampling.ALWAYS_ON, SpanLimits(), is_random=True)
    link = trace.Link(SpanContext(1, 2, is_remote=False))
    linked = sdk_spans.start_span(
        spans.tracer, "n", None, SpanKind.SERVER, {}, ((link,), 1, True, True), 77, is_random=False
    )
    spans.tracer._is_enabled = lambda: False
    off = sdk_spans.start_span(spans.tracer, "n", None, SpanKind.SERVER, {}, ((), 1, True, True), 77, is_random=False)

    assert (None, None) == (linked, off)


@starts
def test_other_starts_are_not_known() -> None:
    """Where another one has hooked over the SDK's function, or that has changed, spans start as they do there."""

    def hooked(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return other_steps(_upstream(self, name, *args, **kwargs))

    def other_steps(span: Any) -> Any:
        return span

    assert (True, False) == (sdk_spans.is_known(_upstream), sdk_spans.is_known(hooked))


def test_other_objects_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what a span holds has one field more, as the attributes of SDK 1.44 do, spans start upstream's way."""
    original = BoundedAttributes.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.more = False

    monkeypatch.setattr(BoundedAttributes, "__init__", init)

    assert not sdk_spans.is_known(_upstream)


class TestEnd:
    """Who is told of an end, and with what."""

    @pytest.mark.parametrize(("added", "is_span"), [((Taking,), True), ((Heard,), False), ((Taking, Heard), False)])
    def test_who_gets_the_span(self, added: tuple[type[Heard], ...], is_span: bool) -> None:
        """The ended span itself is told of only where each processor takes it; others get upstream's copy."""
        sdk_spans.install()
        provider = TracerProvider(shutdown_on_exit=False)
        processors = [each() for each in added]
        for each in processors:
            provider.add_span_processor(each)
        span = provider.get_tracer("t").start_span("n", attributes={"a": 1})
        span.end(99)
        got = [each.heard[-1][1] for each in processors]

        assert [is_span] * len(added) == [each is span for each in got]
        assert [(99, {"a": 1}, "n")] * len(added) == [(each.end_time, dict(each.attributes), each.name) for each in got]

    def test_processor_that_is_added_later(self) -> None:
        """A processor hears of the spans that end after it was added, and of no change that comes after the end."""
        sdk_spans.install()
        provider = TracerProvider(shutdown_on_exit=False)
        first, second = Taking(), Taking()
        provider.add_span_processor(first)
        tracer = provider.get_tracer("t")
        tracer.start_span("one").end()
        provider.add_span_processor(second)
        tracer.start_span("two").end()

        assert ["one", "two"] == [heard[1].name for heard in first.heard if heard[0] == "end"]
        assert ["two"] == [heard[1].name for heard in second.heard if heard[0] == "end"]

    def test_second_end(self, caplog: pytest.LogCaptureFixture) -> None:
        """A span ends once; upstream warns of a second end, and nothing changes it any more."""
        sdk_spans.install()
        provider = TracerProvider(shutdown_on_exit=False)
        taking = Taking()
        provider.add_span_processor(taking)
        span: Any = provider.get_tracer("t").start_span("n")
        span.end(5)
        span.end(6)
        span.set_attribute("late", 1)
        span.add_event("late")
        span.update_name("late")

        assert [("start", 5), ("end", 5)] == [(heard[0], heard[1].end_time) for heard in taking.heard]
        assert ({}, (), "n") == (dict(span.attributes), span.events, span.name)
        assert "Calling end() on an ended span." in caplog.messages
