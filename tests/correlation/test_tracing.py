"""Each span carries its request's correlation ID; a root span's trace ID follows from it."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from clew.correlation import ids, tracing
from clew.correlation.context import CurrentIds, bind, correlation_id, current_ids
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

TRACEPARENT = "00-4bf92f3577b34da6c3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = 0x4BF92F3577B34DA6C3CE929D0E0E4736


class RecordingSampler(Sampler):
    """Keeps what it was asked; drops the start attributes, as samplers in the wild do."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Any]] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *rest: Any, **options: Any
    ) -> SamplingResult:
        """Record the question and sample."""
        self.asked.append((trace_id, rest[1]))
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        """Name it."""
        return "RecordingSampler"


def test_root_span_gets_the_derived_trace_id(install: Callable[..., Bench]) -> None:
    """A request with only a correlation header starts a true root whose trace ID follows from the header."""
    bench = install()

    with bench.tracer.start_as_current_span("server", extract({"x-request-id": "req-1"}), SpanKind.SERVER):
        bench.tracer.start_span("child").end()

    server, child = bench.spans()["server"], bench.spans()["child"]
    assert server.parent is None
    assert ids.derive_trace_id("req-1") == server.context.trace_id == child.context.trace_id
    assert {"correlation.id": "req-1"} == dict(server.attributes) == dict(child.attributes)


def test_valid_traceparent_wins(install: Callable[..., Bench]) -> None:
    """A request that brings a trace goes on in it; the correlation ID is still the header's."""
    bench = install()

    context = extract({"traceparent": TRACEPARENT, "tracestate": "a=1", "x-request-id": "req-1"})
    bench.tracer.start_span("server", context, SpanKind.SERVER).end()

    server = bench.spans()["server"]
    assert (TRACE_ID, 0x00F067AA0BA902B7) == (server.context.trace_id, server.parent.span_id)
    assert "a=1" == server.context.trace_state.to_header()
    assert "req-1" == server.attributes["correlation.id"]


@pytest.mark.parametrize(
    ("carrier", "expected"),
    [
        ({"traceparent": TRACEPARENT}, (TRACE_ID, "4bf92f3577b34da6c3ce929d0e0e4736")),
        ({"traceparent": TRACEPARENT, "baggage": "correlation.id=job-7"}, (TRACE_ID, "job-7")),
        ({"baggage": "correlation.id=job-7"}, (ids.derive_trace_id("job-7"), "job-7")),
        ({"traceparent": "garbage", "x-correlation-id": "c-1"}, (ids.derive_trace_id("c-1"), "c-1")),
        (
            {"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793"},
            (0x5759E988BD862E3FE1BE46A994272793, "5759e988bd862e3fe1be46a994272793"),
        ),
        (
            {"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793", "x-request-id": "req-1"},
            (ids.derive_trace_id("req-1"), "req-1"),
        ),
        ({"x-correlation-id": "first", "x-request-id": "second"}, (ids.derive_trace_id("first"), "first")),
        ({"x-correlation-id": "<bad>", "x-request-id": "second"}, (ids.derive_trace_id("second"), "second")),
    ],
)
def test_inbound_table(install: Callable[..., Bench], carrier: dict[str, str], expected: tuple[int, str]) -> None:
    """What comes in decides trace ID and correlation ID as the published table says."""
    span = install().tracer.start_span("server", extract(carrier), SpanKind.SERVER)

    with trace.use_span(span):
        found = current_ids()
    assert expected == (found.trace_id, found.correlation_id)


def test_nothing_inbound_makes_a_new_id(install: Callable[..., Bench]) -> None:
    """A request that brings nothing gets a random trace ID, which in hex is its correlation ID."""
    bench = install()

    for name in ("a", "b"):
        bench.tracer.start_span(name, extract({}), SpanKind.SERVER).end()

    first, second = bench.spans()["a"], bench.spans()["b"]
    assert first.context.trace_id != second.context.trace_id
    assert ids.trace_id_hex(first.context.trace_id) == first.attributes["correlation.id"]
    assert ids.is_trace_id(str(first.attributes["correlation.id"]))


def test_key_keeps_header_only_hops_whole(install: Callable[..., Bench]) -> None:
    """Under a key a new request's header, forwarded alone, leads the next service to the same trace."""
    bench = install(Settings(correlation_key=b"secret"))

    bench.tracer.start_span("first", extract({}), SpanKind.SERVER).end()
    header = str(bench.spans()["first"].attributes["correlation.id"])
    bench.tracer.start_span("second", extract({"x-request-id": header}), SpanKind.SERVER).end()

    first, second = bench.spans()["first"], bench.spans()["second"]
    assert first.context.trace_id == second.context.trace_id == ids.derive_trace_id(header, b"secret")
    assert ids.trace_id_hex(first.context.trace_id) != header


def test_key_covers_the_load_balancers_header(install: Callable[..., Bench]) -> None:
    """Under a key a caller cannot choose the trace ID by way of `X-Amzn-Trace-Id` either."""
    bench = install(Settings(correlation_key=b"secret"))

    context = extract({"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793"})
    bench.tracer.start_span("server", context).end()

    server = bench.spans()["server"]
    assert "5759e988bd862e3fe1be46a994272793" == server.attributes["correlation.id"]
    assert ids.derive_trace_id("5759e988bd862e3fe1be46a994272793", b"secret") == server.context.trace_id


