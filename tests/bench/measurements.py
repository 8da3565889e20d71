"""What is measured of each variant: calls, requests of a web server, start-up. Each returns numbers by name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.bench.processes import cpu_s, memory_mb, running, wall_and_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.variants import Variant

HERE: Final = Path(__file__).parent
_DRAIN_S: Final = 2.2
"""After the last request, until what is batched is out: twice the delay that the variants are given."""

_CPUS: Final = sorted(os.sched_getaffinity(0))
SERVER_CPU: Final = _CPUS[0] if len(_CPUS) > 1 else None
LOAD_CPU: Final = _CPUS[-1] if len(_CPUS) > 1 else -1

Numbers = dict[str, float]


class Effort(NamedTuple):
    """How much is done for each measurement of each round."""

    bursts: int
    requests: int
    seconds: float
    starts: int


class App(NamedTuple):
    """A web application and the server that it runs in."""

    name: str
    server: tuple[str, ...]
    environ: Mapping[str, str]


FLASK: Final = App(
    "Flask",
    ("-m", "gunicorn", "-k", "gthread", "--threads", "4", "-w", "1", "-b", "127.0.0.1:{port}", "flask_app:app"),
    {},
)
_UVICORN: Final = ("-m", "uvicorn", "--port", "{port}", "--no-access-log", "fastapi_app:app")
FASTAPI: Final = App("FastAPI", _UVICORN, {})
FASTAPI_QUIET: Final = App("FastAPI, no send spans", _UVICORN, {"BENCH_ASGI_SPANS": "none"})


def measure_calls(variant: Variant, effort: Effort) -> Numbers:
    """Return nanoseconds of each kind of call."""
    output = subprocess.check_output(
        variant.command([str(HERE / "calls.py"), str(effort.bursts)]),
        env=dict(variant.environ),
        stderr=subprocess.DEVNULL,
    )
    costs = json.loads(output)
    return {
        "log call, caller": costs["log"]["caller_ns"],
        "log call, total": costs["log"]["total_ns"],
        "disabled log call": costs["disabled"]["caller_ns"],
        "error with traceback, caller": costs["error"]["caller_ns"],
        "error with traceback, total": costs["error"]["total_ns"],
        "span, caller": costs["span"]["caller_ns"],
        "span, export": costs["span"]["total_ns"] - costs["span"]["caller_ns"],
    }


def measure_web(variant: Variant, app: App, effort: Effort) -> Numbers:
    """Return microseconds of CPU per request, latencies at a fixed rate, and memory of a server."""
    port = _free_port()
    command = variant.command([part.format(port=port) for part in app.server])
    with running(command, {**variant.environ, **app.environ}, HERE, SERVER_CPU) as pid:
        _wait_until_up(port)
        _ask(port, "--requests", str(effort.requests // 4))
        time.sleep(_DRAIN_S)
        before_s = cpu_s(pid)
        closed = _ask(port, "--requests", str(effort.requests))
        time.sleep(_DRAIN_S)
        used_s = cpu_s(pid) - before_s
        at_rate = _ask(port, "--rate", "500", "--seconds", str(effort.seconds), "--connections", "16")
        if closed["failed"] or at_rate["failed"]:
            raise RuntimeError(
                f"{app.name} under {variant.name}: {closed['failed'] + at_rate['failed']} requests failed"
            )
        return {
            f"{app.name}: CPU per request": used_s / effort.requests * 1e6,
            f"{app.name}: p50 at 500/s": at_rate["p50_us"],
            f"{app.name}: p99 at 500/s": at_rate["p99_us"],
            f"{app.name}: memory": memory_mb(pid),
        }


def measure_start(variant: Variant, effort: Effort) -> Numbers:
    """Return milliseconds and memory of a program that does nothing."""
    runs = [wall_and_memory(variant.command(["-c", "pass"]), variant.environ, HERE) for _ in range(effort.starts)]
    return {"start, wall": min(wall for wall, _ in runs) * 1e3, "start, memory": min(memory for _, memory in runs)}


def _ask(port: int, *options: str) -> Numbers:
    command = [sys.executable, str(HERE / "load.py"), "--port", str(port), "--cpu", str(LOAD_CPU), *options]
    result: Numbers = json.loads(subprocess.check_output(command))
    return result


def _free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port


def _wait_until_up(port: int) -> None:
    until_s = time.monotonic() + 30
    while not _is_up(port):
        if time.monotonic() > until_s:
            raise TimeoutError(f"no server at port {port}")
        time.sleep(0.05)


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/orders/1", timeout=5):
            return True
    except OSError:
        return False


def received(port: int) -> dict[str, int]:
    """Return the bytes that the sink has received, by path."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=5) as answer:
        counts: dict[str, int] = json.load(answer)
        return counts


def sink_command() -> Sequence[str]:
    """Return the command that runs the sink."""
    return (sys.executable, str(HERE / "sink.py"))
