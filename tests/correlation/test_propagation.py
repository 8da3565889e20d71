"""The correlation ID comes out of any carrier cleaned, and goes into any carrier once."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate
from opentelemetry.context import Context, attach
from opentelemetry.instrumentation.asgi import ASGIGetter
from opentelemetry.instrumentation.wsgi import WSGIGetter
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter, default_getter
from opentelemetry.trace import SpanKind

from clew.correlation import ids, propagation
from clew.correlation.context import bind, correlation_id_in
from clew.correlation.origin import origin_in
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Bench

USABLE = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}", fullmatch=True)
TRACEPARENT = "00-4bf92f3577b34da6c3ce929d0e0e4736-00f067aa0ba902b7-01"

HOSTILE = {
    "crlf": "req-1\r\nSet-Cookie: a=b",
    "newline at the end": "req 1\n",
    "megabyte": "a" * 1_000_000,
    "nul": "req\x00-1",
    "invalid UTF-8": b"\xff\xfe\x80".decode("latin-1"),
    "lone surrogate": "req-\udcff",
    "markup": "<script>alert(1)</script>",
    "escape code": "\x1b[31mred",
    "other digits": "\u0661\u0662\u0663",
    "fullwidth": "\uff52\uff45\uff51",
    "leading space": " req-1 2",
    "trailing tab": "req 1\t",
    "quotes": "\"'`",
    "template": "${jndi:ldap://x}",
    "format": "%s%n%(trace_id)s",
    "path": "../../etc/passwd",
    "list": "req-1,req-2",
    "long": "a" * 129,
}
REPEATED = {
    "fifty different": [f"req-{number}" for number in range(50)],
    "hundred equal": ["req-1"] * 100,
    "two": ["req-1", "req-2"],
    "no text": [7, None],
    "bytes": [b"req-1"],
}


def _wsgi(value: str) -> tuple[dict[str, Any], Getter[Any]]:
    return {"HTTP_X_REQUEST_ID": value}, WSGIGetter()


def _asgi(value: str) -> tuple[dict[str, Any], Getter[Any]]:
    return {"headers": [(b"x-request-id", value.encode("utf-8", "surrogatepass"))]}, ASGIGetter()


def _mapping(value: str) -> tuple[dict[str, Any], Getter[Any]]:
    return {"x-request-id": value}, default_getter


def _baggage(value: str) -> tuple[dict[str, Any], Getter[Any]]:
    return {"baggage": f"correlation.id={quote(value, errors='surrogatepass')}"}, default_getter


class ListGetter(Getter[Any]):
    """Reads lists of pairs, as Kafka's headers are; minds the case."""

    def get(self, carrier: Any, key: str) -> list[Any] | None:
        """Return the values under `key`."""
        return [value for name, value in carrier if name == key] or None

    def keys(self, carrier: Any) -> list[str]:
        """Return all names."""
        return [name for name, _ in carrier]


