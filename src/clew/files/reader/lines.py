"""Bytes of a file, compressed or not, cut into lines with bounded memory; or only the lines that hold certain bytes."""

from __future__ import annotations

import os
import stat
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from clew.files.reader.records import ReadStats

BLOCK_BYTES: Final = 512 * 1024
"""Read size: large beside a system call's cost, small enough to stay in the cache while it is searched."""

MAX_LINE_BYTES: Final = 16 * 1024**2
"""Longest line that is parsed. A batch of the Collector's default size is about 8 MB."""

KEPT_BYTES: Final = 64 * 1024
"""How much of a longer line is kept as raw."""

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_PREFIX_BYTES: Final = 4


class DamagedError(Exception):
    """Compressed data that ends early or does not decompress; what came before it was given."""


def read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Read a file's content block by block, decompressed by what its first bytes say, whatever its name.

    Takes several zstd frames or gzip members in a row, and the Collector's older form in which each message is
    compressed alone behind its length.
    Of a plain file that grows while it is read, only what it had at the start is given: a writer that is faster than
    us would keep us for ever.

    Raises:
        DamagedError: After the last good block, if compressed data is damaged or ends early.
    """
    head = file.read(BLOCK_BYTES)
    if head.startswith(_ZSTD_MAGIC):
        yield from _unzstd(file)
    elif head.startswith(_GZIP_MAGIC):
        yield from _gunzip(head, file)
    elif head[_PREFIX_BYTES:].startswith(_ZSTD_MAGIC):
        yield from _unzstd_messages(file)
    else:
        yield from _plain(head, file)


def _plain(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """Give a plain file's blocks; one without a size of its own, such as a pipe, to its end."""
    status = os.fstat(file.fileno()) if _has_descriptor(file) else None
    left = status.st_size if status is not None and stat.S_ISREG(status.st_mode) else sys.maxsize
    while head and left > 0:
        yield head[:left]
        left -= len(head)
        head = file.read(BLOCK_BYTES)


def _has_descriptor(file: IO[bytes]) -> bool:
    try:
        file.fileno()
    except OSError:
        return False
    return True


def _gunzip(head: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """Decompress gzip members; zlib is used directly because `gzip` drops what it has when a member is torn."""
    data, member = head, zlib.decompressobj(_GZIP_WINDOW)
    try:
        while data:
            block = member.decompress(data, BLOCK_BYTES)
            if block:
                yield block
            if member.eof:
                data = member.unused_data.lstrip(b"\0") or file.read(BLOCK_BYTES)
                member = zlib.decompressobj(_GZIP_WINDOW) if data else member
            else:
                data = member.unconsumed_tail or file.read(BLOCK_BYTES)
    except zlib.error as error:
        raise DamagedError(str(error)) from None
    if not member.eof:
        yield member.flush()
        raise DamagedError("ends early")


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    """Decompress zstd frames; a frame that ends early gives what it has."""
    import zstandard  # noqa: PLC0415 - most files are not compressed, and its import takes as long as reading a small one

    file.seek(0)
    stream = zstandard.ZstdDecompressor().stream_reader(file, read_size=BLOCK_BYTES, read_across_frames=True)
    try:
        while block := stream.read(BLOCK_BYTES):
            yield block
    except zstandard.ZstdError as error:
        raise DamagedError(str(error)) from None


def _unzstd_messages(file: IO[bytes]) -> Iterator[bytes]:
    """Decompress the Collector's length-prefixed messages into lines."""
    import zstandard  # noqa: PLC0415 - as above

    file.seek(0)
    decompressor: Any = zstandard.ZstdDecompressor()
    try:
        while prefix := file.read(_PREFIX_BYTES):
            message = file.read(min(int.from_bytes(prefix, "big"), MAX_LINE_BYTES))
            yield decompressor.decompress(message, max_output_size=MAX_LINE_BYTES) + b"\n"
    except zstandard.ZstdError as error:
        raise DamagedError(str(error)) from None


def split_lines(blocks: Iterable[bytes], stats: ReadStats) -> Iterator[bytes]:
    """Cut blocks into lines without newline; the last one may lack it. Of a line past the limit only the head comes."""
    line = _Line(stats)
    for block in blocks:
        stats.bytes += len(block)
        pieces = block.split(b"\n")
        if len(pieces) > 1:
            yield line.finish(pieces[0])
            yield from pieces[1:-1]
        line.extend(pieces[-1])
    if line.length:
        yield line.finish(b"")


def find_lines(blocks: Iterable[bytes], needles: Sequence[bytes], stats: ReadStats) -> Iterator[bytes]:
    """Give only the lines that hold one of `needles`, in order; the rest is not even cut into lines."""
    line = _Line(stats, needles)
    for block in blocks:
        stats.bytes += len(block)
        first = block.find(b"\n")
        if first < 0:
            line.extend(block)
            continue
        whole = line.finish(block[:first])
        if line.was_hit:
            yield whole
        last = block.rfind(b"\n")
        yield from _hits(block, needles, first + 1, last)
        line.extend(block[last + 1 :])
    if line.length:
        whole = line.finish(b"")
        if line.was_hit:
            yield whole


def _hits(block: bytes, needles: Sequence[bytes], start: int, end: int) -> Iterator[bytes]:
    """Give the lines between two newlines of a block that hold a needle."""
    found = {needle: block.find(needle, start, end) for needle in needles}
    while any(place >= 0 for place in found.values()):
        place = min(place for place in found.values() if place >= 0)
        line_start = block.rfind(b"\n", 0, place) + 1
        line_end = block.find(b"\n", place)
        yield block[line_start:line_end]
        found = {
            needle: block.find(needle, line_end, end) if 0 <= place < line_end else place
            for needle, place in found.items()
        }


class _Line:
    """The line under way between blocks: its pieces up to the limit, and whether a needle was seen in it."""

    def __init__(self, stats: ReadStats, needles: Sequence[bytes] = ()) -> None:
        self._stats = stats
        self._needles = needles
        self._overlap = max(map(len, needles), default=1) - 1
        self._start()
        self.was_hit = False

    def _start(self) -> None:
        self._pieces: list[bytes] = []
        self._edge = b""
        self._hit = False
        self.length = 0

    def extend(self, piece: bytes) -> None:
        """Add a piece; needles that lie across two pieces are seen too."""
        if self._needles and not self._hit:
            seam = self._edge + piece[: self._overlap]
            self._hit = any(needle in piece or needle in seam for needle in self._needles)
            self._edge = (self._edge + piece[-self._overlap :])[-self._overlap :] if self._overlap else b""
        self.length += len(piece)
        if self.length <= MAX_LINE_BYTES:
            self._pieces.append(piece)
        else:
            del self._pieces[1:]
            self._pieces[:] = [b"".join([*self._pieces, piece])[:KEPT_BYTES]] if self._pieces else [piece[:KEPT_BYTES]]

    def finish(self, piece: bytes) -> bytes:
        """Add the last piece, give the line and begin the next."""
        self.extend(piece)
        self._stats.overlong += self.length > MAX_LINE_BYTES
        whole = b"".join(self._pieces)
        self.was_hit = self._hit
        self._start()
        return whole


def open_file(path: Path) -> IO[bytes]:
    """Open a file to read; one that was compressed since it was listed is opened under its new name.

    Raises:
        OSError: If it is gone or cannot be read.
    """
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        for suffix in (".zst", ".gz"):
            compressed = path.with_name(path.name + suffix)
            if compressed.exists():
                return compressed.open("rb", buffering=0)
        raise
