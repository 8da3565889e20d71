"""Whatever comes back from an endpoint, or does not, a request ends in time and is told for what it was."""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from pipelines import make_span
from raw_server import OK, answering

from clew.delivery import endpoints
from clew.delivery.encode import encode
from clew.delivery.endpoints import make_transport
from clew.delivery.plain_exchange import MAX_REPLY_BYTES
from clew.delivery.transport import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.delivery.transport import Transport

PAYLOAD = encode("traces", "protobuf", [make_span("one")], None).payload
REJECTED = b"\x0a\x0a\x08\x03\x12\x06no use"


class OwnSession(requests.Session):
    """A session that a program makes for itself: upstream's transport is used then."""


def connect(url: str, *, plain: bool = True) -> Transport:
    """Make the transport that an exporter to `url` stands for."""
    session = None if plain else OwnSession()
    transport = make_transport(OTLPSpanExporter(f"{url}/v1/traces", session=session), "traces")
    assert transport is not None
    return transport


def timed_send(transport: Transport, timeout_s: float) -> tuple[Outcome, float]:
    """Send once, and return what came of it and how long it took."""
    begun = time.monotonic()
    outcome = transport.send(PAYLOAD, timeout_s)
    return outcome, time.monotonic() - begun


@pytest.mark.parametrize("answer", [[bytes([byte]) for byte in OK], [OK.replace(b"0", b"9"), *[b"x"] * 99]])
def test_slow_answer(answer: Sequence[bytes]) -> None:
    """An answer that comes byte by byte, its head or its body, is waited for no longer than any other."""
    with answering(answer, pace_s=0.2) as url:
        transport = connect(url)
        outcome, took_s = timed_send(transport, 0.5)
        transport.close()

    assert "unreachable" == outcome.kind
    assert took_s < 3


@pytest.mark.parametrize("plain", [True, False])
def test_time_of_a_second_connection(*, plain: bool) -> None:
    """Where a request needs a second connection, both have the time of one: that request's, not an earlier one's."""
    closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with answering([closing], [b""] * 20, pace_s=0.2) as url:
        transport = connect(url, plain=plain)
        first, _ = timed_send(transport, 5)
        second, took_s = timed_send(transport, 0.5)
        transport.close()

    assert ["accepted", "unreachable"] == [first.kind, second.kind]
    assert took_s < 3


def test_time_of_urllib3s_second_connection() -> None:
    """It is the same with upstream's urllib3, which makes it only where a connection broke, not where it waited."""
    transport = pytest.importorskip("opentelemetry.exporter.http.transport._urllib3").Urllib3HTTPTransport()
    with answering([b""], [b""] * 20, pace_s=0.2) as url:
        exchange = endpoints._UpstreamExchange(transport, url, {})
        begun = time.monotonic()
        with pytest.raises(Exception, match="Read timed out"):
            exchange.post(PAYLOAD, 0.5)
        took_s = time.monotonic() - begun
        exchange.close()

    assert took_s < 3


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
    ],
)
def test_no_answer(answer: bytes, *, resets: bool, plain: bool) -> None:
    """What is no HTTP, or ends too early, is no answer; the next request goes over a new connection."""
    with answering([answer], [answer], [OK], resets=resets) as url:
        transport = connect(url, plain=plain)
        outcomes = [transport.send(PAYLOAD, 5) for _ in range(3)]
        transport.close()

    assert "unreachable" == outcomes[0].kind
    assert "accepted" == outcomes[-1].kind


def test_answer_in_chunks() -> None:
    """A partial success is read from a body whose length was not said."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (REJECTED[:5], REJECTED[5:])]
    with answering([head, *chunks, b"0\r\n\r\n"]) as url:
        transport = connect(url)

        assert Outcome("accepted", 3, "no use") == transport.send(PAYLOAD, 5)
        transport.close()


@pytest.mark.parametrize("length", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
def test_endless_answer(length: bytes) -> None:
    """Of an answer that is longer than any that makes sense only the beginning is read."""
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with answering(
        [b"HTTP/1.1 200 OK\r\n", length, b"\r\n\r\n", *[piece] * (MAX_REPLY_BYTES // 65536 + 100)], [OK]
    ) as url:
        transport = connect(url)
        outcomes = [transport.send(PAYLOAD, 5) for _ in range(2)]
        transport.close()

    assert [Outcome("accepted")] * 2 == outcomes


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(status: int, *, plain: bool) -> None:
    """A redirect is a refusal: nobody said that records and their headers may go elsewhere."""
    with answering([OK]) as elsewhere:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere}/v1/traces\r\nContent-Length: 0\r\n\r\n"
        with answering([moved.encode()]) as url:
            transport = connect(url, plain=plain)

            assert Outcome("refused", detail=f"HTTP {status}") == transport.send(PAYLOAD, 5)
            transport.close()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_come_again(status: int, *, plain: bool) -> None:
    """A server that asks for time may say until when, by a date."""
    until_s = int(time.time() + 60)
    until = email.utils.formatdate(until_s, usegmt=True)
    busy = f"HTTP/1.1 {status} Busy\r\nretry-after: {until}\r\nContent-Length: 0\r\n\r\n"
    with answering([busy.encode()]) as url:
        transport = connect(url, plain=plain)
        begun_s = time.time()
        outcome = transport.send(PAYLOAD, 5)
        ended_s = time.time()
        transport.close()

    assert ("busy", f"HTTP {status}") == (outcome.kind, outcome.detail)
    assert until_s - ended_s <= (outcome.retry_after_s or 0) <= until_s - begun_s
