"""What waits on disk for the Collector: segments like any other, written once, read back oldest first, bounded.

All processes share the folder. Each writes segments of its own; whoever holds a closed segment's lock may deliver it,
so what a dead process left is delivered by the next one that looks.
"""

from __future__ import annotations

import contextlib
import os
import time
from _thread import RLock
from typing import TYPE_CHECKING, Final

from clew import diagnostics, schema
from clew.delivery import counts as reasons
from clew.delivery.stored_lines import records_in
from clew.files.segments import SegmentWriter, open_locked, segments_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clew.delivery.counts import Counts
    from clew.settings import Settings

SCAN_INTERVAL_S: Final = 30.0
"""How often the folder is looked through for what dead processes left."""

_SEGMENTS: Final = 16
"""Segments that the bound is made up of at least, so that dropping the oldest drops little."""

_POSITION_SUFFIX: Final = ".position"
_READ_BYTES: Final = 64 * 1024
_LOCK_WAIT_S: Final = 0.5


class Claim:
    """A closed segment that this process delivers, locked, and how far it is delivered.

    The position stands in a file beside the segment, so that a restart repeats one line at most.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over `descriptor`, which holds the segment's lock."""
        self.path = path
        self._descriptor = descriptor
        self._position_path = path.with_name(f".{path.name}{_POSITION_SUFFIX}")
        self._position = self._read_position()

    def lines(self, max_bytes: int) -> list[bytes]:
        """Return the next whole lines, at least one if there is one, together no longer than `max_bytes`."""
        text, wanted = b"", max_bytes
        while b"\n" not in text or len(text) < wanted:
            more = os.pread(self._descriptor, max(wanted - len(text), _READ_BYTES), self._position + len(text))
            if not more:
                break
            text += more
        fitting = text.rfind(b"\n", 0, wanted) + 1 or text.find(b"\n") + 1
        return [line + b"\n" for line in text[:fitting].split(b"\n")[:-1]]

    def advance(self, size: int) -> None:
        """Remember that `size` more bytes are dealt with."""
        self._position += size
        with contextlib.suppress(OSError):
            self._position_path.write_bytes(b"%d" % self._position)

    def left(self) -> Iterator[bytes]:
        """Return the lines that are not dealt with."""
        while lines := self.lines(_READ_BYTES):
            yield from lines
            self._position += sum(map(len, lines))

    def remove(self) -> None:
        """Remove the segment and give up its lock."""
        for path in (self.path, self._position_path):
            with contextlib.suppress(OSError):
                path.unlink()
        self.close()

    def close(self) -> None:
        """Give up the lock; another process may go on from the position."""
        os.close(self._descriptor)

    def _read_position(self) -> int:
        try:
            return int(self._position_path.read_bytes())
        except (OSError, ValueError):
            return 0


