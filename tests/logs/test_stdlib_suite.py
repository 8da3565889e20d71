"""CPython's own logging tests have the same results under Clew as without it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from log_programs import BIN, environment, interpreter_has_its_tests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _results(command: list[str], folder: Path, tests: Sequence[str] = ("test.test_logging",)) -> list[tuple[str, str]]:
    done = subprocess.run(
        [*command, sys.executable, "-m", "unittest", "-v", *tests],
        env=environment(folder, {"PYTHONWARNINGS": ""}),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=280,
        check=False,
    )
    return sorted(re.findall(r"^(test_\w+ .*) \.\.\. .*?(ok|FAIL|ERROR|skipped)", done.stderr.decode(), re.MULTILINE))


def _name(shown: str) -> str:
    """Return the name to run a test by, from `test_x (test.test_logging.Case)` or, since 3.11, `(….Case.test_x)`."""
    test, where = shown.rstrip(")").split(" (")
    return where if where.endswith(f".{test}") else f"{where}.{test}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not interpreter_has_its_tests(), reason="this interpreter ships without its tests")
def test_cpython_logging_suite_has_the_same_results(tmp_path: Path) -> None:
    """Every one of its tests ends under `opentelemetry-instrument` as it ends in plain Python.

    Some race with the clock: those that ended differently run again, both ways.
    """
    plain = _results([], tmp_path)
    clewed = _results([str(BIN / "opentelemetry-instrument")], tmp_path)

    assert len(plain) > 150
    for _ in range(2):
        unlike = sorted({_name(shown) for shown, _ in {*plain} ^ {*clewed}})
        if not unlike:
            break
        plain = _results([], tmp_path, unlike)
        clewed = _results([str(BIN / "opentelemetry-instrument")], tmp_path, unlike)
        assert len(plain) == len(unlike)
    assert plain == clewed
