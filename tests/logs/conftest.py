"""Runs real programs, plain and under Clew, and compares what they show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"


class Run(NamedTuple):
    """What a program showed, and under Clew the records that it made."""

    stdout: bytes
    stderr: bytes
    status: int
    records: list[dict[str, Any]]

    @property
    def shown(self) -> tuple[str, str, int]:
        """What a person or a shell sees."""
        return self.stdout.decode(), self.stderr.decode(), self.status

    @property
    def bodies(self) -> list[Any]:
        """The records' bodies, in order."""
        return [record["body"] for record in self.records]


def environment(records: Path | None, variables: dict[str, str]) -> dict[str, str]:
    """Return the environment of a test program: this one's without telemetry, and where its records go."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_", "COV_", "PYTEST"))
    }
    kept |= {"PYTHONPATH": str(HERE / "boot"), "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore", **variables}
    return kept | ({"CLEW_TEST_RECORDS": str(records)} if records else {})


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the records that a program's sink wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., Run]:
    """Run a program of `programs/` with arguments, under Clew or plain, and return what it showed."""

    def run(
        path: str, *arguments: str, clew: bool, python: str = sys.executable, timeout_s: float = 60, **variables: str
    ) -> Run:
        records = tmp_path / f"{path}-{'-'.join(arguments)}.records".replace("/", "_")
        records.unlink(missing_ok=True)
        done = subprocess.run(
            [python, str(PROGRAMS / path), *arguments],
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=environment(records if clew else None, variables),
            cwd=tmp_path,
        )
        return Run(done.stdout, done.stderr, done.returncode, read_records(records))

    return run
