"""Servers and workers show under Clew what they show without."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from consoles import ask, await_text, running

from programs import BIN, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
import logging
from flask import Flask
app = Flask(__name__)
@app.get("/")
def index():
    app.logger.warning("no configuration of logging")
    logging.getLogger("shop").info("not shown")
    return "well"
@app.get("/fail")
def fail():
    raise LookupError("no shelf")
"""

MAIL = """
import logging
from celery import Celery
from celery.utils.log import get_task_logger
app = Celery("mail", broker="filesystem://localhost", backend="file://results")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "processed_folder": "done",
    "control_folder": "control",
}
@app.task
def send(number):
    logging.getLogger().warning("by root %d", number)
    logging.getLogger("mail.child").warning("by child %d", number)
    get_task_logger(__name__).warning("by task logger %d", number)
"""

TOLD = {"by root 7", "by child 7", "by task logger 7"}


def _flask(folder: Path, *, clew: bool) -> str:
    """Serve three requests by `flask run` and return the console without ports and times."""
    console = folder / f"console-{clew}"
    environ = {"CLEW_MODE": "file", "CLEW_DIR": str(folder / "clew")}
    with running([str(BIN / "flask"), "--app", "shop", "run", "--port", "0"], folder, console, environ, clew=clew):
        port = await_text(console, r"http://127\.0\.0\.1:(\d+)")[1]
        ask(port, "/", "/absent", "/fail")
        await_text(console, "GET /fail")
    return re.sub(r"\[[^\]]*\d{4}[^\]]*\]", "[time]", console.read_text()).replace(port, "port")


def test_flask_run_shows_the_same(tmp_path: Path) -> None:
    """Banner, access lines, the application's warning and the traceback of a failure are as without Clew."""
    (tmp_path / "shop.py").write_text(SHOP)

    plain = _flask(tmp_path, clew=False)

    assert "no configuration of logging" in plain
    assert "LookupError: no shelf" in plain
    assert plain == _flask(tmp_path, clew=True)


API = """
import fastapi, starlette.applications, starlette.routing
async def fail(request: fastapi.Request): raise LookupError("no shelf")
app = fastapi.FastAPI()
app.add_api_route("/fail", fail)
app.mount("/inner", starlette.applications.Starlette(routes=[starlette.routing.Route("/fail", fail)]))
"""


def _uvicorn(folder: Path, *, clew: bool) -> str:
    """Serve failing requests by uvicorn and return the console without ports and process IDs."""
    console = folder / f"console-{clew}"
    environ = {"CLEW_MODE": "file", "CLEW_DIR": str(folder / "clew")}
    with running([str(BIN / "uvicorn"), "--port", "0", "api:app"], folder, console, environ, clew=clew):
        port = await_text(console, r"http://127\.0\.0\.1:(\d+)")[1]
        ask(port, "/fail", "/inner/fail", "/absent")
        await_text(console, "GET /absent")
    return re.sub(r"process \[\d+\]|127\.0\.0\.1:\d+", "#", console.read_text())


def test_uvicorn_shows_the_same(tmp_path: Path) -> None:
    """The tracebacks of FastAPI's and Starlette's failing requests have the frames that they have without Clew."""
    (tmp_path / "api.py").write_text(API)

    plain = _uvicorn(tmp_path, clew=False)

    assert plain.count("LookupError: no shelf") == 2
    assert plain == _uvicorn(tmp_path, clew=True)


def _worker(folder: Path, pool: str, *, clew: bool) -> set[str]:
    """Run one task in a Celery worker and return the lines of its console without times, process and task IDs."""
    for name in ("queue", "done", "control", "results"):
        (folder / name).mkdir(exist_ok=True)
    console = folder / f"console-{clew}"
    environ = {"CLEW_MODE": "file", "CLEW_DIR": str(folder / "clew"), "CLEW_COMPRESSION": "none", "C_FORCE_ROOT": "1"}
    args = [str(BIN / "celery"), "-A", "mail", "worker", "--pool", pool, "-c", "1", "-n", "w@host", "-l", "INFO"]
    send = [str(BIN / "python"), "-c", "import mail; mail.send.delay(7)"]
    with running(args, folder, console, environ, clew=clew):
        await_text(console, "ready")
        subprocess.run(send, cwd=folder, env={**clean_environment(folder), **environ}, check=True, timeout=60)
        await_text(console, "succeeded")
    text = re.sub(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?!,)|\[\d{4}-[^\]]*\]|[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|[\d.]+s\b",
        "#",
        console.read_text(),
    )
    return {line.rstrip() for line in text.splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_celery_worker_shows_the_same(tmp_path: Path, pool: str) -> None:
    """A worker that takes over the root logger shows the same lines, and each record of its task is exported once."""
    (tmp_path / "mail.py").write_text(MAIL)

    plain = _worker(tmp_path, pool, clew=False)
    assert plain == _worker(tmp_path, pool, clew=True)

    exported = b"".join(path.read_bytes() for path in (tmp_path / "clew").glob("logs-*")).decode()
    assert dict.fromkeys(TOLD, 1) == {text: exported.count(f'"body":{{"stringValue":"{text}"}}') for text in TOLD}