class Spool:
    """Stores lines and hands them out again; safe from any thread."""

    def __init__(
        self,
        settings: Settings,
        counts: Counts,
        *,
        service: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder: Path = settings.folder / schema.SPOOL_FOLDER
        self._settings, self._counts, self._service, self._clock = settings, counts, service, clock
        self._max_bytes = settings.spool_max_bytes
        self.segment_max_bytes = max(4096, min(settings.segment_max_bytes, self._max_bytes // _SEGMENTS))
        self.abandon()

    def abandon(self) -> None:
        """Leave everything to the parent in a forked child and start afresh."""
        self._lock = RLock()
        for writer in getattr(self, "_writers", {}).values():
            writer.abandon()
        for claim in getattr(self, "_claims", {}).values():
            claim.close()
        self._writers: dict[str, SegmentWriter] = {}
        self._claims: dict[str, Claim] = {}
        self._known_bytes: int | None = None
        self._scanned_at: dict[str, float] = {}

    def store(self, signal: str, line: bytes) -> None:
        """Keep one line; when this returns it outlives the process.

        Raises:
            OSError: If it could not be written.
        """
        with self._held():
            self._make_room(len(line))
            self._writer(signal).write(line)
            self._known_bytes = (self._known_bytes or 0) + len(line)
            self._scanned_at.pop(signal, None)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock; a thread whose write hangs with the disk must not hang the one that ends the process."""
        if not self._lock.acquire(timeout=_LOCK_WAIT_S):
            raise OSError("another write hangs")
        try:
            yield
        finally:
            self._lock.release()

    def claim(self, signal: str) -> Claim | None:
        """Return the oldest segment of `signal` that can be delivered, or None if there is none.

        It stays this process's until it is removed or released; then the next is handed out.
        """
        with self._lock:
            held = self._claims.get(signal)
            if held is None and self._clock() >= self._scanned_at.get(signal, 0.0):
                held = self._find(signal)
                if held is None:
                    self._scanned_at[signal] = self._clock() + SCAN_INTERVAL_S
                else:
                    self._claims[signal] = held
            return held

    def remove(self, signal: str) -> None:
        """Remove the claimed segment: all of it is delivered or counted."""
        with self._lock:
            claim = self._claims.pop(signal, None)
            if claim is not None:
                claim.remove()
                self._known_bytes = None

    def rescan(self) -> None:
        """Let the next `claim` look through the folder at once."""
        self._scanned_at.clear()

    def size_bytes(self) -> int:
        """Return the bytes that wait in the folder, whoever wrote them."""
        total = 0
        for _, path in segments_in(self.folder):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def place(self) -> str:
        """Return, for a person, where records are kept: the folder, or memory if nothing can be written there."""
        folder = self.folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
        return str(self.folder) if usable else f"memory, since {self.folder} cannot be written"

    def close(self) -> None:
        """Close the segments being written and release those being delivered."""
        with self._lock:
            for writer in self._writers.values():
                writer.close()
            for claim in self._claims.values():
                claim.close()
            self._claims.clear()

    def _writer(self, signal: str) -> SegmentWriter:
        writer = self._writers.get(signal)
        if writer is None:
            writer = self._writers[signal] = self.make_writer(signal)
        return writer

    def make_writer(self, signal: str) -> SegmentWriter:
        """Make a writer of segments of its own in the folder."""
        return SegmentWriter(
            self.folder,
            signal,
            self._service(),
            max_bytes=self.segment_max_bytes,
            max_age_s=self._settings.segment_max_age_s,
            compression="none",
        )

    def _find(self, signal: str) -> Claim | None:
        """Claim the oldest segment; the one that this process writes is closed for it once no other is left."""
        claim = self._claim_oldest(signal)
        writer = self._writers.get(signal)
        if claim is None and writer is not None and writer.path is not None:
            writer.close()
            claim = self._claim_oldest(signal)
        return claim

    def _claim_oldest(self, signal: str) -> Claim | None:
        for name, path in segments_in(self.folder):
            if name.signal != signal or name.suffix:
                continue
            descriptor = open_locked(path)
            if descriptor is None:
                continue
            claim = Claim(path, descriptor)
            if claim.lines(1):
                return claim
            claim.remove()
        return None

    def _make_room(self, incoming: int) -> None:
        """Drop the oldest segments until `incoming` bytes fit."""
        if self._known_bytes is None:
            self._known_bytes = self.size_bytes()
        if self._known_bytes + incoming <= self._max_bytes:
            return
        self._known_bytes = self.size_bytes()
        for name, path in segments_in(self.folder):
            if self._known_bytes + incoming <= self._max_bytes:
                return
            self._known_bytes -= self._drop(name.signal, path)
        if self._known_bytes + incoming > self._max_bytes:
            raise OSError(f"the spool is at its bound of {self._max_bytes} bytes")

    def _drop(self, signal: str, path: Path) -> int:
        """Remove a segment and count what was in it; return its bytes, 0 if another process has it."""
        claim = self._claims.get(signal)
        if claim is not None and claim.path == path:
            del self._claims[signal]
        else:
            writer = self._writers.get(signal)
            if writer is not None and writer.path == path:
                writer.close()
            descriptor = open_locked(path)
            if descriptor is None:
                return 0
            claim = Claim(path, descriptor)
        size = path.stat().st_size
        for line in claim.left():
            self._counts.add(signal, "dropped", records_in(signal, line), reasons.SPOOL_FULL)
        claim.remove()
        diagnostics.report(
            "spool-full",
            f"{self.folder} is full at {self._max_bytes} bytes: the oldest {signal} are dropped; "
            "raise CLEW_SPOOL_MAX_BYTES to keep more",
        )
        return size
