"""Which telemetry files go when there are too many, they are too old, too large together, or the disk fills up.

Only files whose names Clew or the Collector's file exporter makes are ever counted or removed, never what a process is
writing, never a link, never anything in another folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from clew import schema
from clew.files.folders import make_folder
from clew.files.segments import list_names, open_locked, parse_segment_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clew.settings import Settings

CHECK_INTERVAL_S: Final = 60.0
"""How often a folder is looked at though nothing is rotated, by one of the processes that use it."""

_LOCK_WAIT_S: Final = 1.0
_BLOCK_BYTES: Final = 512
_COLLECTOR_NAME: Final = re.compile(
    r"(?P<stem>.+-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}-[^-]+\.jsonl)(?:\.gz|\.zst)?", re.ASCII
)
"""What the Collector's file exporter renames a file to when it rotates; the one it writes has no time in its name."""


@dataclass(frozen=True)
class RetentionPolicy:
    """The bounds that a folder is held to; the oldest files go first, whichever bound is exceeded.

    `min_free_bytes` is never more than half of the disk, so that a small volume keeps something at all.
    """

    max_age_s: float
    max_files: int
    max_bytes: int
    min_free_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> RetentionPolicy:
        """Return the policy that the settings ask for."""
        return cls(
            settings.retention_max_age_s,
            settings.retention_max_files,
            settings.retention_max_bytes,
            settings.retention_min_free_bytes,
        )


@dataclass(frozen=True)
class Removal:
    """One file that goes, or would go: why is `age`, `files`, `bytes` or `free`."""

    path: Path
    size: int
    reason: str


@dataclass(frozen=True)
class RetentionResult:
    """What was done: files removed, files that could not be, and what is left. `busy` when another process is at it."""

    removed: tuple[Removal, ...] = ()
    failed: tuple[Removal, ...] = ()
    kept_files: int = 0
    kept_bytes: int = 0
    busy: bool = False

    @property
    def removed_bytes(self) -> int:
        """Bytes of the files removed."""
        return sum(removal.size for removal in self.removed)


class Room(NamedTuple):
    """What is to be kept free for segments: one about to be opened, and the growth of those being written."""

    files: int = 0
    segment_bytes: int = 0


_NO_ROOM: Final = Room()


def plan(folder: Path, policy: RetentionPolicy, now: float | None = None) -> list[Path]:
    """Return the files that exceed the policy, oldest first; nothing is removed."""
    with _opened(folder) as descriptor:
        return [removal.path for removal in _enforce(folder, descriptor, policy, now).removed]


def apply(folder: Path, policy: RetentionPolicy, *, dry_run: bool = False, now: float | None = None) -> RetentionResult:
    """Remove the files that exceed the policy, oldest first.

    One process at a time: where another is at it, nothing is done and the result says `busy`. A file that cannot be
    removed is skipped. A folder that is not there holds nothing.

    Args:
        folder: The folder; its subfolders are not looked into.
        policy: The bounds.
        dry_run: Return what would be removed.
        now: Seconds since 1970 instead of the clock's.

    Raises:
        OSError: If the folder cannot be read.
    """
    if not folder.exists():
        return RetentionResult()
    with _opened(folder) as descriptor:
        if dry_run:
            return _enforce(folder, descriptor, policy, now)
        with _locked(descriptor, wait_s=0) as held:
            if not held:
                return RetentionResult(busy=True)
            return _enforce(folder, descriptor, policy, now, remove=_remove)


