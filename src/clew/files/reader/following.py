"""Files followed while they are written: what is appended, across rotation, renaming, compression and new files."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final, NamedTuple

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

_HEAD_BYTES: Final = 4096
"""By how much of its beginning a file is known: what telemetry says of its process is alike in all of its files."""

_MAX_KNOWN: Final = 1000
_COMPRESSED: Final = (".zst", ".gz")


class Follower:
    """Gives what is new in some files and folders each time it is asked.

    A file is known by its inode, so it may be renamed; it is kept open, so what was written just before it was
    compressed and removed is still read; its compressed form is known by its beginning and not read again.
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
        self._passed: set[tuple[int, ...]] = set()
        self._known: dict[tuple[int, int], _Known] = {}
        self._is_first, self._whole = True, whole

    def poll(self) -> list[Record]:
        """Return the records that were appended since the last call, file by file."""
        found: list[Record] = []
        listed, compressed = set(), []
        for source in find_sources(self._present(), signals=self._signals):
            status = _status(source.path)
            if status is None:
                continue
            if source.path.suffix in _COMPRESSED:
                compressed.append((source, (*_inode(status), status.st_mtime_ns, status.st_size)))
                continue
            inode = _inode(status)
            listed.add(inode)
            if inode not in self._followed:
                self._begin(source, inode)
            if inode in self._followed:
                found += self._followed[inode].read()
        for inode in self._followed.keys() - listed:
            found += self._end(inode)
        for source, identity in compressed:
            found += self._take_compressed(source, identity)
        self._passed = {identity for _, identity in compressed}
        self._remember()
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

    def _begin(self, source: Source, inode: tuple[int, int]) -> None:
        """Take up a plain file that was not there before; one that was compressed meanwhile comes the next time."""
        try:
            file = source.path.open("rb", buffering=0)
        except OSError:
            return
        reader = reading.FileReader(source, self._stats, self._signals, self._form)
        start = self._start(file)
        self._followed[inode] = _Followed(file, reader, start)

    def _start(self, file: IO[bytes]) -> int:
        """Return where to begin: of a copy, as `copytruncate` makes one, where the file that it is of was read to."""
        size = os.fstat(file.fileno()).st_size
        if self._is_first:
            return 0 if self._whole else max(0, size - TAIL_BYTES)
        offset = self._known_offset(os.pread(file.fileno(), _HEAD_BYTES, 0))
        return offset if offset <= size else 0

    def _end(self, inode: tuple[int, int]) -> Iterator[Record]:
        """Give the rest of a file that is gone, and remember it: its compressed form may come."""
        gone = self._followed.pop(inode)
        yield from gone.read()
        self._known.pop(inode, None)
        self._known[inode] = gone.known()
        yield from gone.close()

    def _remember(self) -> None:
        """Note how each file begins, before anything else may happen to it."""
        self._known.update((inode, followed.known()) for inode, followed in self._followed.items())
        while len(self._known) > max(_MAX_KNOWN, len(self._followed)):
            del self._known[next(iter(self._known))]

    def _known_offset(self, head: bytes) -> int:
        """Return how far a file that begins so was read, 0 if none was."""
        return next((known.offset for known in self._known.values() if known.head and head.startswith(known.head)), 0)

    def _take_compressed(self, source: Source, identity: tuple[int, ...]) -> Iterator[Record]:
        """Read a compressed file, unless it was read before, in this form or as the plain file that it was."""
        is_old = self._is_first and not self._whole
        if not is_old and identity not in self._passed and not self._known_offset(_head(source.path)):
            yield from reading.read([source], self._stats, signals=self._signals, form=self._form)


class _Known(NamedTuple):
    """How a file begins, empty if too little is there to know it by, and how far it was read."""

    head: bytes
    offset: int


class _Followed:
    """One plain file under observation."""

    def __init__(self, file: IO[bytes], reader: reading.FileReader, start: int) -> None:
        self._file, self._reader = file, reader
        self._rest = self._head = b""
        self._offset = start
        self._is_inside_line = start > 0 and os.pread(file.fileno(), 1, start - 1) != b"\n"

    def read(self) -> Iterator[Record]:
        """Give the records of the whole lines that were appended."""
        head = self._beginning()
        if os.fstat(self._file.fileno()).st_size < self._offset or not head.startswith(self._head):
            self._offset, self._rest, self._is_inside_line = 0, b"", False
        self._head = head
        self._file.seek(self._offset)
        is_new = False
        while block := self._file.read(lines.BLOCK_BYTES):
            is_new = True
            self._offset += len(block)
            yield from self._reader.more(self._whole_lines(block))
        if not is_new:
            yield from self._reader.settle()

    def known(self) -> _Known:
        """Return what it is known by; less than its first line may be how others begin too."""
        head = self._beginning()
        is_telling = len(head) == _HEAD_BYTES or b"\n" in head
        return _Known(head if is_telling else b"", self._offset - len(self._rest))

    def _beginning(self) -> bytes:
        return os.pread(self._file.fileno(), _HEAD_BYTES, 0)

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


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _head(path: Path) -> bytes:
    """Return a file's first bytes as they were before it was compressed."""
    try:
        with lines.open_file(path) as file:
            return next(lines.read_blocks(file), b"")[:_HEAD_BYTES]
    except (OSError, lines.DamagedError):
        return b""