@pytest.mark.parametrize("carrier", [_wsgi, _asgi, _mapping, _baggage])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_ids_reach_nothing(
    install: Callable[..., Bench],
    value: str,
    carrier: Callable[[str], tuple[dict[str, Any], Getter[Any]]],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hostile ID is in no span, no outbound header, no log record and no line on the console."""
    bench = install()
    headers, getter = carrier(value)
    outbound: dict[str, str] = {}

    logging.getLogger("opentelemetry.baggage.propagation").setLevel(logging.CRITICAL)  # tells what it drops
    with bench.tracer.start_as_current_span("server", propagate.extract(headers, getter=getter), SpanKind.SERVER):
        propagate.inject(outbound)
    logging.getLogger("opentelemetry.baggage.propagation").setLevel(logging.NOTSET)

    found = str(bench.spans()["server"].attributes["correlation.id"])
    assert ids.is_trace_id(found)
    assert found == outbound["x-correlation-id"]
    assert f"correlation.id={found}" == outbound["baggage"]
    span = bench.spans()["server"].to_json()
    told = [span, json.dumps(outbound), capfd.readouterr().err, caplog.text]
    assert [] == [text for text in told if value in text or value.strip() in text]


@pytest.mark.parametrize("values", REPEATED.values(), ids=REPEATED.keys())
def test_repeated_headers_are_ambiguous(install: Callable[..., Bench], values: list[Any]) -> None:
    """A header that comes with different values, too often, or as no text, is not taken."""
    install()

    context = propagate.extract([("x-request-id", value) for value in values], getter=ListGetter())

    assert origin_in(context) is None


@pytest.mark.parametrize("carrier", [{"x-request-id": ["req-1", "req-1"]}, {"x-request-id": "req-1, req-1"}])
def test_equal_repeats_are_one(install: Callable[..., Bench], carrier: dict[str, Any]) -> None:
    """A header that is repeated with the same value is that value, also where a server has joined them."""
    install()

    assert "req-1" == correlation_id_in(propagate.extract(carrier))


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-ID", "X-REQUEST-ID"])
def test_any_case_is_found(install: Callable[..., Bench], name: str) -> None:
    """Carriers that mind the case, such as message headers, are read in any."""
    install()

    assert "req-1" == correlation_id_in(propagate.extract({name: "req-1"}))
    assert "req-1" == correlation_id_in(propagate.extract([(name, "req-1")], getter=ListGetter()))


def test_rejections_are_counted(install: Callable[..., Bench], capfd: pytest.CaptureFixture[str]) -> None:
    """Each ID that is not taken is counted under its reason, and a caller can make the program print nothing."""
    install()
    before = propagation.rejected()

    for value in ("<b>", "a" * 129, ["a", "b"], [7], "", "fine"):
        propagate.extract({"x-request-id": value})

    after = propagation.rejected()
    counted = {reason: count - before.get(reason, 0) for reason, count in after.items()}
    assert {"characters": 1, "length": 1, "ambiguous": 1, "type": 1} == counted
    assert ("", "") == capfd.readouterr()


def test_celerys_task_id_is_left(install: Callable[..., Bench]) -> None:
    """Celery's own `correlation_id` is never read or written, even if the settings name it."""
    install(Settings(correlation_headers=("correlation_id", "x-request-id")))
    outbound: dict[str, str] = {}

    assert correlation_id_in(propagate.extract({"correlation_id": "task-1"})) is None
    with bind("req-1"):
        propagate.inject(outbound)
    assert {"x-request-id": "req-1", "baggage": "correlation.id=req-1"} == outbound


def test_outbound_request(install: Callable[..., Bench]) -> None:
    """What goes out has the trace, the header and one baggage entry, and the program's baggage as it was."""
    bench = install()
    outbound: dict[str, str] = {}
    inbound = {"x-request-id": "req-1", "baggage": "correlation.id=other,tenant=t%201"}

    attach(propagate.extract(inbound))
    with bench.tracer.start_as_current_span("server", kind=SpanKind.SERVER) as span:
        propagate.inject(outbound)

    here = span.get_span_context()
    assert {
        "traceparent": f"00-{ids.derive_trace_id('req-1'):032x}-{here.span_id:016x}-01",
        "baggage": "tenant=t+1,correlation.id=req-1",
        "x-correlation-id": "req-1",
    } == outbound


def test_outbound_where_the_extracted_context_is_not_attached(install: Callable[..., Bench]) -> None:
    """Only the span is needed for the ID to go out."""
    bench = install()
    outbound: dict[str, str] = {}

    with bench.tracer.start_as_current_span("server", propagate.extract({"x-request-id": "req-1"}), SpanKind.SERVER):
        propagate.inject(outbound)

    assert ("req-1", "correlation.id=req-1") == (outbound["x-correlation-id"], outbound["baggage"])


def test_outside_nothing_goes_out(install: Callable[..., Bench]) -> None:
    """A request sent outside any work has no header of ours."""
    install()
    outbound: dict[str, str] = {}

    propagate.inject(outbound)

    assert {} == outbound


@given(USABLE, st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20), max_size=4))
def test_round_trip(correlation_id: str, own: dict[str, str]) -> None:
    """What one process injects another extracts: the same ID, the same trace to come, the same baggage."""
    propagation.install(Settings())
    context = Context()
    for name, value in own.items():
        context = baggage.set_baggage(name, value, context)
    carrier: dict[str, str] = {}

    with bind(correlation_id):
        bound = propagate.extract({"x-correlation-id": correlation_id}, context)
        propagate.inject(carrier, bound)
    received = propagate.extract(carrier, Context())

    assert correlation_id == correlation_id_in(received)
    assert ids.derive_trace_id(correlation_id) == origin_in(received).trace_id  # type: ignore[union-attr]


@given(
    st.dictionaries(st.sampled_from(["x-request-id", "x-correlation-id", "x-amzn-trace-id"]), st.text() | st.binary())
)
def test_extraction_never_raises(carrier: dict[str, Any]) -> None:
    """Any text or bytes in the headers give a Context, with a usable ID or none."""
    found = correlation_id_in(propagation.ClewPropagator(Settings()).extract(carrier))

    assert found is None or found == ids.clean(found)


