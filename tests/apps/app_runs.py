"""One run of an application, with Clew or without: what it answered, what it wrote, how it ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, NamedTuple

from programs import clean_environment, telemetry_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from app_catalogue import Application

    from receiver import Receiver

_START_S: Final = 120.0
_END_S: Final = 300.0
_SETTLE_S: Final = 1.0
"""How long a server that accepts connections may still write about its start."""

_VALUES: Final = (
    (r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?( ?[+-]\d\d:?\d\d|Z)?", "TIME"),
    (r"\d\d/\w{3}/\d{4}[: ]\d\d:\d\d:\d\d( [+-]\d{4})?", "TIME"),
    (r"\b\d{6} \d\d:\d\d:\d\d|\b\d\d:\d\d:\d\d([.,]\d+)?", "TIME"),
    (r"(datetime\.datetime|DateTime)\([\d, ]+", r"TIME("),
    (r"'(elapsed_time_seconds|items_per_minute|responses_per_minute)': [\w.]+|run_duration=[\d.]+", "DURATION"),
    (r"'memusage/\w+': \d+", "BYTES"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b", "UUID"),
    (r"0x[0-9a-f]+", "ADDRESS"),
    (r"127\.0\.0\.1:\d+|\('127\.0\.0\.1', \d+\)", "HOST"),
    (r"\[\d+\]|\(\d+\)|\bpid: \d+|\bport \d+|\bjob \d+-", "PID"),
    (r"\b[\d.]+ ?(ms|s|sec|secs|seconds)\b", "DURATION"),
    (r"[0-9.]+sec/-?[0-9.]+sec \([^)]*\)|\([0-9.]+sec, [0-9.]+sec\)", "DURATION"),
    (r"site-packages/(\w+)/\w+\.py:\d+: (?=UserWarning)", r"\1: "),  # which module is first follows the import order
)
"""What differs from run to run, and the word that stands for it when consoles are compared."""


class Run(NamedTuple):
    """What an application did."""

    status: int
    answers: dict[str, tuple[int, str]]
    """Status and correlation ID of the response, by path."""
    console: list[str]


def correlation_id(path: str) -> str:
    """Return the ID that a request for `path` brings."""
    return f"apps{re.sub(r'[^a-z0-9]+', '-', path.lower())}1"


def run(application: Application, commands: Path, folder: Path, receiver: Receiver | None) -> Run:
    """Run an application once, under Clew if there is a receiver; a server is asked for its paths and then stopped.

    Raises:
        TimeoutError: If it does not listen or does not end; the message has the console.
    """
    folder.mkdir()
    with _site() as site:
        names = {"{port}": str(_free_port()), "{site}": str(site), "{folder}": str(folder)}
        environ = {**clean_environment(folder), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
        environ |= {name: _filled(text, names) for name, text in application.environ}
        _prepare(application, folder, names, environ)
        command = [_filled(part, names) for part in application.command]
        if receiver is not None:
            command = [str(commands / "opentelemetry-instrument"), *command]
            environ |= {**telemetry_environment(receiver), "CLEW_DIR": str(folder / "clew")}
        console = folder / "console.txt"
        with _started(command, folder, environ, console) as process:
            port = int(names["{port}"])
            answers = _ask(application, port, process, console) if application.paths else {}
            status = process.wait(_END_S)
    return Run(status, answers, _normalised(console.read_text(errors="replace"), names))


def _prepare(application: Application, folder: Path, names: Mapping[str, str], environ: Mapping[str, str]) -> None:
    for name, text in application.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(text, names))
    for step in application.prepare:
        subprocess.run(
            [_filled(part, names) for part in step],
            cwd=folder,
            env=environ,
            check=True,
            capture_output=True,
            timeout=_END_S,
        )


def _filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text


@contextlib.contextmanager
def _started(
    command: list[str], folder: Path, environ: Mapping[str, str], console: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a process group of its own, and leave none of the group behind."""
    # The command is looked up on the application's path, not on ours.
    launcher = ["/usr/bin/env", *command]
    with (
        console.open("wb") as out,
        subprocess.Popen(
            launcher, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _ask(
    application: Application, port: int, process: subprocess.Popen[bytes], console: Path
) -> dict[str, tuple[int, str]]:
    """Ask a server for its paths once it listens, and end it as an operator would."""
    _await_listening(port, process, console)
    time.sleep(_SETTLE_S)
    answers = {path: _get(port, path) for path in application.paths}
    time.sleep(_SETTLE_S)
    process.send_signal(signal.SIGTERM)
    return answers


def _await_listening(port: int, process: subprocess.Popen[bytes], console: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on port {port}:\n{console.read_text(errors='replace')}")
        time.sleep(0.1)


def _get(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers={"X-Correlation-ID": correlation_id(path)})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers.get("X-Correlation-ID", "")


def _normalised(text: str, names: Mapping[str, str]) -> list[str]:
    """Return the lines of a console with words in the place of what differs from run to run."""
    for name, value in names.items():
        text = text.replace(value, name)
    for pattern, word in _VALUES:
        text = re.sub(pattern, word, text)
    return [line.rstrip() for line in text.splitlines()]


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer `/` with a page, all else with 404."""
        body = b"<title>page</title>"
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the superclass's
        """Say nothing."""


@contextlib.contextmanager
def _site() -> Iterator[int]:
    """Serve a web site of one page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
