"""A correlation header that is no usable ID reaches no span, log, header or file, in any server."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import TYPE_CHECKING

import pytest
from serving import SERVERS, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from receiver import Receiver

MARK = b"evil<mark"
"""Holds a character that no ID has, so that no part of a value that holds it is an ID either."""
GOOD_MARK = b"evilword"
"""An ID by itself; what makes it none is how it is sent."""

HOSTILE = {
    "line breaks": b"%s\r\nx-injected: %s" % (MARK, MARK),
    "a bare line feed": b"%s\nx-injected: %s" % (MARK, MARK),
    "a megabyte": GOOD_MARK * 131_072,
    "too long by one": GOOD_MARK * 16 + b"x",
    "a zero byte": b"%s\x00%s" % (GOOD_MARK, GOOD_MARK),
    "invalid UTF-8": b"%s\xff\xfe%s" % (GOOD_MARK, GOOD_MARK),
    "a letter of another alphabet": "\N{CYRILLIC SMALL LETTER IE}".encode() + GOOD_MARK,
    "markup": b"<script>%s</script>" % GOOD_MARK,
    "escape codes": b"\x1b[31m%s\x1b[0m" % GOOD_MARK,
    "quotes": b'"%s"' % GOOD_MARK,
    "a format": b"%s${jndi:ldap://x}" % GOOD_MARK,
    "a space": b"%s %s" % (GOOD_MARK, GOOD_MARK),
    "a percent code": b"%s%%0d%%0aset-cookie:a" % GOOD_MARK,
    "a dash in front": b"-%s" % GOOD_MARK,
    "two values": b"%s1,%s2" % (GOOD_MARK, GOOD_MARK),
}
REPEATED = b"".join(b"x-correlation-id: %s%d\r\n" % (GOOD_MARK, number) for number in range(50))
_MADE_ID = re.compile(r"[0-9a-f]{32}")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


def _send(port: int, headers: bytes) -> bytes:
    """Send one raw request and return all that comes back; a server may also cut the connection."""
    request = b"GET /call HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n%s\r\n" % headers
    received = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.settimeout(20)
        with contextlib.suppress(OSError):
            client.sendall(request)
        while chunk := client.recv(65536):
            received += chunk
    return received


def _all_telemetry(receiver: Receiver, folder: Path) -> Iterator[bytes]:
    """Return each record and each file of Clew's, but for what aiohttp itself writes of a request that it refuses."""
    own = [record for record in receiver.logs if record.scope != "aiohttp.server"]
    for record in (*receiver.spans, *receiver.metrics, *own):
        yield repr(record).encode()
    for path in (folder / "clew").rglob("*.*"):
        yield path.read_bytes()


def _is_marked(data: bytes) -> bool:
    return MARK in data or GOOD_MARK in data


def _accepted(answers: dict[str, bytes]) -> dict[str, bytes]:
    """Return what was served; a request that the server itself refuses never gets to Clew."""
    statuses = {case: _STATUS.match(answer) for case, answer in answers.items()}
    return {case: answers[case] for case, status in statuses.items() if status and status[1] == b"200"}


def _outbound_id(answer: bytes) -> str:
    """Return the ID that the service sent on: its body is the headers that the second server saw."""
    body = answer[answer.index(b"{") : answer.rindex(b"}") + 1]
    return str(json.loads(body)["x-correlation-id"])


@pytest.mark.parametrize(
    "name",
    [
        "flask-gunicorn",
        "asgi-uvicorn",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("flask-werkzeug", "fastapi-uvicorn", "aiohttp", "django-runserver", "wsgi-wsgiref")
        ),
    ],
)
def test_reaches_nothing(name: str, receiver: Receiver, echo_url: str, tmp_path: Path) -> None:
    """Neither what goes out nor what is kept holds any of it."""
    environ = {"ECHO_URL": echo_url}
    with running(SERVERS[name], receiver, tmp_path, protocol="http/protobuf", environ=environ) as server:
        answers = {case: _send(server.port, b"x-correlation-id: %s\r\n" % value) for case, value in HOSTILE.items()}
        answers["repeated 50 times"] = _send(server.port, REPEATED)
        good = server.call([("x-correlation-id", "order-42")])

    served = _accepted(answers)
    assert {"markup", "a space", "quotes", "two values"} <= served.keys()
    assert [] == [case for case, answer in served.items() if _is_marked(answer)]
    assert [] == [case for case, answer in served.items() if not _MADE_ID.fullmatch(_outbound_id(answer))]
    assert "order-42" == good.outbound["x-correlation-id"]
    assert [] == [data for data in _all_telemetry(receiver, tmp_path) if _is_marked(data)]
