"""One closed file to its compressed form, so that a crash at any moment leaves the content whole and once."""

from __future__ import annotations

import os
import time
import zlib
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Compression = Literal["zstd", "gzip", "none"]

SUFFIXES: Final[dict[str, str]] = {"zstd": ".zst", "gzip": ".gz"}
"""What a compressed file's name ends in."""

TEMPORARY_SUFFIX: Final = ".tmp"

_CHUNK_BYTES: Final = 256 * 1024
_PAUSE_S: Final = 0.001
"""Rest after each chunk: compression shares the machine with the program and has no hurry."""

_ZSTD_LEVEL: Final = 3
_GZIP_LEVEL: Final = 6
_GZIP_WINDOW: Final = 31
"""zlib's window bits for a gzip header and trailer."""


def compress_file(source: int, path: Path, compression: Compression) -> Path:
    """Replace the file `path`, which is open as `source`, by its compressed form with the same times.

    The rename is the commit: a crash before it leaves the original and a `.tmp` that the next try overwrites, a crash
    after it leaves both forms, of which the next try removes the original.

    Raises:
        OSError: If it could not be written; the original stays.
    """
    target = path.with_name(path.name + SUFFIXES[compression])
    if not target.exists():
        temporary = target.with_name(target.name + TEMPORARY_SUFFIX)
        try:
            _write_compressed(source, temporary, compression)
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    path.unlink(missing_ok=True)
    return target


def _write_compressed(source: int, temporary: Path, compression: Compression) -> None:
    """Write the compressed content of `source` to a new file, with the times of `source`."""
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    status = os.fstat(source)
    with open(os.open(temporary, flags, status.st_mode & 0o666), "wb") as file:  # noqa: PTH123 - it is a descriptor
        file.writelines(_compressed(_chunks(source), compression))
        file.flush()
        os.fsync(file.fileno())
        os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _chunks(source: int) -> Iterator[bytes]:
    """Read a descriptor from its start, resting after each chunk."""
    os.lseek(source, 0, os.SEEK_SET)
    while chunk := os.read(source, _CHUNK_BYTES):
        yield chunk
        time.sleep(_PAUSE_S)


def _compressed(chunks: Iterator[bytes], compression: Compression) -> Iterator[bytes]:
    """Compress chunks as one stream."""
    compressor: Any
    if compression == "zstd":
        import zstandard  # noqa: PLC0415 - 5 ms of start-up that only this thread needs

        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    else:
        compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()