@contextmanager
def making_room(folder: Path, policy: RetentionPolicy, segment_bytes: int) -> Iterator[None]:
    """Remove what must go for one more segment to fit, and keep other processes from opening theirs meanwhile.

    For `SegmentWriter(opening=...)`: with it a folder's bounds hold at every moment, not only after a check. Segments
    being written count with the size that they may grow to, in all at most half of `max_bytes`. Trouble with the old
    files never keeps the new one from being opened.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            make_folder(folder)
            descriptor = held.enter_context(_opened(folder))
            if held.enter_context(_locked(descriptor, wait_s=_LOCK_WAIT_S)):
                _enforce(folder, descriptor, policy, room=Room(1, segment_bytes), remove=_remove)
        yield


def is_due(folder: Path, interval_s: float = CHECK_INTERVAL_S) -> bool:
    """Return whether no process has applied a policy to `folder` for `interval_s`: one look at one file."""
    try:
        checked_at = (folder / schema.RETENTION_LOCK).lstat().st_mtime
    except OSError:
        return True
    return abs(time.time() - checked_at) >= interval_s


class _Form(NamedTuple):
    """One form of a stored segment, plain or compressed."""

    name: str
    status: os.stat_result
    live: bool


class _File(NamedTuple):
    """One stored segment: the sizes of its forms (plain, compressed, after a crash both), and whether it is in use."""

    sizes: dict[str, int]
    size: int
    disk_bytes: int
    written_at: float
    live: bool


@dataclass
class _Usage:
    """What a folder takes up, while files go."""

    files: int
    size: int
    missing_bytes: int

    def excess(self, policy: RetentionPolicy) -> str | None:
        """Return which bound is exceeded."""
        if self.files > policy.max_files:
            return "files"
        if self.size > policy.max_bytes:
            return "bytes"
        return "free" if self.missing_bytes > 0 else None

    def without(self, file: _File) -> _Usage:
        """Return what is left when a file is gone."""
        return _Usage(self.files - 1, self.size - file.size, self.missing_bytes - file.disk_bytes)


def _enforce(
    folder: Path,
    descriptor: int,
    policy: RetentionPolicy,
    now: float | None = None,
    room: Room = _NO_ROOM,
    remove: Callable[[int, str], bool] = lambda _folder, _name: True,
) -> RetentionResult:
    """Remove files from the oldest on as long as any bound is exceeded; one that cannot go makes the next one go."""
    files = _scan(descriptor)
    oldest = (time.time() if now is None else now) - policy.max_age_s
    reserved = _reserved_bytes(files, policy, room)
    usage = _Usage(
        len(files) + room.files, sum(file.size for file in files) + reserved, _missing_bytes(descriptor, policy)
    )
    removed: list[Removal] = []
    failed: list[Removal] = []
    for file in sorted((file for file in files if not file.live), key=lambda file: (file.written_at, *file.sizes)):
        reason = "age" if file.written_at < oldest else usage.excess(policy)
        if reason is None:
            break
        gone = [remove(descriptor, name) for name in file.sizes]
        removals = [Removal(folder / name, size, reason) for name, size in file.sizes.items()]
        (removed if all(gone) else failed).extend(removals)
        usage = usage.without(file) if all(gone) else usage
    return RetentionResult(tuple(removed), tuple(failed), usage.files - room.files, usage.size - reserved)


def _reserved_bytes(files: list[_File], policy: RetentionPolicy, room: Room) -> int:
    """Return how many bytes to keep free for segments to grow into."""
    growth = sum(max(room.segment_bytes - file.size, 0) for file in files if file.live)
    return min(growth + room.segment_bytes, policy.max_bytes // 2)


def _missing_bytes(descriptor: int, policy: RetentionPolicy) -> int:
    """Return how many bytes the disk lacks to the free space that is asked for."""
    disk = os.fstatvfs(descriptor)
    wanted = min(policy.min_free_bytes, disk.f_blocks * disk.f_frsize // 2)
    return wanted - disk.f_bavail * disk.f_frsize


def _remove(descriptor: int, name: str) -> bool:
    """Remove one file of the folder, unless a process has begun to use it."""
    held = open_locked(name, descriptor)
    try:
        if held is not None:
            os.unlink(name, dir_fd=descriptor)
    except OSError:
        return False
    finally:
        if held is not None:
            os.close(held)
    return held is not None


def _scan(descriptor: int) -> list[_File]:
    """Return the folder's telemetry files."""
    found: dict[str, list[_Form]] = {}
    for name in list_names(descriptor):
        stem = _stem(name)
        if stem is not None and (form := _look_at(name, descriptor)) is not None:
            found.setdefault(stem, []).append(form)
    return [_file(forms) for forms in found.values()]


def _look_at(name: str, descriptor: int) -> _Form | None:
    """Return what there is under a name of the folder, or None if that is no regular file."""
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _Form(name, status, _is_written(name, descriptor)) if stat.S_ISREG(status.st_mode) else None


def _file(forms: list[_Form]) -> _File:
    return _File(
        {form.name: form.status.st_size for form in sorted(forms, key=lambda form: form.name)},
        sum(form.status.st_size for form in forms),
        sum(form.status.st_blocks * _BLOCK_BYTES for form in forms),
        max(form.status.st_mtime for form in forms),
        any(form.live for form in forms),
    )


def _stem(name: str) -> str | None:
    """Return the name without its compression's suffix, or None for a file that is none of ours to judge."""
    if (parsed := parse_segment_name(name)) is not None:
        return name.removesuffix(parsed.suffix)
    match = _COLLECTOR_NAME.fullmatch(name)
    return match and match["stem"]


def _is_written(name: str, descriptor: int) -> bool:
    """Return whether a process writes or compresses the file; only plain ones are."""
    if not name.endswith(schema.SEGMENT_SUFFIX) or parse_segment_name(name) is None:
        return False
    held = open_locked(name, descriptor)
    if held is not None:
        os.close(held)
    return held is None


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder, so that what is done in it cannot land in another that takes its place."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: int, wait_s: float) -> Iterator[bool]:
    """Hold a folder's lock if it can be had within `wait_s`; its file's time says when that was.

    On a full disk, where no lock file can be made, going on without is better than removing nothing.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(schema.RETENTION_LOCK, flags, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        yield True
        return
    try:
        held = _lock_within(descriptor, wait_s)
        if held:
            os.utime(descriptor)
        yield held
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, wait_s: float) -> bool:
    """Take a lock, trying again until `wait_s` is over."""
    deadline = time.monotonic() + wait_s
    while not _lock(descriptor):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
    return True


def _lock(descriptor: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
