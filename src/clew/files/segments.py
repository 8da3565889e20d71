"""Segments: the files that telemetry is written to, their names, their rotation, and which of them are closed.

One writer per process and signal, so no two processes share a file. A writer holds a lock (`flock`) on the segment that
it writes: that is how others tell a live one from what a dead process left behind, and it goes away with the process,
however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
import weakref
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from clew import schema
from clew.files.compression import SUFFIXES, TEMPORARY_SUFFIX, Compression, compress_file
from clew.files.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_SERVICE_CHARS: Final = 64
_UNNAMED: Final = "unknown_service"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_NAME: Final = re.compile(
    rf"({'|'.join(schema.SIGNALS)})-([A-Za-z0-9._-]{{1,{MAX_SERVICE_CHARS}}})-([1-9]\d*|0)"
    r"-(19[7-9]\d|[2-9]\d{3})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{6})Z"
    rf"{re.escape(schema.SEGMENT_SUFFIX)}(|\.gz|\.zst)",
    re.ASCII,
)


class SegmentName(NamedTuple):
    """What a segment's name says; `start_us` is microseconds since 1970, `suffix` is empty, `.gz` or `.zst`."""

    signal: str
    service: str
    pid: int
    start_us: int
    suffix: str = ""


def clean_service(service: str) -> str:
    """Return a service's name as it stands in file names: never empty, at most 64 characters, no separators."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", service)[:MAX_SERVICE_CHARS] or _UNNAMED


def segment_name(signal: str, service: str, pid: int, start_us: int) -> str:
    """Return the file name of a segment; names of one writer sort by their start."""
    start = (_EPOCH + start_us * _MICROSECOND).strftime(schema.SEGMENT_TIME_FORMAT)
    return f"{signal}-{clean_service(service)}-{pid}-{start}{schema.SEGMENT_SUFFIX}"


def parse_segment_name(name: str) -> SegmentName | None:
    """Return what `name` says, the inverse of `segment_name`, or None if it is no segment's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    signal, service, pid, *date, suffix = match.groups()
    year, month, day, hour, minute, second, microsecond = map(int, date)
    try:
        start = datetime(year, month, day, hour, minute, second, microsecond, timezone.utc)
    except ValueError:
        return None
    return SegmentName(signal, service, int(pid), (start - _EPOCH) // _MICROSECOND, suffix)


def list_names(folder: Path | int) -> list[str]:
    """List the names in a folder, given by path or descriptor, and miss no segment that is compressed meanwhile.

    A listing is no snapshot: it may come by neither before the new name is made nor after the old one is gone. So it is
    made twice, and where a plain name was seen the compressed ones are listed too; some may be gone by now.
    """
    names = {*os.listdir(folder), *os.listdir(folder)}  # noqa: PTH208 - a descriptor has no iterdir
    plain = [name for name in names if name.endswith(schema.SEGMENT_SUFFIX)]
    return sorted(names.union(name + suffix for name in plain for suffix in SUFFIXES.values()))


def segments_in(folder: Path) -> list[tuple[SegmentName, Path]]:
    """List the segments in `folder`, oldest start first; those being written too, each once.

    Where a crash left a segment both plain and compressed, the plain one stands for both.
    """
    try:
        paths = [(parsed, folder / name) for name in list_names(folder) if (parsed := parse_segment_name(name))]
    except FileNotFoundError:
        return []
    found: dict[SegmentName, tuple[SegmentName, Path]] = {}
    for parsed, path in paths:
        if os.path.lexists(path):
            found.setdefault(parsed._replace(suffix=""), (parsed, path))
    return sorted(found.values(), key=lambda item: (item[0].start_us, item[1].name))


def is_live(path: Path) -> bool:
    """Return whether a process has `path` open as its segment right now."""
    descriptor = open_locked(path)
    if descriptor is None:
        return path.exists()
    os.close(descriptor)
    return False


def open_locked(path: Path | str, folder: int | None = None) -> int | None:
    """Open a file for reading and lock it, or return None if it is gone, no regular file, or locked by another.

    What holds the descriptor may remove or replace the file: no writer has it, and none will take it up again.

    Args:
        path: The file; a name where `folder` is given.
        folder: Descriptor of the folder that `path` is in.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path, dir_fd=folder, follow_symlinks=False)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def compress_closed(folder: Path, compression: Compression) -> list[Path]:
    """Compress each segment in `folder` that no process writes, remove empty ones, and return the new files.

    Any number of processes may do this at once. A segment that cannot be compressed, as on a full disk, stays as it is.
    """
    made = []
    for name, path in segments_in(folder) if compression != "none" else []:
        descriptor = None if name.suffix else open_locked(path)
        if descriptor is None:
            continue
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_size:
                made.append(compress_file(descriptor, path, compression))
            else:
                path.unlink()
        os.close(descriptor)
    _remove_leftovers(folder)
    return made


def _remove_leftovers(folder: Path) -> None:
    """Remove what a crash left of a compression, where the segment that it was made of is gone."""
    with contextlib.suppress(OSError):
        for name in [entry.name for entry in folder.iterdir()]:
            parsed = parse_segment_name(name.removesuffix(TEMPORARY_SUFFIX))
            if name.endswith(TEMPORARY_SUFFIX) and parsed is not None:
                original = segment_name(*parsed[:4])
                if not (folder / original).exists():
                    (folder / name).unlink()


_last_start_us = 0
_start_lock = threading.RLock()


def _next_start_us(clock: Callable[[], float]) -> int:
    """Return the time in microseconds, later than any before in this process even if the clock steps back."""
    global _last_start_us  # noqa: PLW0603 - writers of one process must not take the same name
    with _start_lock:
        _last_start_us = max(int(clock() * 1_000_000), _last_start_us + 1)
        return _last_start_us


class SegmentWriter:
    """Appends lines to segments of one signal; safe from any thread, and in a forked child.

    A segment is closed before a write that would make it longer than `max_bytes`, and once it is `max_age_s` old; a
    write that is longer alone has a segment of its own. A write that has returned outlives the process; one that a kill
    interrupts may leave a torn line, the last of its segment (Linux stops such a write between two pages). Where the
    segment or its folder was removed or renamed, the next write begins a new one.
    """

    def __init__(  # noqa: PLR0913 - each is a property of the segments, and all but three have names
        self,
        folder: Path,
        signal: str,
        service: str,
        *,
        max_bytes: int,
        max_age_s: float,
        compression: Compression = "zstd",
        opening: Callable[[int], AbstractContextManager[object]] = nullcontext,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a writer; the first write opens the first segment.

        Args:
            folder: Where segments go; made with mode 0700 when it is not there.
            signal: One of `schema.SIGNALS`.
            service: The service's name.
            max_bytes: Size that no segment exceeds.
            max_age_s: Age at which a segment is closed, by a clock that does not jump.
            compression: What `compress_closed` does.
            opening: Entered with the bytes that a new segment may take, while it is opened; retention makes room there.
            clock: Seconds since 1970, for names.
            monotonic: Seconds, for ages.
        """
        self._folder, self._signal, self._service = folder, signal, service
        self._max_bytes, self._max_age_s, self._compression = max_bytes, max_age_s, compression
        self._opening, self._clock, self._monotonic = opening, clock, monotonic
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None
        self._opened_at = 0.0
        _writers.add(self)

    @property
    def path(self) -> Path | None:
        """The segment that is open, or None."""
        return self._path

    def share(self) -> int | None:
        """Return a descriptor of the open segment: its lock lasts until that is closed, too."""
        with self._lock, contextlib.suppress(OSError):
            return os.dup(self._descriptor) if self._descriptor is not None and self._is_ours() else None
        return None

    def write(self, lines: bytes) -> None:
        """Append one or more whole lines; when it returns, they outlive the process.

        Raises:
            OSError: If they could not be written, such as on a full disk; nothing of them is left in the segment.
        """
        if self._pid != os.getpid():
            self.abandon()
        with self._lock:
            size = self._size_of_open()
            if size is None or (size and size + len(lines) > self._max_bytes):
                self._close()
                with self._opening(max(self._max_bytes, len(lines))):
                    self._open()
            self._append(lines)

    def close_aged(self) -> bool:
        """Close the segment if it is too old, so that it can be compressed and expire though no more is written.

        Returns:
            Whether one was closed.
        """
        if self._pid != os.getpid():
            self.abandon()
        with self._lock:
            if self._descriptor is None or not self._is_aged():
                return False
            self._close()
            return True

    def close(self) -> None:
        """Close the segment; a later write opens a new one."""
        if self._pid != os.getpid():
            self.abandon()
        with self._lock:
            self._close()

    def abandon(self) -> None:
        """Forget the parent's segment in a forked child; the parent goes on writing it, the next write here opens one.

        Only this process's copy of the descriptor is closed: a child that kept it would make the segment look alive for
        as long as the child lives.
        """
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._close()

    def compress_closed(self) -> list[Path]:
        """Compress what is closed in the folder, see `compress_closed`."""
        return compress_closed(self._folder, self._compression)

    def _size_of_open(self) -> int | None:
        """Return the size of the open segment, or None where a new one is due."""
        if self._descriptor is None or self._path is None or self._is_aged():
            return None
        try:
            status = self._path.lstat()
        except OSError:
            return None
        return status.st_size if _identity(status) == self._identity and self._is_ours() else None

    def _is_ours(self) -> bool:
        """Return whether the descriptor is still the segment's: what becomes a daemon closes all it finds."""
        try:
            return self._descriptor is not None and _identity(os.fstat(self._descriptor)) == self._identity
        except OSError:
            return False

    def _is_aged(self) -> bool:
        return self._monotonic() - self._opened_at >= self._max_age_s

    def _open(self) -> None:
        """Open a new segment and lock it."""
        make_folder(self._folder)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        while self._descriptor is None:
            name = segment_name(self._signal, self._service, self._pid, _next_start_us(self._clock))
            path = self._folder / name
            try:
                descriptor = os.open(path, flags, 0o600)
            except FileExistsError:
                continue
            if _lock(descriptor, path):
                self._descriptor, self._path, self._opened_at = descriptor, path, self._monotonic()
                self._identity = _identity(os.fstat(descriptor))

    def _append(self, lines: bytes) -> None:
        """Write all of `lines` or nothing."""
        descriptor = cast("int", self._descriptor)
        size, written = os.fstat(descriptor).st_size, 0
        try:
            while written < len(lines):
                written += os.write(descriptor, lines[written:] if written else lines)
        except OSError:
            self._cut_back(descriptor, size, written)
            raise

    def _cut_back(self, descriptor: int, size: int, written: int) -> None:
        """Take off a line that was written in part; where that cannot be, go on in another segment."""
        try:
            if os.fstat(descriptor).st_size == size + written:
                os.ftruncate(descriptor, size)
                return
        except OSError:
            pass
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None and self._is_ours():
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = self._path = self._identity = None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _lock(descriptor: int, path: Path) -> bool:
    """Lock a segment just made; False, and gone again, if another process got hold of it to see whether it is live.

    Raises:
        OSError: If the file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return True
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        _discard(descriptor, path)
        raise
    _discard(descriptor, path)
    return False


def _discard(descriptor: int, path: Path) -> None:
    os.close(descriptor)
    path.unlink(missing_ok=True)


_writers: weakref.WeakSet[SegmentWriter] = weakref.WeakSet()


def _abandon_all() -> None:
    """Let go of the parent's segments in a forked child, and of a lock that a thread left behind may hold."""
    global _start_lock  # noqa: PLW0603 - a lock cannot be freed by another
    _start_lock = threading.RLock()
    for writer in list(_writers):
        writer.abandon()


os.register_at_fork(after_in_child=_abandon_all)