def test_attribute_mode_keeps_trace_ids_random(install: Callable[..., Bench]) -> None:
    """In attribute mode two requests of one long-lived ID are two traces that carry it."""
    bench = install(Settings(correlation_mode="attribute"))

    for name in ("a", "b"):
        bench.tracer.start_span(name, extract({"x-request-id": "basket-9"}), SpanKind.SERVER).end()

    spans = bench.spans()
    assert 2 == len({span.context.trace_id for span in spans.values()} - {ids.derive_trace_id("basket-9")})
    assert {"basket-9"} == {span.attributes["correlation.id"] for span in spans.values()}


def test_untrusted_ids_are_ignored(install: Callable[..., Bench]) -> None:
    """At a public edge neither header, baggage nor load balancer decides; a traceparent still does."""
    bench = install(Settings(correlation_trust="none"))
    hostile = {
        "x-request-id": "req-1",
        "baggage": "correlation.id=req-2,user=ann",
        "x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
    }

    context = extract(hostile)
    bench.tracer.start_span("alone", context).end()
    bench.tracer.start_span("traced", extract({**hostile, "traceparent": TRACEPARENT})).end()

    alone, traced = bench.spans()["alone"], bench.spans()["traced"]
    assert ids.trace_id_hex(alone.context.trace_id) == alone.attributes["correlation.id"]
    assert 0x5759E988BD862E3FE1BE46A994272793 != alone.context.trace_id
    assert (TRACE_ID, "4bf92f3577b34da6c3ce929d0e0e4736") == (
        traced.context.trace_id,
        traced.attributes["correlation.id"],
    )
    assert {"user": "ann"} == dict(baggage.get_all(context))


def test_sampler_sees_the_final_id(install: Callable[..., Bench]) -> None:
    """The sampler is asked with the derived trace ID and the attribute; if it drops that, it comes back."""
    sampler = RecordingSampler()
    bench = install(sampler=sampler)

    bench.tracer.start_span("server", extract({"x-request-id": "req-1"}), attributes={"a": 1}).end()

    assert [(ids.derive_trace_id("req-1"), {"correlation.id": "req-1", "a": 1})] == sampler.asked
    assert {"correlation.id": "req-1"} == dict(bench.spans()["server"].attributes)


def test_processors_see_the_id_at_the_start(install: Callable[..., Bench]) -> None:
    """Another span processor finds the correlation ID on the span when it starts."""
    seen: list[Any] = []

    class Watching(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            seen.append(span.attributes.get("correlation.id"))

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Watching())
    install()
    provider.get_tracer("other").start_span("server", extract({"x-request-id": "req-1"})).end()

    assert ["req-1"] == seen


def test_ratio_sampling_of_uuid_requests(install: Callable[..., Bench]) -> None:
    """A tenth of 10,000 requests with UUIDs is kept by a ratio of 0.1, give or take one percent."""
    bench = install(sampler=TraceIdRatioBased(0.1))
    chance = random.Random(7)

    for _ in range(10_000):
        value = uuid.UUID(int=chance.getrandbits(128), version=4)
        bench.tracer.start_span("server", extract({"x-request-id": str(value)}), SpanKind.SERVER).end()

    assert 900 <= len(bench.exporter.get_finished_spans()) <= 1100


def test_random_flag_is_only_on_random_ids(install: Callable[..., Bench]) -> None:
    """The W3C random flag is on IDs that Clew made, not on those that follow from a caller's."""
    bench = install()

    bench.tracer.start_span("derived", extract({"x-request-id": "req-1"})).end()
    bench.tracer.start_span("new", extract({})).end()

    flags = {name: int(span.context.trace_flags) for name, span in bench.spans().items()}
    assert {"derived": 0x01, "new": 0x03} == flags


def test_unsampled_spans_carry_the_id(install: Callable[..., Bench]) -> None:
    """A request that is not sampled still has its IDs for log records and for what goes out."""
    bench = install(sampler=ALWAYS_OFF)

    with bench.tracer.start_as_current_span("server", extract({"x-request-id": "req-1"})) as server:
        found = current_ids()
        with bench.tracer.start_as_current_span("child"):
            child = current_ids()

    context = server.get_span_context()
    assert CurrentIds(ids.derive_trace_id("req-1"), context.span_id, 0, "req-1") == found
    assert (found.trace_id, "req-1") == (child.trace_id, child.correlation_id)


def test_spans_outlive_the_context_that_brought_the_id(install: Callable[..., Bench]) -> None:
    """Where an instrumentation does not attach what it extracted (aiohttp), the handler's spans have the ID."""
    bench = install()

    with bind("server-start"), bench.tracer.start_as_current_span("server", extract({"x-request-id": "req-1"})):
        assert "req-1" == correlation_id()
        bench.tracer.start_span("child").end()

    assert "req-1" == bench.spans()["child"].attributes["correlation.id"]


