"""However a server ends its workers, what they did right before arrives: each span, each log record, in one trace."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from programs import BIN, clean_environment, instrumented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver import Receiver

PROGRAMS = Path(__file__).parent / "programs"
PROTOCOLS = ("http/protobuf", "grpc")
REQUESTS = 20
CELERY = (
    *("celery", "-A", "lifecycle_celery", "worker", "--loglevel", "INFO", "--concurrency", "2"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
GUNICORN = (
    *("gunicorn", "--bind", "127.0.0.1:0", "--log-level", "info"),
    *("--no-control-socket", "--graceful-timeout", "8"),
)
"""A worker that is told to end while it starts does not hear it; gunicorn ends it after that time."""


class Server(NamedTuple):
    """How a server is started, and how it is told to end."""

    command: tuple[str, ...]
    signal: signal.Signals = signal.SIGTERM
    status: int = 0


SERVERS = {
    "gunicorn": Server((*GUNICORN, "--workers", "2", "lifecycle_wsgi:app")),
    "gunicorn --preload": Server((*GUNICORN, "--preload", "--workers", "2", "lifecycle_wsgi:app")),
    "gunicorn --max-requests": Server((*GUNICORN, "--workers", "2", "--max-requests", "3", "lifecycle_wsgi:app")),
    "gunicorn, quick": Server((*GUNICORN, "lifecycle_wsgi:app"), signal.SIGINT),
    "gunicorn --threads": Server((*GUNICORN, "--threads", "4", "lifecycle_wsgi:app")),
    "gunicorn with uvicorn's worker": Server(
        (*GUNICORN, "--worker-class", "uvicorn.workers.UvicornWorker", "lifecycle_asgi:app")
    ),
    "uvicorn": Server(("uvicorn", "--port", "0", "lifecycle_asgi:app"), status=-signal.SIGTERM),
    "uvicorn, Ctrl-C": Server(("uvicorn", "--port", "0", "lifecycle_asgi:app"), signal.SIGINT),
    "uvicorn --workers": Server(("uvicorn", "--port", "0", "--workers", "2", "lifecycle_asgi:app")),
}
WORKERS = {
    "warm": ((), signal.SIGTERM),
    "cold": ((), signal.SIGQUIT),
    "--max-tasks-per-child": (("--max-tasks-per-child", "2"), signal.SIGTERM),
    "--pool solo": (("--pool", "solo"), signal.SIGTERM),
    "--pool threads": (("--pool", "threads"), signal.SIGTERM),
}


@contextlib.contextmanager
def started(
    command: tuple[str, ...], receiver: Receiver, folder: Path, protocol: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start a command with its console in a file; whatever it leaves behind is killed."""
    console = folder / "console.txt"
    environ = {"PYTHONPATH": str(PROGRAMS), "PYTHONUNBUFFERED": "1", "QUEUE_FOLDER": str(folder / "queue"), **variables}
    with (
        console.open("wb") as out,
        instrumented(
            command, receiver=receiver, cwd=folder, protocol=protocol, environ=environ, stdout=out, stderr=out
        ) as process,
    ):
        try:
            yield process, console
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def await_text(pattern: str, console: Path) -> str:
    """Return the first group of `pattern` once it is on the console."""
    deadline = time.monotonic() + 30
    while (match := re.search(pattern, console.read_text())) is None:
        assert time.monotonic() < deadline, console.read_text()
        time.sleep(0.02)
    return match[1]


def request(port: int, number: int) -> None:
    """Send one request on a connection of its own; one that meets a worker on its way out is sent again."""
    for _ in range(200):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            try:
                connection.request("GET", f"/{number}", headers={"Connection": "close"})
                assert connection.getresponse().status == 200
            except OSError:
                time.sleep(0.1)
            else:
                return
    raise AssertionError(f"request {number} got no answer")


def check_arrived(receiver: Receiver, kind: str) -> None:
    """Compare what arrived with what was asked for: one log record each, in the trace of its server's span."""
    expected = {f"request {number}": 1 for number in range(REQUESTS)}

    def records() -> list[tuple[str, str, str]]:
        return [(str(item.body), item.trace_id, item.span_id) for item in receiver.logs if item.scope == "shop"]

    receiver.wait_for(lambda _: len([body for body, *_ in records() if "request" in body]) >= REQUESTS, 5)
    bodies = Counter(body for body, *_ in records() if "request" in body)
    assert expected == bodies
    spans = {(span.trace_id, span.span_id) for span in receiver.spans if span.kind == kind}
    assert spans == {(trace_id, span_id) for body, trace_id, span_id in records() if "request" in body}


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", SERVERS)
def test_server(name: str, protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """A server that is told to end right after a request loses nothing, and ends as it would without Clew."""
    server = SERVERS[name]

    with started(server.command, receiver, tmp_path, protocol) as (process, console):
        port = int(await_text(r"127\.0\.0\.1:([1-9]\d*)", console))
        for number in range(REQUESTS):
            request(port, number)
        process.send_signal(server.signal)
        status = process.wait(20)

    assert server.status == status, console.read_text()
    check_arrived(receiver, "SERVER")


def queue_tasks(count: int, folder: Path) -> None:
    """Put tasks into the queue of a worker that is yet to start in `folder`."""
    environ = {**clean_environment(folder), "QUEUE_FOLDER": str(folder / "queue"), "PYTHONPATH": str(PROGRAMS)}
    subprocess.run([BIN / "python", PROGRAMS / "lifecycle_celery.py", str(count)], env=environ, check=True)


def await_files(folder: Path, pattern: str, count: int, console: Path) -> None:
    """Wait until the tasks have left so many files."""
    deadline = time.monotonic() + 30
    while len(list((folder / "queue").glob(pattern))) < count:
        assert time.monotonic() < deadline, console.read_text()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", WORKERS)
def test_celery(name: str, protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """A Celery worker that is told to end right after a task, gently or not, loses nothing."""
    options, signum = WORKERS[name]
    queue_tasks(REQUESTS, tmp_path)

    with started((*CELERY, *options), receiver, tmp_path, protocol) as (process, console):
        await_text(r"celery@\S+ (ready)\.", console)
        await_files(tmp_path, "done-*", REQUESTS, console)
        process.send_signal(signum)
        process.wait(20)

    check_arrived(receiver, "CONSUMER")


@pytest.mark.slow
def test_celery_busy(receiver: Receiver, tmp_path: Path) -> None:
    """A worker that is told to end at once, in the midst of tasks, does, and what they had logged arrives.

    Its processes hold SIGTERM off while they hold a lock that they share; taken by a thread of ours, the signal ended
    one of them there, and the others waited for ever.
    """
    queue_tasks(4, tmp_path)

    with started(CELERY, receiver, tmp_path, "http/protobuf", TASK_S="1") as (process, console):
        await_files(tmp_path, "logged-*", 4, console)
        process.send_signal(signal.SIGQUIT)
        status = process.wait(20)

    assert status == 0, console.read_text()
    expected = sorted(f"request {number}" for number in range(4))
    receiver.wait_for(lambda _: [item for item in receiver.logs if item.body == expected[-1]], 5)
    assert expected == sorted(str(item.body) for item in receiver.logs if item.scope == "shop")
