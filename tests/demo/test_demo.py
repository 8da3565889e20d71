"""`clew demo` shows one request through three services, and leaves no process behind, however it ends."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from programs import BIN, clean_environment

if TYPE_CHECKING:
    from receiver import Receiver

pytestmark = pytest.mark.slow

_URL = re.compile(r"http://127\.0\.0\.1:(\d+)")


class Finished(NamedTuple):
    """A finished demo."""

    status: int
    out: str
    err: str
    seconds: float
    folder: Path


def _start(folder: Path, *options: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BIN / "clew", "demo", "--dir", folder / "demo", *options],
        env={**clean_environment(folder), "COLUMNS": "140", "PYTHONUNBUFFERED": "1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run the demo once, with no Collector to be found."""
    folder = tmp_path_factory.mktemp("demo")
    began = time.monotonic()
    with _start(folder, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as process:
        out, err = process.communicate(timeout=120)
    return Finished(process.returncode, out, err, time.monotonic() - began, folder)


def _part(out: str, after: str, before: str) -> list[str]:
    text = out.partition(after)[2].partition(before)[0]
    return [line for line in text.splitlines()[1:] if line.strip()]


def test_only_its_owner_can_read_it(finished: Finished) -> None:
    """All folders that it made are private, as Clew's own are."""
    made = [finished.folder / "demo", *(path for path in (finished.folder / "demo").iterdir() if path.is_dir())]

    assert {0o700} == {stat.S_IMODE(path.stat().st_mode) for path in made}


def test_succeeds_in_time(finished: Finished) -> None:
    """It ends well within a minute, with nothing on stderr."""
    assert (0, "") == (finished.status, finished.err)
    assert finished.seconds < 60


def test_shows_the_timeline(finished: Finished) -> None:
    """The timeline has spans of all three services and names the root cause."""
    timeline = "\n".join(_part(finished.out, "The order that failed", "Its log lines"))

    for claim in (
        r"shop +POST /orders/<item>",
        r"shop +POST .*",
        r"stock +POST /reservations/\{item\}",
        r"mail +run/clew\.demo\.mail\.apologise",
        r"Root cause +stock .*LookupError: no shelf holds a samovar",
    ):
        assert re.search(claim, timeline), claim


def test_every_log_line_has_the_id(finished: Finished) -> None:
    """The log lines come from all three services, and each ends with the request's ID."""
    identifier = re.findall(r"X-Correlation-ID: (order-\S+)", finished.out)[-1]
    lines = _part(finished.out, "Its log lines", "Where it is")

    assert {"shop", "stock", "mail"} <= {word for line in lines for word in line.split()}
    assert any("WARNING  mail   apologised for the order of a samovar" in line for line in lines)
    assert [] == [line for line in lines if not line.endswith(f"[{identifier}]")]


def test_says_what_to_try(finished: Finished) -> None:
    """The commands that it proposes work in a shell as they are printed."""
    commands = re.findall(r"^  (clew (?:trace|logs|errors) .*?)(?: {2,}|$)", finished.out, re.MULTILINE)
    environ = clean_environment(finished.folder)
    results = [subprocess.run(line, shell=True, capture_output=True, env=environ, check=False) for line in commands]

    assert ["trace", "logs", "errors"] == [line.split()[1] for line in commands]
    assert [0, 0, 0] == [result.returncode for result in results]


def test_leaves_no_process(finished: Finished) -> None:
    """Nothing listens any more where the services did."""
    _expect_nothing_left(finished.out, finished.folder)


def test_sends_to_a_collector(receiver: Receiver, tmp_path: Path) -> None:
    """Where a Collector answers, it gets the request's telemetry, and the timeline is shown all the same."""
    with _start(tmp_path, "--endpoint", receiver.http_endpoint) as process:
        out, err = process.communicate(timeout=120)
    identifier = re.findall(r"X-Correlation-ID: (order-\S+)", out)[-1]

    assert (0, "") == (process.returncode, err)
    assert {"shop", "stock", "mail"} == {
        span.resource["service.name"] for span in receiver.spans if span.attributes["correlation.id"] == identifier
    }
    assert "Root cause" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_leaves_no_process_when_interrupted(number: int, tmp_path: Path) -> None:
    """Interrupted in the middle, it still stops what it started and says so by its status."""
    with _start(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as process:
        assert process.stdout is not None
        out = ""
        while "Sending" not in out:
            line = process.stdout.readline()
            assert line, process.communicate()
            out += line
        process.send_signal(number)
        rest, err = process.communicate(timeout=30)

    assert (128 + number, "") == (process.returncode, err.strip())
    _expect_nothing_left(out + rest, tmp_path)


def _expect_nothing_left(out: str, folder: Path) -> None:
    ports = {int(port) for port in _URL.findall(out)} - {1}
    assert len(ports) >= 2
    deadline = time.monotonic() + 30  # a stranger may listen for a while where they did
    while (left := _listening(ports) or _processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [] == left


def _listening(ports: set[int]) -> list[int]:
    found = []
    for port in ports:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                found.append(port)
    return found


def _processes_of(folder: Path) -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/environ") if str(folder) in _text(path)]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
