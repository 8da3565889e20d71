"""A callback runs when its module is imported, and the program sees nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path  # noqa: TC003 - pytest reads it

import pytest

from clew.importing import when_imported

PROGRAM = """
import sys, traceback
{hook}
try:
    import subject
    print(subject.VALUE, type(subject.__spec__.loader).__name__, sorted(vars(subject.__spec__.loader)))
except BaseException:
    traceback.print_exc(file=sys.stdout)
"""
HOOK = "from clew.importing import when_imported; when_imported('subject', lambda module: {callback})"


def _run(folder: Path, subject: str, hook: str) -> str:
    (folder / "subject.py").write_text(subject)
    (folder / "program.py").write_text(PROGRAM.format(hook=hook or "pass"))
    command = [sys.executable, str(folder / "program.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("subject", ["VALUE = 1\n", "VALUE = 1\n1 / 0\n", "import absent_module\n", "VALUE ="])
def test_program_sees_the_same(tmp_path: Path, subject: str) -> None:
    """Module, loader and traceback are the same with a callback and without one."""
    plain = _run(tmp_path, subject, "")

    assert plain == _run(tmp_path, subject, HOOK.format(callback="None"))


def test_callback_gets_the_loaded_module(tmp_path: Path) -> None:
    """What the callback changes is there when the import statement returns."""
    hook = HOOK.format(callback="setattr(module, 'VALUE', module.VALUE + 1)")

    assert _run(tmp_path, "VALUE = 1\n", hook).startswith("2 ")


def test_raising_callback_is_reported(tmp_path: Path) -> None:
    """A callback that raises leaves the import alone and is told on stderr once."""
    (tmp_path / "subject.py").write_text("VALUE = 1\n")
    (tmp_path / "program.py").write_text(PROGRAM.format(hook=HOOK.format(callback="1 / 0")))
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.startswith("1 ")
    assert done.stderr == "clew: could not hook into subject: ZeroDivisionError: division by zero\n"


def test_imported_module_calls_back_at_once() -> None:
    """A module that is there already calls back before `when_imported` returns."""
    seen: list[str] = []
    when_imported("sys", lambda module: seen.append(module.__name__))

    assert ["sys"] == seen
