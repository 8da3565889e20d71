"""The wheel and the sdist as a release has them, and environments with the wheel in them; each is made once a run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installation import Installation, install

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that fills a folder of that name once, however many workers the run has."""
    base = tmp_path_factory.getbasetemp()
    home = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def fill(name: str, make: Callable[[Path], object]) -> Path:
        folder, ready = home / name, home / f"{name}.ready"
        with (home / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                make(folder)
                ready.touch()
        return folder

    return fill


@pytest.fixture(scope="session")
def archives(once: Callable[..., Path]) -> Path:
    """Build wheel and sdist from the tree; return their folder."""
    return once("archives", lambda folder: _run("hatchling", "build", "--directory", folder))


def _run(*module: str | Path) -> None:
    subprocess.run([sys.executable, "-m", *module], cwd=ROOT, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="session")
def wheel(archives: Path) -> Path:
    """Return the wheel that is built from the tree."""
    [path] = archives.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(archives: Path) -> Path:
    """Return the sdist."""
    [path] = archives.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def rebuilt(once: Callable[..., Path], sdist: Path) -> Path:
    """Return the wheel that pip builds from the sdist."""
    # With the hatchling that built the tree's wheel, whose version stands in the wheel.
    build = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir")
    folder = once("rebuilt", lambda folder: _run(*build, folder, sdist))
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def plain(once: Callable[..., Path], wheel: Path) -> Installation:
    """Return an environment with the wheel and what it cannot be without."""
    return Installation(once("plain", lambda folder: install(folder, str(wheel))))


@pytest.fixture(scope="session")
def with_flask(once: Callable[..., Path], wheel: Path) -> Installation:
    """Return the environment of a Flask application, with two extras."""
    return Installation(once("with_flask", lambda folder: install(folder, f"{wheel}[collector,flask]", "flask")))
