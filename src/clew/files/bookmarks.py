"""How far each file has been taken: survives a restart, and the file's rotation and compression."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Final

import orjson

from clew.files.folders import make_folder

if TYPE_CHECKING:
    from pathlib import Path

MAX_ENTRIES: Final = 10_000
"""Files that are remembered; the oldest entries go first, long after retention has taken their files."""

_TELLING_BYTES: Final = 200
"""Shorter first lines, such as a banner in a text log, may begin more than one file."""


class Bookmarks:
    """A small JSON file of numbers by key. One process at a time; a file that cannot be read counts as empty."""

    def __init__(self, path: Path) -> None:
        """Load what is there."""
        self._path = path
        self._entries: dict[str, int] = _load(path)

    def get(self, key: str) -> int:
        """Return the number under a key, 0 if there is none."""
        return self._entries.get(key, 0)

    def put(self, key: str, number: int) -> None:
        """Set the number under a key and store it.

        The rename is the commit: a crash leaves the old state or the new one.

        Raises:
            OSError: If it cannot be written.
        """
        self._entries.pop(key, None)
        self._entries[key] = number
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        make_folder(self._path.parent)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(orjson.dumps(self._entries))
        temporary.replace(self._path)


def identity(path: Path, first_line: bytes) -> str:
    """Name a file by its first line, which rotation and compression leave; by its path too if that line is short."""
    told = first_line if len(first_line) >= _TELLING_BYTES else first_line + bytes(path)
    return hashlib.sha256(told).hexdigest()[:32]


def _load(path: Path) -> dict[str, int]:
    try:
        data: Any = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {key: number for key, number in data.items() if isinstance(number, int)}
