"""The demo's services run as processes of the demo: it knows when they are there, and leaves none behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from clew.desk.demonstration import Demonstration, answers, check_packages
from clew.errors import MissingExtraError, StartError

if TYPE_CHECKING:
    from receiver import Receiver


def test_names_what_is_missing() -> None:
    """A package that is not installed is named, with the command that installs it."""
    with pytest.raises(MissingExtraError, match=r"needs no-such-package: pip install 'clew-opentelemetry\[demo\]'"):
        check_packages(("click", "no-such-package"))


def test_finds_a_collector(receiver: Receiver) -> None:
    """An endpoint that takes OTLP answers; one that nobody listens on does not."""
    found = answers(receiver.http_endpoint)
    receiver.stop()

    assert (True, False) == (found, answers(receiver.http_endpoint))


def test_takes_no_other_server_for_a_collector() -> None:
    """A server that knows no OTLP path is no Collector."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        found = answers(f"http://127.0.0.1:{server.server_port}")
        thread.join()

    assert not found


@pytest.mark.parametrize("endpoint", ["", "nonsense", "http://", "http://127.0.0.1:nine", "http://127.0.0.1:1/x"])
def test_takes_no_nonsense_for_a_collector(endpoint: str) -> None:
    """What is no URL of a server answers nothing."""
    assert not answers(endpoint)


def test_stops_all_if_one_ends(tmp_path: Path) -> None:
    """A service that ends too early is named with its last words, and the others are stopped."""
    with Demonstration(tmp_path, os.environ) as demonstration:
        demonstration.services["mail"].command = ("python", "-c", "raise SystemExit('no queue')")
        with pytest.raises(StartError, match=r"mail ended with status 1: no queue; see .*mail\.txt"):
            demonstration.start(lambda *_: None)
        others = [service.process for service in demonstration.services.values()]

    assert [] == [process for process in others if process is None or process.poll() is None]


def test_kills_what_does_not_end(tmp_path: Path) -> None:
    """A child of a service that ends without it is killed with its group."""
    leaves_a_child = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    with Demonstration(tmp_path, os.environ) as demonstration:
        for service in demonstration.services.values():
            service.command = ("python", "-c", leaves_a_child)
        with pytest.raises(StartError, match="ended with status 0"):
            demonstration.start(lambda *_: None)

    pids = [int(text) for path in (tmp_path / "console").iterdir() for text in path.read_text().split()]
    assert pids
    deadline = time.monotonic() + 5
    while any(map(_is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [] == [pid for pid in pids if _is_running(pid)]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_keeps_the_users_settings_out(tmp_path: Path) -> None:
    """Only what says how to reach a Collector is passed on, and only if there is one."""
    reaching = {"OTEL_EXPORTER_OTLP_HEADERS": "a=b"}
    environ = {"HOME": "/h", "OTEL_SERVICE_NAME": "mine", "CLEW_LOG_FORMAT": "json", **reaching}

    alone, sending = (Demonstration(tmp_path, environ, endpoint)._environ for endpoint in ("", "http://c:4318"))

    named = {"HOME", "OTEL_EXPORTER_OTLP_ENDPOINT", *environ}
    assert ({"HOME": "/h"}, {"HOME": "/h", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", **reaching}) == tuple(
        {name: value for name, value in found.items() if name in named} for found in (alone, sending)
    )


def test_uses_ports_that_are_free(tmp_path: Path) -> None:
    """The services' ports are on loopback and nobody's."""
    services = Demonstration(tmp_path, {}).services
    ports = [service.port for service in services.values() if service.port]
    for port in ports:
        with socket.socket() as place:
            place.bind(("127.0.0.1", port))

    assert 2 == len(set(ports))


def test_imports_no_opentelemetry() -> None:
    """The command's own process stays free of OpenTelemetry."""
    code = (
        "import sys, clew.desk.commands.demo; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == found.stdout.strip()
