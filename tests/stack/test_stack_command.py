"""Claim: `clew collector` checks and runs a real Collector, whose files the other commands find."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from otlp_posts import log, logs, post
from stack_build import binary_path
from stack_servers import Server, free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.stack


class ClewCollector(Server):
    """`clew collector run files redaction`, everything in one folder."""

    def __init__(self, folder: Path) -> None:
        self.ports = {name: str(free_port()) for name in ("GRPC", "HTTP", "HEALTH", "METRICS")}
        super().__init__("clew", folder, f"http://127.0.0.1:{self.ports['HEALTH']}")
        self.url = f"http://127.0.0.1:{self.ports['HTTP']}"

    def program(self) -> list[str]:
        """Return the command line of Clew."""
        return [sys.executable, "-m", "clew"]

    def command(self) -> list[str]:
        """Return the command."""
        return ["collector", "run", "files", "redaction"]

    def environment(self) -> dict[str, str]:
        """Return the program and the ports."""
        ports = {f"OTELCOL_{name}_PORT": port for name, port in self.ports.items()}
        return {**ports, "CLEW_OTELCOL": str(binary_path("otelcol")), "CLEW_DIR": str(self.folder / "clew")}


def clew(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command of Clew on that folder; return its exit status and what it printed."""
    environ = {"PATH": os.environ["PATH"], "CLEW_DIR": str(folder), "CLEW_OTELCOL": str(binary_path("otelcol"))}
    done = subprocess.run(
        [sys.executable, "-m", "clew", *arguments], env=environ, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_run_listens_and_its_files_are_found_without_being_told(tmp_path: Path) -> None:
    """`clew logs` reads what the Collector wrote; on SIGTERM the Collector ends by itself, with status 0."""
    with ClewCollector(tmp_path) as collector:
        record = log("password=hunter2 was given", correlation__id="order-4711")
        assert 200 == post(collector.url, "logs", logs("shop", [record])).status
        status, printed = clew(tmp_path / "clew", "logs", "--id", "order-4711")
        assert collector.process is not None
        collector.process.terminate()
        assert 0 == collector.process.wait(20)
    assert (0, True, False) == (status, "**** was given" in printed, "hunter2" in printed)


def test_validate_accepts_what_ships(tmp_path: Path) -> None:
    """The answer names the program and the files."""
    status, printed = clew(tmp_path, "collector", "validate", "files", "jaeger", "redaction")
    assert (0, f"{binary_path('otelcol')} accepts base.yaml, files.yaml, jaeger.yaml, redaction.yaml\n") == (
        status,
        printed,
    )


def test_validate_tells_the_collectors_own_words(tmp_path: Path) -> None:
    """A key that does not exist is named in one line."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("exporters: {file/logs: {pth: here}}\n", encoding="utf-8")
    status, printed = clew(tmp_path, "collector", "validate", "files", "--config", str(mine))
    assert (1, 1) == (status, printed.count("\n"))
    assert "pth" in printed
