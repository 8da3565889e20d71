"""A transport sends one request, says what came of it, and never raises."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from pipelines import make_span

from clew.delivery import endpoints
from clew.delivery.encode import encode
from clew.delivery.endpoints import is_otlp, make_transport
from clew.delivery.plain_exchange import PlainExchange
from clew.delivery.transport import HttpTransport, Outcome, accepted, retry_after_s

if TYPE_CHECKING:
    from clew.delivery.transport import Encoding, Transport
    from receiver import Receiver

PAYLOAD = encode("traces", "protobuf", [make_span("one")], None).payload
JSON_PAYLOAD = encode("traces", "json", [make_span("one")], None).payload


def connect(receiver: Receiver, *, encoding: Encoding = "protobuf", **options: Any) -> Transport:
    """Make the transport that an HTTP exporter to `receiver` stands for."""
    transport = make_transport(
        OTLPSpanExporter(f"{receiver.http_endpoint}/v1/traces", **options), "traces", encoding=encoding
    )
    assert transport is not None
    return transport


def connect_grpc(receiver: Receiver, **options: Any) -> Transport:
    """Make the transport that a gRPC exporter to `receiver` stands for."""
    transport = make_transport(GrpcSpanExporter(receiver.grpc_endpoint, insecure=True, **options), "traces")
    assert transport is not None
    return transport


def exchange_of(transport: Transport) -> object:
    """Return what carries out an HTTP transport's requests."""
    assert isinstance(transport, HttpTransport)
    return transport._exchange


class ProxiedSession(requests.Session):
    """A session that a credential provider might return."""


@pytest.fixture(params=["plain", "session", "json", "grpc"])
def transport(request: pytest.FixtureRequest, receiver: Receiver) -> Transport:
    """Each kind of transport to the receiver."""
    if request.param == "grpc":
        return connect_grpc(receiver)
    if request.param == "session":
        return connect(receiver, session=ProxiedSession())
    return connect(receiver, encoding="json" if request.param == "json" else "protobuf")


def payload_for(transport: Transport) -> bytes:
    """Return a request in the transport's encoding."""
    return JSON_PAYLOAD if transport.encoding == "json" else PAYLOAD


def test_accepted(transport: Transport, receiver: Receiver) -> None:
    """A request arrives as it was given, over one connection or another."""
    outcomes = [transport.send(payload_for(transport), 5) for _ in range(3)]

    assert [Outcome("accepted")] * 3 == outcomes
    assert ["one"] * 3 == [span.name for span in receiver.spans]
    transport.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "busy"),
        (503, "unreachable or busy"),
        (504, "unreachable or busy"),
        (400, "invalid"),
        (401, "refused"),
        (404, "refused"),
        (500, "refused"),
    ],
)
def test_not_accepted(status: int, kind: str, transport: Transport, receiver: Receiver) -> None:
    """Each status says whether to come again, to send less, or to give up (OTLP specification, "Failures")."""
    receiver.respond(status)

    assert transport.send(payload_for(transport), 5).kind in kind
    transport.close()


def test_retry_after(transport: Transport, receiver: Receiver) -> None:
    """How long the Collector wants to be left alone is handed on."""
    receiver.respond(503, retry_after=7)

    assert 7 == transport.send(payload_for(transport), 5).retry_after_s
    transport.close()


def test_rejected(transport: Transport, receiver: Receiver) -> None:
    """Partial success says how many were not taken, and why."""
    receiver.respond(rejected=3, message="no room")

    assert Outcome("accepted", 3, "no room") == transport.send(payload_for(transport), 5)
    transport.close()


def test_unreachable(transport: Transport, receiver: Receiver) -> None:
    """An endpoint that is away is said to be, and found again when it is back, though the connection was kept."""
    assert "accepted" == transport.send(payload_for(transport), 5).kind
    receiver.stop()
    assert "unreachable" == transport.send(payload_for(transport), 5).kind
    receiver.start()
    assert "accepted" == transport.send(payload_for(transport), 5).kind
    transport.close()


def test_kept_connection_closed(transport: Transport, receiver: Receiver) -> None:
    """A kept connection that the other side closed costs nothing: the request goes over a new one."""
    assert "accepted" == transport.send(payload_for(transport), 5).kind
    receiver.stop()
    receiver.start()

    assert transport.send(payload_for(transport), 5).kind in {"accepted", "unreachable"}
    assert "accepted" == transport.send(payload_for(transport), 5).kind
    transport.close()


