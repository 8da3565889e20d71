"""A request has one ID in its span, logs, access line, outbound call, response and metrics, in every server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pytest
from serving import SERVERS, VARIANTS, Reply, Server, running

from clew.correlation.ids import derive_trace_id, trace_id_hex

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver
    from telemetry import LogRecord

UUID = "0b8ae5f0-8c0c-4a9e-b2d5-0d8b2c5f3a11"
ORDER = "order-42"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"

REQUESTS: dict[str, list[tuple[str, str]]] = {
    "uuid": [("x-correlation-id", UUID)],
    "second header": [("x-request-id", ORDER)],
    "traceparent": [("x-correlation-id", "wins-not"), ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")],
    "nothing": [],
}


class Seen(NamedTuple):
    """Where one request left its two IDs."""

    server_spans: list[tuple[str, str, str]]
    logs: list[tuple[str, str, str]]
    access_lines: list[tuple[str, str]]
    outbound: tuple[str, str, str]
    response: tuple[str, str]


def _expected(trace_id: str, correlation_id: str, parent_id: str, server: Server) -> Seen:
    return Seen(
        server_spans=[(trace_id, parent_id, correlation_id)],
        logs=[(trace_id, "in server span", correlation_id)],
        access_lines=[(trace_id, correlation_id)] if server.access_logger else [],
        outbound=(trace_id, correlation_id, correlation_id),
        response=(trace_id, correlation_id),
    )


def _seen(receiver: Receiver, server: Server, reply: Reply, trace_id: str) -> Seen:
    """Collect what belongs to the trace."""
    spans = [span for span in receiver.spans if span.trace_id == trace_id and span.kind == "SERVER"]
    logs = [record for record in receiver.logs if record.trace_id == trace_id]
    server_ids = {span.span_id for span in spans}
    return Seen(
        server_spans=[(span.trace_id, span.parent_span_id, span.attributes.get("correlation.id")) for span in spans],
        logs=[
            (item.trace_id, "in server span" if item.span_id in server_ids else "elsewhere", _correlation_id(item))
            for item in logs
            if item.scope == "shop"
        ],
        access_lines=[(item.trace_id, _correlation_id(item)) for item in logs if item.scope == server.access_logger],
        outbound=_outbound(reply.outbound),
        response=(_trace_id(reply.headers, "traceresponse"), reply.headers.get("x-correlation-id", "")),
    )


def _trace_id(headers: dict[str, str], name: str) -> str:
    return headers.get(name, "-" * 3).split("-")[1]


def _correlation_id(record: LogRecord) -> Any:
    return record.attributes.get("correlation.id")


def _outbound(headers: dict[str, str]) -> tuple[str, str, str]:
    baggage = dict(part.split("=", 1) for part in headers.get("baggage", "").split(",") if "=" in part)
    return (
        _trace_id(headers, "traceparent"),
        headers.get("x-correlation-id", ""),
        unquote(baggage.get("correlation.id", "")),
    )


AFTERWARDS = frozenset({"django-runserver"})
"""Servers whose daemon threads write the access line when they have answered: SIGTERM may come before it."""


def await_access_lines(receiver: Receiver, server: Server) -> None:
    """Wait for the access line of each request."""
    receiver.wait_for(
        lambda got: [item for item in got.logs if item.scope == server.access_logger][len(REQUESTS) - 1 :]
    )


def _ids(name: str, reply: Reply) -> tuple[str, str, str]:
    """Return the trace ID, the correlation ID and the parent that the request must have."""
    if name == "traceparent":
        return TRACE_ID, "wins-not", PARENT_ID
    if name == "nothing":
        made = reply.headers.get("x-correlation-id", "")
        return made, made, ""
    correlation_id = REQUESTS[name][0][1]
    return trace_id_hex(derive_trace_id(correlation_id, None)), correlation_id, ""


def _flat(seen: dict[str, Seen]) -> dict[str, Any]:
    """Return one item for each place of each request, so that a failure names both."""
    return {f"{request}: {place}": found for request, item in seen.items() for place, found in item._asdict().items()}


@pytest.mark.parametrize(
    "protocol", ["http/protobuf", pytest.param("grpc", marks=pytest.mark.slow)], ids=["http", "grpc"]
)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in VARIANTS)) for name in SERVERS]
)
def test_one_id_everywhere(name: str, protocol: str, receiver: Receiver, echo_url: str, tmp_path: Path) -> None:
    """Each request's IDs are where they belong, and the latency metric points back at its traces."""
    server = SERVERS[name]

    with running(server, receiver, tmp_path, protocol=protocol, environ={"ECHO_URL": echo_url}) as started:
        replies = {request: started.call(headers) for request, headers in REQUESTS.items()}
        if name in AFTERWARDS:
            await_access_lines(receiver, server)

    ids = {request: _ids(request, reply) for request, reply in replies.items()}
    assert _flat({request: _expected(*ids[request], server) for request in REQUESTS}) == _flat(
        {request: _seen(receiver, server, replies[request], ids[request][0]) for request in REQUESTS}
    )
    assert len(REQUESTS) == len([span for span in receiver.spans if span.kind == "SERVER"])
    if name != "grpc":
        _check_latency(receiver, {trace_id for trace_id, _, _ in ids.values()})


@pytest.mark.parametrize("name", ["flask-werkzeug", "wsgi-wsgiref"])
def test_server_started_in_a_trace(name: str, receiver: Receiver, echo_url: str, tmp_path: Path) -> None:
    """The lines of a request are in its own trace, not in that of the script which started the server."""
    server = SERVERS[name]
    started_in = {"ECHO_URL": echo_url, "TRACEPARENT": f"00-{TRACE_ID}-{PARENT_ID}-01"}

    with running(server, receiver, tmp_path, protocol="http/protobuf", environ=started_in) as started:
        reply = started.call([("x-request-id", ORDER)])

    trace_id = trace_id_hex(derive_trace_id(ORDER, None))
    assert _expected(trace_id, ORDER, "", server) == _seen(receiver, server, reply, trace_id)


def _check_latency(receiver: Receiver, trace_ids: set[str]) -> None:
    """The last point counts the requests, in seconds, with exemplars of theirs."""
    points = [point for point in receiver.metrics if point.name == "http.server.request.duration"]
    exemplars = {exemplar.trace_id for point in points for exemplar in point.exemplars}

    assert ({"s"}, len(REQUESTS)) == ({point.unit for point in points}, max(point.count for point in points))
    assert exemplars
    assert exemplars <= trace_ids
