"""A virtual environment for each application, with Clew and what `opentelemetry-bootstrap` finds, kept between runs.

The folder is `$XDG_CACHE_HOME/clew-apps`; an environment is made anew when its requirements or Clew's change.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
_PINNED: Final = re.compile(r"==.*")


def environment(requirements: Sequence[str]) -> Path:
    """Return the folder of an environment's commands; make it if there is none yet.

    Raises:
        subprocess.CalledProcessError: If an installation fails.
    """
    folder = _cache() / _key(requirements)
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder, requirements)
        (folder / "ready").touch()
    return folder / "bin"


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "clew-apps"


def _key(requirements: Sequence[str]) -> str:
    told = "\n".join([sys.version, str(ROOT), (ROOT / "pyproject.toml").read_text(), *requirements])
    return f"{re.sub(r'[^a-z0-9]+', '-', requirements[0])}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _make(folder: Path, requirements: Sequence[str]) -> None:
    _run(sys.executable, "-m", "venv", folder)
    clew = ("--editable", str(ROOT))
    _install(folder, *requirements, *clew)
    found = _run(folder / "bin/opentelemetry-bootstrap", "-a", "requirements").split()
    # Upstream pins one release, of which the index may lack a package; without pins all of it is resolved as one set.
    _install(folder, *requirements, *clew, *(_PINNED.sub("", requirement) for requirement in found))


def _install(folder: Path, *arguments: str) -> None:
    python = folder / "bin/python"
    uv = _uv()
    if uv:
        _run(uv, "pip", "install", "--quiet", "--python", python, *arguments)
    else:
        _run(python, "-m", "pip", "install", "--quiet", *arguments)


def _uv() -> str | None:
    """Return uv if it is there and runs: it installs in seconds what takes pip minutes."""
    found = shutil.which("uv")
    works = found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0
    return found if works else None


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=1200).stdout
