"""Runs real programs, plain and under Clew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from log_programs import Run, run_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., Run]:
    """Run a program of `programs/` with arguments, under Clew or plain, and return what it showed."""

    def run(path: str, *arguments: str, clew: bool, timeout_s: float = 60, **variables: str) -> Run:
        return run_in(tmp_path, path, *arguments, clew=clew, timeout_s=timeout_s, variables=variables)

    return run
