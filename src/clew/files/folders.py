"""Folders that only their owner can enter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make `folder` and whatever is missing above it, each for its owner alone; one that exists keeps its mode.

    `Path.mkdir(parents=True)` gives its mode to the last part only, and the state folder is to be made private
    (XDG base directory specification, "Environment variables").

    Raises:
        OSError: If it cannot be made.
    """
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
