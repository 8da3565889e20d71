"""One failure that three real services tell of is one group, with the root cause and all IDs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from programs import BIN, clean_environment, instrumented

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOCK = """
import logging
from flask import Flask
app = Flask(__name__)
class OutOfStock(Exception): pass
@app.get("/reserve")
def reserve():
    raise OutOfStock("no unicorn on the shelf")
"""

SHOP = """
import logging, os, requests
from flask import Flask
app = Flask(__name__)
class OrderFailed(Exception): pass
@app.get("/order")
def order():
    try:
        requests.get(os.environ["STOCK"] + "/reserve", timeout=30).raise_for_status()
    except requests.HTTPError as error:
        raise OrderFailed("could not reserve") from error
    return "done"
"""

BUYER = """
import logging, os, requests, clew
from opentelemetry import trace
failed = None
with clew.bind("purchase-7"):
    with trace.get_tracer("buyer").start_as_current_span("buy"):
        try:
            requests.get(os.environ["SHOP"] + "/order", timeout=30).raise_for_status()
        except requests.HTTPError as error:
            trace.get_current_span().record_exception(error)
            failed = error
    logging.getLogger("buyer").error("could not buy", exc_info=failed)
"""

_LISTENS = re.compile(rb"http://127\.0\.0\.1:(\d+)")


@contextlib.contextmanager
def _flask(name: str, folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """Run a Flask service and yield its address."""
    console = folder / f"{name}.console"
    args = ["flask", "--app", name, "run", "--port", "0"]
    variables = {"CLEW_MODE": "file", "OTEL_SERVICE_NAME": name, "PYTHONPATH": str(folder), **environ}
    with (
        console.open("wb") as out,
        instrumented(args, receiver=None, cwd=folder, environ=variables, stdout=out, stderr=out) as process,
    ):
        try:
            yield f"http://127.0.0.1:{_port(console)}"
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(40)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _port(console: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = _LISTENS.search(console.read_bytes())
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise TimeoutError(console.read_text())


def _clew(folder: Path, *args: str) -> bytes:
    environ = {**clean_environment(folder), "CLEW_DIR": str(folder / "clew")}
    done = subprocess.run([BIN / "clew", *args, "--json"], env=environ, capture_output=True, check=True, timeout=60)
    return done.stdout


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Run the purchase once, and return the folder that holds what the three services wrote."""
    for name, program in {"stock": STOCK, "shop": SHOP, "buyer": BUYER}.items():
        (tmp_path / f"{name}.py").write_text(program)
    with _flask("stock", tmp_path, {}) as stock, _flask("shop", tmp_path, {"STOCK": stock}) as shop:
        environ = {"CLEW_MODE": "file", "OTEL_SERVICE_NAME": "buyer", "SHOP": shop}
        with instrumented(["python", "buyer.py"], receiver=None, cwd=tmp_path, environ=environ) as buyer:
            _, told = buyer.communicate(timeout=60)
        assert b"HTTPError" in told
    return tmp_path


def test_one_failure_is_one_group(files: Path) -> None:
    """C raises, B wraps, A logs late and outside its span: one group, of C's exception."""
    groups = json.loads(_clew(files, "errors"))

    assert len(groups) == 1
    group = groups[0]
    assert ["buyer", "shop", "stock"] == sorted(group["services"])
    assert "purchase-7" in json.dumps(group)
    assert ("stock", "stock.OutOfStock") == (group["service"], group["type"])


def test_every_telling_has_the_ids(files: Path) -> None:
    """Each record of the failure, A's late one too, is found by the correlation ID."""
    rows = [json.loads(line) for line in _clew(files, "logs", "--id", "purchase-7").splitlines()]

    told = {row["service"] for row in rows if row["level"] == "ERROR"}
    assert {"buyer", "shop", "stock"} == told
