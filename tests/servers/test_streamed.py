"""A response that is made in parts is one request to its end, whatever server sends it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from programs import instrumented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver import Receiver

PROGRAMS = Path(__file__).parent / "programs"
GUNICORN = ("gunicorn", "-b", "127.0.0.1:{port}", "--graceful-timeout", "20")
UVICORN = ("uvicorn", "--port", "{port}", "--no-access-log")
CASES = {
    "flask": ((*GUNICORN, "streaming:flask_app"), "/parts"),
    "flask in threads": ((*GUNICORN, "-k", "gthread", "streaming:flask_app"), "/parts"),
    "django": ((*GUNICORN, "streaming:wsgi_app"), "/parts"),
    "django, asynchronous": ((*UVICORN, "streaming:asgi_app"), "/async-parts"),
}


@contextlib.contextmanager
def _serving(command: tuple[str, ...], port: int, receiver: Receiver, folder: Path) -> Iterator[None]:
    args = [part.format(port=port) for part in command]
    environ = {"PYTHONPATH": str(PROGRAMS)}
    with (
        (folder / "shown").open("wb") as shown,
        instrumented(args, receiver=receiver, cwd=folder, environ=environ, stdout=shown, stderr=shown) as process,
    ):
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(40)


def _get(port: int, path: str) -> bytes:
    """Ask once the server is up."""
    deadline_s = time.monotonic() + 20
    while not _is_up(port):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-Correlation-ID": "order-7"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def _is_up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("case", CASES)
def test_parts_are_inside_the_request(case: str, port: int, receiver: Receiver, tmp_path: Path) -> None:
    """What is logged while the parts are made has the trace, the span and the correlation ID of the request."""
    command, path = CASES[case]
    with _serving(command, port, receiver, tmp_path):
        body = _get(port, path)
    [span] = [span for span in receiver.spans if span.kind == "SERVER"]
    logs = [log for log in receiver.logs if log.scope == "parts"]

    assert b"part 0\npart 1\npart 2\n" == body
    assert ["part 0", "part 1", "part 2"] == [log.body for log in logs]
    assert [(span.trace_id, span.span_id, "order-7")] * 3 == [
        (log.trace_id, log.span_id, log.attributes["correlation.id"]) for log in logs
    ]


def test_next_request_is_another_one(port: int, receiver: Receiver, tmp_path: Path) -> None:
    """Nothing of a streamed response stays in the thread that sent it."""
    command, path = CASES["flask"]
    with _serving(command, port, receiver, tmp_path):
        for _ in range(3):
            _get(port, path)
    spans = [span for span in receiver.spans if span.kind == "SERVER"]

    assert [3 * [""], 3 * [3]] == [
        [span.parent_span_id for span in spans],
        [len([log for log in receiver.logs if log.span_id == span.span_id]) for span in spans],
    ]
