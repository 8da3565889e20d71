"""What Clew writes, only its owner reads."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from clew.files.folders import make_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_every_new_folder_is_private(tmp_path: Path) -> None:
    """The folder and the missing ones above it are made with mode 0700, whatever the umask lets through."""
    mask = os.umask(0)
    try:
        make_folder(tmp_path / "state" / "clew" / "spool")
    finally:
        os.umask(mask)

    made = [tmp_path / "state", tmp_path / "state" / "clew", tmp_path / "state" / "clew" / "spool"]
    assert [0o700] * 3 == [stat.S_IMODE(path.stat().st_mode) for path in made]


def test_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    """A folder that somebody made for a group stays so."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)

    make_folder(shared)

    assert stat.S_IMODE(shared.stat().st_mode) == 0o750


def test_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    """A file where the folder should be is an error for the caller to count."""
    (tmp_path / "state").write_text("")

    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        make_folder(tmp_path / "state" / "clew")
