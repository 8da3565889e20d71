"""Files followed while they are written: what is appended, across rotation, renaming, compression and new files."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final

from clew.files.reader import lines, reading
from clew.files.reader.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from clew.files.reader.formats import TextFormat
    from clew.files.reader.records import ReadStats, Record
    from clew.files.reader.sources import Source

TAIL_BYTES: Final = 256 * 1024
"""How much of each file that is already there is read when following begins."""

_HEAD_BYTES: Final = 256
_COMPRESSED: Final = (".zst", ".gz")


class Follower:
    """Gives what is new in some files and folders each time it is asked.

    A file is known by its inode, so it may be renamed; it is kept open, so what was written just before it was
    compressed and removed is still read; its compressed form is known by its first bytes and not read again.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        stats: ReadStats,
        *,
        signals: Collection[str],
        form: TextFormat | None = None,
        whole: bool = False,
    ) -> None:
        """Begin at the end of what is there, less `TAIL_BYTES` of each file; with `whole` at the beginning of all."""
        self._paths, self._stats, self._signals, self._form = paths, stats, signals, form
        self._followed: dict[tuple[int, int], _Followed] = {}
        self._passed: set[tuple[int, int]] = set()
        self._heads: set[bytes] = set()
        self._is_first, self._whole = True, whole

    def poll(self) -> list[Record]:
        """Return the records that were appended since the last call, file by file."""
        found: list[Record] = []
        listed = set()
        for source in find_sources(self._present(), signals=self._signals):
            inode = _inode(source.path)
            if inode is None or inode in self._passed:
                continue
            listed.add(inode)
            if inode not in self._followed:
                found += self._begin(source, inode)
            if inode in self._followed:
                found += self._followed[inode].read()
        for inode in self._followed.keys() - listed:
            gone = self._followed.pop(inode)
            found += gone.read()
            found += gone.close()
        self._heads.update(followed.head for followed in self._followed.values() if followed.head)
        self._is_first = False
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for followed in self._followed.values():
            followed.close()
        self._followed.clear()

    def _present(self) -> Sequence[Path]:
        """Return the paths that are there: at first all have to be, later one may be gone between two files."""
        return self._paths if self._is_first else [path for path in self._paths if path.exists()]

    def _begin(self, source: Source, inode: tuple[int, int]) -> Iterator[Record]:
        """Take up a file that was not there before: follow a plain one, read a compressed one unless it is known."""
        if source.path.suffix in _COMPRESSED:
            self._passed.add(inode)
            is_old = self._is_first and not self._whole
            if not is_old and _head(source.path) not in self._heads:
                yield from reading.read([source], self._stats, signals=self._signals, form=self._form)
            return
        try:
            file = lines.open_file(source.path)
        except OSError:
            return
        reader = reading.FileReader(source, self._stats, self._signals, self._form)
        self._followed[inode] = _Followed(file, reader, from_end=self._is_first and not self._whole)


class _Followed:
    """One plain file under observation."""

    def __init__(self, file: IO[bytes], reader: reading.FileReader, *, from_end: bool) -> None:
        self._file, self._reader = file, reader
        self._rest = b""
        self.head = file.read(_HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        self._offset = max(0, size - TAIL_BYTES) if from_end else 0
        self._is_inside_line = self._offset > 0

    def read(self) -> Iterator[Record]:
        """Give the records of the whole lines that were appended."""
        if os.fstat(self._file.fileno()).st_size < self._offset:
            self._offset, self._rest, self._is_inside_line = 0, b"", False
        self._file.seek(self._offset)
        is_new = False
        while block := self._file.read(lines.BLOCK_BYTES):
            is_new = True
            self._offset += len(block)
            self.head = self.head or block[:_HEAD_BYTES]
            yield from self._reader.more(self._whole_lines(block))
        if not is_new:
            yield from self._reader.settle()

    def _whole_lines(self, block: bytes) -> bytes:
        """Return what is complete, and keep what is not for the next time."""
        if self._is_inside_line:
            _, newline, block = block.partition(b"\n")
            self._is_inside_line = not newline
        whole, newline, rest = (self._rest + block).rpartition(b"\n")
        self._rest = rest[: lines.MAX_LINE_BYTES]
        return whole + newline

    def close(self) -> list[Record]:
        """Close the file and give what was left of it."""
        self._file.close()
        last = list(self._reader.more(self._rest)) if self._rest else []
        return [*last, *self._reader.settle()]


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _head(path: Path) -> bytes:
    """Return a file's first bytes as they were before it was compressed."""
    try:
        with lines.open_file(path) as file:
            return next(lines.read_blocks(file), b"")[:_HEAD_BYTES]
    except (OSError, lines.DamagedError):
        return b""
