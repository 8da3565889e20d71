"""What a server logs about a request carries the request's IDs, and no colour codes."""

from __future__ import annotations

import contextlib
import http.client
import logging
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from log_programs import BIN, PROGRAMS, environment, read_records
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from clew.correlation.origin import CurrentIds
from clew.logs import access

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVERS: dict[str, tuple[list[str], str, str]] = {
    "gunicorn-sync": (
        ["gunicorn", "-b", "127.0.0.1:{port}", "--access-logfile", "-", "serving:app"],
        "wsgi",
        "gunicorn.access",
    ),
    "gunicorn-gthread": (
        [
            "gunicorn",
            "-k",
            "gthread",
            "--threads",
            "2",
            "-b",
            "127.0.0.1:{port}",
            "--access-logfile",
            "-",
            "serving:app",
        ],
        "plain_wsgi",
        "gunicorn.access",
    ),
    "uvicorn-h11": (
        ["uvicorn", "--http", "h11", "--port", "{port}", "--use-colors", "serving:app"],
        "asgi",
        "uvicorn.access",
    ),
    "uvicorn-httptools": (
        ["uvicorn", "--http", "httptools", "--port", "{port}", "serving:app"],
        "fastapi",
        "uvicorn.access",
    ),
    "werkzeug": (["python", "serving.py", "werkzeug", "{port}"], "", "werkzeug"),
    "django": (["python", "serving.py", "django", "{port}"], "", "django.server"),
}


def _get(port: int, path: str, deadline_s: float = 20) -> int:
    """Ask until the server answers."""
    deadline = time.monotonic() + deadline_s
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


@contextlib.contextmanager
def _serving(name: str, port: int, folder: Path) -> Iterator[None]:
    command, app, _ = SERVERS[name]
    shown = (folder / "shown").open("wb")
    with (
        shown,
        subprocess.Popen(
            [str(BIN / "opentelemetry-instrument"), *(part.format(port=port) for part in command)],
            env=environment(folder, {"SERVING_APP": app}),
            cwd=PROGRAMS,
            stdout=shown,
            stderr=shown,
        ) as process,
    ):
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT if name in {"werkzeug", "django"} else signal.SIGTERM)
            process.wait(timeout=20)


def _lines(folder: Path, logger: str, count: int, deadline_s: float = 20) -> list[dict[str, Any]]:
    """Wait for the lines that `logger` wrote about requests: a server writes them after it has answered."""
    deadline = time.monotonic() + deadline_s
    while True:
        records = [record for record in read_records(folder, live=True) if record["scope"] == logger]
        found = [record for record in records if "GET /" in record["body"]]
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _ids(record: dict[str, Any]) -> tuple[int, int]:
    return record["trace_id"], record["span_id"]


@pytest.mark.parametrize("server", SERVERS)
def test_access_lines_are_inside_the_trace(server: str, port: int, tmp_path: Path) -> None:
    """Each access line has the IDs of its own request's span, also when the handler fails, and no colour codes."""
    if server == "uvicorn-httptools":
        pytest.importorskip("httptools", reason="uvicorn's faster protocol is not installed")
    folder = tmp_path
    with _serving(server, port, folder):
        statuses = [_get(port, path) for path in ("/ok", "/ok", "/failing")]
        lines = _lines(folder, SERVERS[server][2], 3)
    records = read_records(folder)
    handled = [record for record in records if record["scope"] == "handler"]

    assert statuses[:2] == [200, 200]
    assert len(lines) == 3
    assert {_ids(record) for record in handled} <= {_ids(record) for record in lines}
    assert len(handled) >= 2
    assert len({record["trace_id"] for record in lines} - {0}) == 3
    assert not [record for record in records if "\x1b" in str(record)]


def test_error_records_of_django_are_inside_the_trace(port: int, tmp_path: Path) -> None:
    """A request that Django answers with an error has the trace ID in `django.request` and in the access line."""
    folder = tmp_path
    with _serving("django", port, folder):
        assert [_get(port, path) for path in ("/absent", "/refused", "/failing")] == [404, 403, 500]
        lines = [record["trace_id"] for record in _lines(folder, "django.server", 3)]
    records = read_records(folder)
    errors = [record["trace_id"] for record in records if record["scope"] == "django.request"]

    assert sorted(lines) == sorted(errors)
    assert len({*lines} - {0}) == 3


def test_ids_serve_one_access_line() -> None:
    """A line for which no span was made does not get the IDs of the request before."""
    access.remember(CurrentIds(1, 2, 1, "one"))

    assert access.recall("gunicorn.access") == CurrentIds(1, 2, 1, "one")
    assert access.recall("gunicorn.access") is None


def test_open_request_lends_its_ids() -> None:
    """Inside a request whose Context the program has replaced, any logger gets its IDs, until the span ends."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(access.AccessSpanProcessor())
    span = provider.get_tracer("test").start_span("server", kind=SpanKind.SERVER)
    context = span.get_span_context()
    access.remember(CurrentIds(context.trace_id, context.span_id, 1, "one"), span)

    assert (context.trace_id, context.span_id, 1, "one") == access.recall("app")
    assert access.recall("app", CurrentIds(0, 0, 0, "job-42")) is None
    span.end()
    assert access.recall("app") is None


def test_other_loggers_get_no_ids() -> None:
    """Only loggers that are known to tell of the request itself get its IDs."""
    access.remember(CurrentIds(1, 2, 1, "one"))

    assert access.recall("app") is None
    assert access.recall("django.request") == CurrentIds(1, 2, 1, "one")
    assert access.recall("gunicorn.error", level=logging.INFO) is None