def test_timeout(transport: Transport, receiver: Receiver) -> None:
    """An endpoint that hangs is given up after the time it is given."""
    receiver.hang(30)
    begun = time.monotonic()

    assert "unreachable" == transport.send(payload_for(transport), 0.3).kind
    assert time.monotonic() - begun < 8
    receiver.stop()
    transport.close()


def test_fork(transport: Transport, receiver: Receiver) -> None:
    """A forked child has a connection of its own, and the parent's still works."""
    if type(transport).__name__ == "GrpcTransport":
        pytest.skip("gRPC cannot fork beside the receiver's threads; the lifecycle tests fork")
    assert "accepted" == transport.send(payload_for(transport), 5).kind
    child = os.fork()
    if not child:
        transport.abandon()
        os._exit(0 if transport.send(payload_for(transport), 5).kind == "accepted" else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == status
    assert "accepted" == transport.send(payload_for(transport), 5).kind
    assert 3 == len(receiver.spans)
    transport.close()


@pytest.mark.parametrize(
    ("compression", "undo"),
    [(Compression.Gzip, gzip.decompress), (Compression.Deflate, zlib.decompress), (Compression.NoCompression, bytes)],
)
def test_compression(compression: Compression, undo: Any, receiver: Receiver) -> None:
    """OTEL_EXPORTER_OTLP_COMPRESSION holds."""
    transport = connect(receiver, compression=compression)
    transport.send(PAYLOAD, 5)

    (request,) = receiver.requests
    assert PAYLOAD == undo(request.body)
    assert ["one"] == [span.name for span in receiver.spans]
    transport.close()


def test_headers(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_HEADERS are sent, over HTTP and gRPC, and the content type says which encoding it is."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token,x-tenant=a")
    for transport in (connect(receiver), connect_grpc(receiver), connect(receiver, encoding="json")):
        assert Outcome("accepted") == transport.send(payload_for(transport), 5)
        transport.close()

    sent = [(item.headers["authorization"], item.headers["x-tenant"]) for item in receiver.requests]
    assert [("Bearer token", "a")] * 3 == sent
    assert ["http/protobuf", "grpc", "http/json"] == [request.protocol for request in receiver.requests]


@pytest.mark.parametrize("make_session", [requests.Session, ProxiedSession])
def test_session_headers(make_session: type[requests.Session], receiver: Receiver) -> None:
    """A token that a session's owner renews is the one that the next request has; what upstream sets itself wins."""
    session = make_session()
    session.headers["X-Tenant"] = "of the session"
    transport = connect(receiver, session=session, headers={"x-tenant": "of the exporter"})
    for token in ("first", "second"):
        session.headers["Authorization"] = f"Bearer {token}"
        assert Outcome("accepted") == transport.send(PAYLOAD, 5)
    transport.close()

    assert ["Bearer first", "Bearer second"] == [item.headers["authorization"] for item in receiver.requests]
    assert {"of the exporter"} == {item.headers["x-tenant"] for item in receiver.requests}


def test_plain_where_it_is_the_same(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare connection is used unless TLS, a proxy or a session of the user's asks for upstream's transport."""
    assert isinstance(exchange_of(connect(receiver)), PlainExchange)
    with_session = connect(receiver, session=ProxiedSession())
    secure = make_transport(OTLPSpanExporter("https://127.0.0.1:1/v1/traces"), "traces")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:2")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:2")
    monkeypatch.setenv("no_proxy", "localhost")
    proxied = make_transport(OTLPSpanExporter("http://collector.test/v1/traces"), "traces")

    assert secure is not None
    assert proxied is not None
    kinds = [isinstance(exchange_of(item), PlainExchange) for item in (with_session, secure, proxied)]
    assert [False, False, False] == kinds


def test_endpoint_is_shown_without_secrets() -> None:
    """What a person is told of an endpoint holds no credentials."""
    transport = make_transport(OTLPSpanExporter("http://user:secret@127.0.0.1:4318/v1/traces?key=secret"), "traces")

    assert transport is not None
    assert "http://127.0.0.1:4318/v1/traces" == transport.endpoint


def test_unknown_release(capfd: pytest.CaptureFixture[str]) -> None:
    """Where upstream's exporter hides what is needed there is no transport, one line says so, and it can still send."""
    exporter = OTLPSpanExporter("http://127.0.0.1:1/v1/traces")
    for name in ("_endpoint", "_client"):
        exporter.__dict__.pop(name, None)

    assert None is make_transport(exporter, "traces")
    assert "clew: traces go through upstream's exporter, without a spool" in capfd.readouterr().err


def test_other_release(receiver: Receiver) -> None:
    """Exporters of releases before and after upstream's own transport are both understood."""
    session = requests.Session()
    url = f"{receiver.http_endpoint}/v1/traces"
    client = SimpleNamespace(
        _endpoint=url, _timeout=4.0, _headers={"x-tenant": "a"}, _transport=SimpleNamespace(_session=session)
    )
    new = SimpleNamespace(_compression=Compression.NoCompression, _client=client)
    old = SimpleNamespace(
        _endpoint=url,
        _timeout=3.0,
        _compression=Compression.NoCompression,
        _certificate_file=True,
        _client_cert=None,
        _session=session,
    )
    transports = [endpoints._http(exporter, "traces", "protobuf") for exporter in (old, new)]

    assert [3.0, 4.0] == [transport.timeout_s for transport in transports]
    assert ["accepted"] * 2 == [transport.send(PAYLOAD, 5).kind for transport in transports]
    assert ["", "a"] == [request.headers.get("x-tenant", "") for request in receiver.requests]
    for transport in transports:
        transport.close()


def test_urllib3_release(receiver: Receiver) -> None:
    """Releases whose exporters use urllib3 need no requests: bare where it is the same, theirs where there is TLS."""
    urllib3 = pytest.importorskip("opentelemetry.exporter.http.transport._urllib3").Urllib3HTTPTransport()
    urls = (f"{receiver.http_endpoint}/v1/traces", "https://127.0.0.1:1/v1/traces")
    clients = [SimpleNamespace(_endpoint=url, _timeout=4.0, _headers={}, _transport=urllib3) for url in urls]
    exporters = [SimpleNamespace(_compression=Compression.NoCompression, _client=client) for client in clients]
    bare, secure = (endpoints._http(exporter, "traces", "protobuf") for exporter in exporters)
    theirs = endpoints._UpstreamExchange(urllib3, urls[0], {"Content-Type": "application/x-protobuf"})
    before = urllib3._pool

    assert [True, False] == [isinstance(exchange_of(item), PlainExchange) for item in (bare, secure)]
    assert "accepted" == bare.send(PAYLOAD, 5).kind
    assert 200 == theirs.post(PAYLOAD, 5)[0]
    theirs.abandon()
    assert urllib3._pool is not before
    assert 200 == theirs.post(PAYLOAD, 5)[0]
    assert 3 == len(receiver.spans)
    for item in (bare, theirs):
        item.close()
    before.clear()


def test_is_otlp(receiver: Receiver) -> None:
    """Upstream's OTLP exporters are told from all others."""
    exporters = (OTLPSpanExporter(), GrpcSpanExporter(receiver.grpc_endpoint, insecure=True), object())

    assert [True, True, False] == [is_otlp(exporter) for exporter in exporters]
    exporters[1].shutdown()  # type: ignore[attr-defined]  # the gRPC one


@given(st.text())
def test_any_retry_after(text: str) -> None:
    """Whatever stands in Retry-After is a pause of at least nothing, or none."""
    pause_s = retry_after_s(text)

    assert pause_s is None or 0 <= pause_s < float("inf")


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""])
def test_retry_after_date(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After may be a date (RFC 9110, 10.2.3), in UTC wherever this machine is."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert 30 == retry_after_s(f"Wed, 21 Oct 2015 07:28:00 {zone}", lambda: 1445412450)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("zone", ["+9999999", "+99999999999999999999"])
def test_retry_after_nonsense(zone: str) -> None:
    """A date in no zone of this world says nothing."""
    assert None is retry_after_s(f"Wed, 21 Oct 2015 07:28:00 {zone}")


def test_long_message() -> None:
    """Of what a server says at length the beginning is kept."""
    body = b'{"partialSuccess":{"errorMessage":"%s"}}' % (b"no " * 1000)

    assert ("no " * 1000)[:500] == accepted("logs", "json", body).detail


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("protobuf", b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("json", b'{"partialSuccess":{"rejectedSpans":"-1"}}'),
    ],
)
def test_fewer_than_none_rejected(encoding: Encoding, body: bytes) -> None:
    """A partial success with a negative number rejects none."""
    assert Outcome("accepted") == accepted("traces", encoding, body)


@given(st.binary(), st.sampled_from(["traces", "logs", "metrics"]), st.sampled_from(["protobuf", "json"]))
def test_any_answer(body: bytes, signal: str, encoding: Any) -> None:
    """Whatever an accepted request is answered with, it is accepted."""
    assert "accepted" == accepted(signal, encoding, body).kind