def test_own_attribute_wins(install: Callable[..., Bench]) -> None:
    """A program that sets `correlation.id` on a span itself is not overruled."""
    bench = install()

    bench.tracer.start_span("mine", attributes={"correlation.id": "theirs"}).end()

    assert "theirs" == bench.spans()["mine"].attributes["correlation.id"]


class CountingIdGenerator(IdGenerator):
    """Counts up, as a test suite's generator does."""

    def __init__(self) -> None:
        self.last = 0

    def generate_span_id(self) -> int:
        """Return the next number."""
        self.last += 1
        return self.last

    def generate_trace_id(self) -> int:
        """Return the next number."""
        return self.generate_span_id()


def test_other_id_generators_stay(install: Callable[..., Bench]) -> None:
    """A program's own ID generator makes the IDs that follow from no request, and says if they are random."""
    bench = install(id_generator=CountingIdGenerator())

    bench.tracer.start_span("own").end()
    bench.tracer.start_span("derived", extract({"x-request-id": "req-1"})).end()

    own, derived = bench.spans()["own"].context, bench.spans()["derived"].context
    assert (1, 2, 0x01) == (own.trace_id, own.span_id, int(own.trace_flags))
    assert (ids.derive_trace_id("req-1"), 3) == (derived.trace_id, derived.span_id)


def test_a_sampler_that_starts_spans_does_not_take_the_id(install: Callable[..., Bench]) -> None:
    """The trace ID of a request goes to its own root span, not to one that a sampler starts meanwhile."""
    inner = install()

    class Starting(RecordingSampler):
        def should_sample(self, *args: Any, **options: Any) -> SamplingResult:
            inner.tracer.start_span("in sampler", Context()).end()
            return super().should_sample(*args, **options)

    bench = install(sampler=Starting())
    bench.tracer.start_span("server", extract({"x-request-id": "req-1"})).end()

    assert ids.derive_trace_id("req-1") == bench.spans()["server"].context.trace_id
    assert ids.derive_trace_id("req-1") != inner.spans()["in sampler"].context.trace_id


def test_trouble_of_ours_leaves_the_span(install: Callable[..., Bench], capfd: pytest.CaptureFixture[str]) -> None:
    """If the hook itself fails, the span starts as it would without, and one line tells it."""
    bench = install()
    planned = tracing._plan

    def fail(*_: object) -> None:
        raise LookupError("hostile")

    tracing._plan = fail  # type: ignore[assignment]
    try:
        bench.tracer.start_span("server", attributes={"a": 1}).end()
    finally:
        tracing._plan = planned

    assert {"a": 1} == dict(bench.spans()["server"].attributes)
    assert capfd.readouterr().err.startswith("clew: a span goes without its correlation ID: LookupError")


def test_installing_twice_hooks_once() -> None:
    """Installing is idempotent, and uninstalling puts the SDK's own method back."""
    from opentelemetry.sdk.trace import Tracer  # noqa: PLC0415 - read where it is compared

    original = Tracer.start_span
    tracing.install(Settings())
    hooked = Tracer.start_span
    tracing.install(Settings())

    assert hooked is Tracer.start_span
    assert hooked is not original
    tracing.uninstall()
    assert original is Tracer.start_span


def test_tracers_of_before_follow(install: Callable[..., Bench]) -> None:
    """A tracer that existed before the hook makes spans with the ID."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("early")
    install()

    span = tracer.start_span("server", extract({"x-request-id": "req-1"}))

    assert ids.derive_trace_id("req-1") == span.get_span_context().trace_id


def test_bound_work_is_a_trace_of_its_own(install: Callable[..., Bench]) -> None:
    """Inside a request, bound work starts a new trace; afterwards the request's span is current again."""
    bench = install()

    with bench.tracer.start_as_current_span("server", extract({"x-request-id": "req-1"})) as server:
        with bind("job-42"):
            bench.tracer.start_span("job").end()
        assert server is trace.get_current_span()

    job = bench.spans()["job"]
    assert (None, ids.derive_trace_id("job-42")) == (job.parent, job.context.trace_id)
    assert "job-42" == job.attributes["correlation.id"]


def test_new_bound_id_is_the_trace_id(install: Callable[..., Bench]) -> None:
    """Work bound without an ID gets a new one, which is its trace ID in hex."""
    bench = install()

    with bind() as made:
        bench.tracer.start_span("job").end()

    assert made == ids.trace_id_hex(bench.spans()["job"].context.trace_id)
    assert 0x03 == int(bench.spans()["job"].context.trace_flags)


def test_remote_span_of_no_ours(install: Callable[..., Bench]) -> None:
    """A span that another tracer left in the Context is a parent like any: its trace ID in hex is the ID."""
    bench = install()
    remote = trace.NonRecordingSpan(trace.SpanContext(TRACE_ID, 7, is_remote=True, trace_flags=trace.TraceFlags(1)))

    attach(trace.set_span_in_context(remote, get_current()))
    bench.tracer.start_span("child").end()

    assert "4bf92f3577b34da6c3ce929d0e0e4736" == bench.spans()["child"].attributes["correlation.id"]
