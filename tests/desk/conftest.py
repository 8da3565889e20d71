"""Fixtures for the desk: the command line as a function, and folders of telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from clew.desk import cli
from otlp_lines import write_failing_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Outcome(NamedTuple):
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def clew(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Return a function that runs one `clew` command and returns its outcome."""
    monkeypatch.setenv("CLEW_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a folder with the failing request `order-4711` over three services."""
    folder = tmp_path / "telemetry"
    write_failing_request(folder)
    return folder