class BrokenCarrier(dict[str, Any]):
    """Raises whatever is asked of it."""

    def get(self, *_: Any) -> Any:
        """Raise."""
        raise LookupError("broken")

    def __setitem__(self, *_: Any) -> None:
        raise LookupError("broken")


def test_broken_carriers_are_survived() -> None:
    """A carrier that raises leaves the request without an ID and the program running."""
    ours = propagation.ClewPropagator(Settings())
    context = Context({"own": 1})

    assert context is ours.extract(BrokenCarrier(), context)
    with bind("req-1"):
        ours.inject(BrokenCarrier())


@pytest.mark.parametrize("value", ["leading and trailing", " req-1\t"])
def test_spaces_around_an_id(install: Callable[..., Bench], value: str) -> None:
    """A header with spaces in or around it is refused; trimming is the server's job."""
    install()

    assert correlation_id_in(propagate.extract({"x-request-id": value})) is None


@pytest.mark.parametrize(
    ("traceparent", "tracestate", "expected"),
    [
        (TRACEPARENT, "foo=1,bar=2", ("4bf92f3577b34da6c3ce929d0e0e4736", 1, "foo=1,bar=2")),
        (TRACEPARENT[:-1] + "0", None, ("4bf92f3577b34da6c3ce929d0e0e4736", 0, None)),
        ("cc" + TRACEPARENT[2:] + "-what-the-future-holds", None, ("4bf92f3577b34da6c3ce929d0e0e4736", 1, None)),
        ("ff" + TRACEPARENT[2:], "foo=1", None),
        (TRACEPARENT + "-more", "foo=1", None),
        (TRACEPARENT.upper(), "foo=1", None),
        ("00-" + "0" * 32 + TRACEPARENT[35:], "foo=1", None),
        (TRACEPARENT[:36] + "0" * 16 + "-01", "foo=1", None),
    ],
)
def test_w3c_trace_context(
    install: Callable[..., Bench],
    traceparent: str,
    tracestate: str | None,
    expected: tuple[str, int, str | None] | None,
) -> None:
    """A valid trace passes on unchanged in meaning, an invalid one starts another, with a correlation ID or without."""
    bench = install()
    inbound = {"traceparent": traceparent, **({"tracestate": tracestate} if tracestate else {})}

    for extra in ({}, {"x-request-id": "req-1"}):
        outbound: dict[str, str] = {}
        with bench.tracer.start_as_current_span("server", propagate.extract({**inbound, **extra}), SpanKind.SERVER):
            propagate.inject(outbound)
        trace_id, flags = outbound["traceparent"][3:35], int(outbound["traceparent"][53:], 16) & 1
        if expected is not None:
            assert expected == (trace_id, flags, outbound.get("tracestate"))
        else:
            assert traceparent[3:35].lower() != trace_id
            assert "tracestate" not in outbound


def test_no_propagation_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `OTEL_PROPAGATORS=none` nothing of ours is read or written."""
    monkeypatch.setenv("OTEL_PROPAGATORS", "none")
    before = propagate.get_global_textmap()

    propagation.install(Settings())

    assert before is propagate.get_global_textmap()


def test_installing_twice_appends_once() -> None:
    """Installing is idempotent, and uninstalling puts the program's own propagator back."""
    before = propagate.get_global_textmap()
    propagation.install(Settings())
    once = propagate.get_global_textmap()
    propagation.install(Settings())

    assert once is propagate.get_global_textmap()
    assert {"traceparent", "tracestate", "baggage", "x-correlation-id"} == once.fields
    propagation.uninstall()
    assert before is propagate.get_global_textmap()


def test_headers_that_are_read(install: Callable[..., Bench]) -> None:
    """What the propagators read is known for upstream's default ones, and unknown beside any other."""
    assert None is propagation.inbound_headers()

    install(Settings(correlation_headers=("x-order",)))

    assert {"traceparent", "baggage", "x-order", "x-amzn-trace-id"} == propagation.inbound_headers()
    propagation.uninstall()
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([before, _Other()]))
    try:
        propagation.install(Settings())
        assert None is propagation.inbound_headers()
    finally:
        propagation.uninstall()
        propagate.set_global_textmap(before)


class _Other(propagation.ClewPropagator):
    """A propagator that Clew knows nothing of."""


@pytest.mark.parametrize("trust", ["all", "none"])
def test_nothing_comes_from_other_headers(install: Callable[..., Bench], trust: Any) -> None:
    """A request without any of the headers that are read gives an empty Context."""
    install(Settings(correlation_trust=trust))

    assert Context() == propagate.extract({"host": "shop", "tracestate": "a=b", "user-agent": "x"})
