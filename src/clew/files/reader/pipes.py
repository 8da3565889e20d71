"""What comes through a pipe, kept in a temporary file: a question may read its files more than once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import IO, Final

STANDARD_INPUT: Final = Path("/dev/stdin")

_kept: Final[dict[Path, IO[bytes]]] = {}


def keep(pipe: Path) -> Path:
    """Return a file that holds all that comes through a pipe; it goes away with the process.

    Raises:
        OSError: If the pipe cannot be read, or the disk is full.
    """
    if pipe not in _kept:
        file = tempfile.NamedTemporaryFile(prefix="clew-")  # noqa: SIM115 - open as long as the process lasts
        with pipe.open("rb") as source:
            shutil.copyfileobj(source, file)
        file.flush()
        _kept[pipe] = file
    return Path(_kept[pipe].name)
