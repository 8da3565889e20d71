"""A virtual environment outside the repository in which a built archive is installed, as a user would do it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from programs import clean_environment

if TYPE_CHECKING:
    from pathlib import Path


class Installation(NamedTuple):
    """An environment and what its commands are called with: nothing of the tester's, and no file of the repository."""

    folder: Path

    @property
    def bin(self) -> Path:
        """The folder of its commands."""
        return self.folder / "bin"

    def run(self, *command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands in file mode, with `cwd` as working and home folder and parent of CLEW_DIR."""
        own = clean_environment(cwd)
        path = f"{self.bin}{os.pathsep}{os.defpath}"
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=cwd,
            env={**own, "PATH": path, "CLEW_DIR": str(cwd / "clew"), "CLEW_MODE": "file", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def install(folder: Path, *requirements: str) -> Installation:
    """Make an environment in `folder` and install in it, with the newest pip, as the README says.

    Raises:
        subprocess.CalledProcessError: If an installation fails.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for wanted in (("--upgrade", "pip"), requirements):
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *wanted], check=True, cwd=folder)
    return Installation(folder)
