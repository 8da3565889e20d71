"""CPython's own logging tests have the same results under Clew as without it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from log_programs import BIN, environment, interpreter_has_its_tests

if TYPE_CHECKING:
    from pathlib import Path


def _results(command: list[str], folder: Path) -> list[str]:
    done = subprocess.run(
        [*command, sys.executable, "-m", "unittest", "-v", "test.test_logging"],
        env=environment(folder, {"PYTHONWARNINGS": ""}),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=280,
        check=False,
    )
    return sorted(re.findall(r"^(test_\w+ .*) \.\.\. .*?(ok|FAIL|ERROR|skipped)", done.stderr.decode(), re.MULTILINE))


@pytest.mark.slow
@pytest.mark.skipif(not interpreter_has_its_tests(), reason="this interpreter ships without its tests")
def test_cpython_logging_suite_has_the_same_results(tmp_path: Path) -> None:
    """Every one of its tests ends under `opentelemetry-instrument` as it ends in plain Python."""
    plain = _results([], tmp_path)
    clewed = _results([str(BIN / "opentelemetry-instrument")], tmp_path)

    assert len(plain) > 150
    assert plain == clewed
