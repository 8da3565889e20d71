"""Log records that are on disk before the log call returns, so that not even `kill -9` loses them.

Each is one line in a segment of the spool that this process writes. Once all records of a segment are delivered, the
segment is removed; what a killed process leaves is delivered from the spool. Until then the segment stays locked, full
as it may be, so that nobody delivers from it what is in this process's queue.
"""

from __future__ import annotations

import contextlib
import os
from _thread import RLock
from collections import Counter
from typing import TYPE_CHECKING, Final

from clew import diagnostics
from clew.delivery.record_uid import with_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from clew.delivery.spool import Spool
    from clew.entry import LogEntry
    from clew.files.segments import SegmentWriter

NEVER = 1 << 31
"""A severity that no record has."""

_MAX_HELD: Final = 64
"""Segments that are kept open at most."""


def durable_severity(level: int | None) -> int:
    """Return the severity number that `CLEW_DURABLE_LEVEL` stands for; `NEVER` for off.

    Ten logging levels are one of OpenTelemetry's ranges of four (specification, "Mapping of SeverityNumber").
    """
    if level is None:
        return NEVER
    first, step = divmod(level, 10)
    return max(1, min(24, first * 4 + 1 + min(step, 3)))


class DurableLog:
    """Keeps entries until they are released; safe from any thread and in a signal handler."""

    def __init__(self, spool: Spool, encode_line: Callable[[LogEntry], bytes]) -> None:
        self._spool, self._encode_line = spool, encode_line
        self._writer: SegmentWriter | None = None
        self._held: dict[Path, tuple[int, os.stat_result]] = {}
        self.abandon()

    def abandon(self) -> None:
        """Leave everything to the parent in a forked child."""
        self._lock = RLock()
        if self._writer is not None:
            self._writer.abandon()
        self._let_all_go()
        self._paths: dict[str, Path] = {}
        self._pending: Counter[Path] = Counter()

    def keep(self, entry: LogEntry) -> LogEntry:
        """Write `entry` and return it with its uid; where it cannot be written it is returned as it is, told."""
        kept = with_uid(entry)
        try:
            line = self._encode_line(kept)
            with self._lock:
                self._write(kept.uid or "", line)
        except Exception as error:  # noqa: BLE001 - runs in the program's log call
            diagnostics.report("durable", f"ERROR records are not kept in {self._spool.folder}: {error}")
            return entry
        return kept

    def _write(self, uid: str, line: bytes) -> None:
        if self._writer is None:
            self._writer = self._spool.make_writer("logs")
        self._writer.write(line)
        path = self._writer.path
        if path is not None:
            self._hold(path, self._writer)
            self._paths[uid] = path
            self._pending[path] += 1

    def _hold(self, path: Path, writer: SegmentWriter) -> None:
        """Have a segment stay locked when the writer closes it, without a moment between in which it is not."""
        if path not in self._held and len(self._held) < _MAX_HELD:
            descriptor = writer.share()
            if descriptor is not None:
                self._held[path] = (descriptor, os.fstat(descriptor))

    def release(self, entries: Iterable[LogEntry]) -> None:
        """Let go of entries that are delivered or stored elsewhere; a segment with none left is removed."""
        uids = [entry.uid for entry in entries if entry.uid is not None]
        if not uids or not self._lock.acquire(timeout=1.0):
            return
        try:
            for uid in uids:
                path = self._paths.pop(uid, None)
                if path is not None:
                    self._pending[path] -= 1
            self._remove_empty()
        finally:
            self._lock.release()

    def _remove_empty(self) -> None:
        for path in [path for path, records in self._pending.items() if records <= 0]:
            del self._pending[path]
            # Gone before the lock is: who finds it unlocked would deliver it.
            with contextlib.suppress(OSError):
                path.unlink()
            if self._writer is not None and self._writer.path == path:
                self._writer.close()
            self._let_go(path)

    def _let_go(self, path: Path) -> None:
        """Give up the lock of a segment, or in a forked child the copy of its parent's."""
        descriptor, status = self._held.pop(path, (None, None))
        # What becomes a daemon closes all descriptors, and the number may be one of its own files by now.
        with contextlib.suppress(OSError):
            if descriptor is not None and status is not None and os.path.samestat(os.fstat(descriptor), status):
                os.close(descriptor)

    def _let_all_go(self) -> None:
        for path in list(self._held):
            self._let_go(path)

    def close(self) -> None:
        """Close the segment; what was not released stays for the next process."""
        if self._writer is not None and self._lock.acquire(timeout=0.1):
            self._writer.close()
            self._let_all_go()
            self._lock.release()
