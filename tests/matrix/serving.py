"""Real servers under `opentelemetry-instrument`, and the second server that they call."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from programs import instrumented

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from receiver import Receiver

APPS = Path(__file__).parent / "apps"
_GUNICORN = ("gunicorn", "--bind", "127.0.0.1:0", "--access-logfile", "-")
_UVICORN = ("uvicorn", "--port", "0")
_ADDRESS = re.compile(r"127\.0\.0\.1:([1-9]\d*)")
_START_S = 30.0


class Server(NamedTuple):
    """A server of the matrix: its command and the logger of its access lines, empty if it has none."""

    command: tuple[str, ...]
    access_logger: str = ""


SERVERS = {
    "flask-werkzeug": Server(("flask", "--app", "flask_app", "run", "--port", "0"), "werkzeug"),
    "flask-gunicorn": Server((*_GUNICORN, "flask_app:app"), "gunicorn.access"),
    "django-gunicorn": Server((*_GUNICORN, "django_wsgi"), "gunicorn.access"),
    "django-uvicorn": Server((*_UVICORN, "django_asgi:application"), "uvicorn.access"),
    "django-runserver": Server(("python", "django_app.py", "runserver", "--noreload", "0"), "django.server"),
    "fastapi-uvicorn": Server((*_UVICORN, "fastapi_app:app"), "uvicorn.access"),
    "starlette-uvicorn": Server((*_UVICORN, "starlette_app:app"), "uvicorn.access"),
    "aiohttp": Server(("python", "aiohttp_app.py"), "aiohttp.access"),
    "grpc": Server(("python", "grpc_app.py")),
    "asgi-uvicorn": Server((*_UVICORN, "asgi_app:app"), "uvicorn.access"),
    "asgi-uvicorn-worker": Server(
        (*_GUNICORN, "--worker-class", "uvicorn.workers.UvicornWorker", "asgi_app:app"), "uvicorn.access"
    ),
    "asgi-gunicorn": Server((*_GUNICORN, "--worker-class", "asgi", "asgi_app:app"), "gunicorn.access"),
    "fastapi-gunicorn": Server((*_GUNICORN, "--worker-class", "asgi", "fastapi_app:app"), "gunicorn.access"),
    "flask-threads": Server((*_GUNICORN, "--threads", "4", "--preload", "flask_app:app"), "gunicorn.access"),
    "wsgi-gunicorn": Server((*_GUNICORN, "wsgi_app:app"), "gunicorn.access"),
    "tornado": Server(("python", "tornado_app.py"), "shop.access"),
    "wsgi-wsgiref": Server(("python", "wsgi_app.py"), "shop.access"),
}


VARIANTS = frozenset({"asgi-gunicorn", "asgi-uvicorn-worker", "fastapi-gunicorn", "flask-threads"})
"""Servers that differ from another only by the kind of worker."""


class Reply(NamedTuple):
    """What a server answered: its response headers, and the headers of its own outbound call."""

    headers: dict[str, str]
    outbound: dict[str, str]


class Running(NamedTuple):
    """A server that listens."""

    server: Server
    port: int
    console: Path

    def call(self, headers: Sequence[tuple[str, str]] = ()) -> Reply:
        """Send one request with these headers and return the reply."""
        return _call_grpc(self.port, headers) if self.server == SERVERS["grpc"] else _call_http(self.port, headers)


def _call_http(port: int, headers: Sequence[tuple[str, str]]) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("GET", "/call")
        for name, text in headers:
            connection.putheader(name, text)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        assert response.status == http.HTTPStatus.OK, body
        return Reply({name.lower(): text for name, text in response.getheaders()}, json.loads(body))


def _call_grpc(port: int, headers: Sequence[tuple[str, str]]) -> Reply:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        body, call = channel.unary_unary("/Shop/Call").with_call(b"", metadata=headers, timeout=30)
        received = (*call.initial_metadata(), *call.trailing_metadata())
        return Reply({name: str(text) for name, text in received}, json.loads(body))


@contextlib.contextmanager
def serve(
    command: Sequence[str], receiver: Receiver, folder: Path, *, protocol: str, environ: Mapping[str, str]
) -> Iterator[Path]:
    """Run a command of the matrix and yield the file of its console; end it by SIGTERM, as an operator would."""
    console = folder / f"{command[0]}-console.txt"
    variables = {"PYTHONPATH": str(APPS), "PYTHONUNBUFFERED": "1", **environ}
    args = [APPS / item if item.endswith(".py") else item for item in command]
    with (
        console.open("wb") as out,
        instrumented(
            args, receiver=receiver, cwd=folder, protocol=protocol, environ=variables, stdout=out, stderr=out
        ) as process,
    ):
        try:
            yield console
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    server: Server, receiver: Receiver, folder: Path, *, protocol: str, environ: Mapping[str, str]
) -> Iterator[Running]:
    """Run a server of the matrix and yield it once it listens."""
    with serve(server.command, receiver, folder, protocol=protocol, environ=environ) as console:
        yield Running(server, int(await_match(_ADDRESS, console)), console)


def await_match(pattern: re.Pattern[str], console: Path) -> str:
    """Return the first group of `pattern` once it is on the console.

    Raises:
        TimeoutError: If it does not come; the message has the console.
    """
    deadline = time.monotonic() + _START_S
    while True:
        text = console.read_text(errors="replace")
        if match := pattern.search(text):
            return match[1]
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {pattern.pattern} on the console after {_START_S} s:\n{text}")
        time.sleep(0.02)


class EchoServer(ThreadingHTTPServer):
    """Answers each request with its headers as JSON, names in lower case."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with the headers."""
        headers: dict[str, Any] = {name.lower(): text for name, text in self.headers.items()}
        body = json.dumps(headers).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the superclass's
        """Say nothing."""
