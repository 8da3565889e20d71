"""A program that serves from inside a click command: upstream gives the command a span that no request may join."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from programs import instrumented

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from receiver import Receiver

PROGRAM = """
import logging, sys
import click
logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("shop")

async def app(scope, receive, send):
    assert scope["type"] == "http"
    logger.info("asked for %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})

@click.group()
def main():
    pass

@main.command()
def asgi():
    import uvicorn
    uvicorn.run(app, port=0, lifespan="off")

@main.command()
def flask():
    from flask import Flask
    web = Flask("web")
    @web.get("/<name>")
    def show(name):
        logger.info("asked for /%s", name)
        return name
    web.run(port=0)

@main.command()
def once():
    logger.info("asked for nothing")

main()
"""


@contextlib.contextmanager
def _serving(command: str, receiver: Receiver, folder: Path) -> Iterator[int]:
    (folder / "program.py").write_text(PROGRAM)
    console = folder / "console.txt"
    with (
        console.open("wb") as out,
        instrumented(
            ["python", "program.py", command], receiver=receiver, cwd=folder, stdout=out, stderr=out
        ) as process,
    ):
        try:
            yield _port(console)
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _port(console: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", console.read_text(), re.IGNORECASE)
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise TimeoutError(console.read_text())


@pytest.mark.parametrize("command", ["asgi", "flask"])
def test_requests_have_their_own_traces(tmp_path: Path, receiver: Receiver, command: str) -> None:
    """Each request is a server span in a trace of its own, that of the ID which came in, and its logs are in it."""
    with _serving(command, receiver, tmp_path) as port:
        for name in ("one", "two"):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", headers={"X-Request-ID": f"id-{name}"})
            with urllib.request.urlopen(request, timeout=30) as response:
                assert f"id-{name}" == response.headers["X-Correlation-ID"]
        spans = receiver.wait_for(lambda got: [span for span in got.spans if span.kind == "SERVER"][1:] and got.spans)
        receiver.wait_for(lambda got: [record for record in got.logs if record.scope == "shop"][1:])
        logs = [record for record in receiver.logs if record.scope == "shop"]

    traces = {span.attributes["correlation.id"]: span.trace_id for span in spans if span.kind == "SERVER"}
    assert {"id-one", "id-two"} == traces.keys()
    assert [""] * 2 == [span.parent_span_id for span in spans if span.kind == "SERVER"]
    assert {"asked for /one": traces["id-one"], "asked for /two": traces["id-two"]} == {
        record.body: record.trace_id for record in logs
    }


def test_command_keeps_its_span(tmp_path: Path, receiver: Receiver) -> None:
    """A command that does its work itself is a span, and what it logs is in it."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with instrumented(["python", "program.py", "once"], receiver=receiver, cwd=tmp_path) as process:
        process.communicate(timeout=60)

    (span,) = receiver.spans
    assert ("once", [span.trace_id]) == (span.name, [record.trace_id for record in receiver.logs])
