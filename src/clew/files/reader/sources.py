"""Which files are telemetry: a folder's segments of any origin, or files that somebody names."""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clew import schema
from clew.errors import NoDataError
from clew.files.reader import pipes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TELEMETRY_NAME: Final = re.compile(r"[^.].*\.(?:jsonl|ndjson|json|log)(?:[.-][\dT_-]+)?(?:\.zst|\.gz)?")
"""Names that are read in a folder: our segments, the Collector's live and rotated files, JSON and text logs."""

_SIGNAL: Final = re.compile(rf"({'|'.join(schema.SIGNALS)})\b")

CLOCK_SLACK_S: Final = 3600.0
"""How far a record's time may lie after the last write to its file: clocks of other hosts."""


@dataclass(frozen=True)
class Source:
    """One file to read."""

    path: Path
    signal: str
    """The signal that its name promises, or empty."""
    named: bool
    """Whether somebody named it, not only the folder that it is in."""
    modified_s: float
    size: int


def find_sources(paths: Sequence[Path], *, signals: Iterable[str] = (), since_ns: int | None = None) -> list[Source]:
    """List the files to read, oldest change first: those named, and a named folder's telemetry files at any depth.

    Args:
        paths: Files and folders.
        signals: Leave out files whose names promise another signal; none means all.
        since_ns: Leave out files of a folder that were last written before this.

    Raises:
        NoDataError: If a path does not exist or cannot be read.
    """
    wanted = set(signals)
    sources = [source for path in paths for source in _sources(path)]
    kept = [source for source in sources if source.named or _is_wanted(source, wanted, since_ns)]
    return sorted(kept, key=lambda source: (source.modified_s, str(source.path)))


def _is_wanted(source: Source, signals: set[str], since_ns: int | None) -> bool:
    if signals and source.signal and source.signal not in signals:
        return False
    return since_ns is None or source.modified_s + CLOCK_SLACK_S >= since_ns / 1e9


def _sources(path: Path) -> Iterator[Source]:
    try:
        if path.is_dir():
            yield from _in_folder(path)
        else:
            if not stat.S_ISREG(path.stat().st_mode):
                path = pipes.keep(path)
            status = path.stat()
            yield Source(path, "", named=True, modified_s=status.st_mtime, size=status.st_size)
    except FileNotFoundError:
        raise NoDataError(f"no file or folder {str(path)!r}; name one, or set CLEW_DIR") from None
    except OSError as error:
        raise NoDataError(f"couldn't read {str(path)!r}: {error.strerror}") from None


def _in_folder(folder: Path) -> Iterator[Source]:
    """List a folder's telemetry files. A file that is just being compressed is there twice; the whole one counts.

    A subfolder that cannot be listed is given as if it were a file, so that whoever reads counts it as unreadable.
    """
    os.listdir(folder)  # noqa: PTH208 - os.walk tells of a folder that it may not list after all others
    closed: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        present = set(names)
        for name in sorted(names):
            plain = name.removesuffix(".zst").removesuffix(".gz")
            if _TELEMETRY_NAME.fullmatch(name) and (plain == name or plain not in present):
                source = _source(Path(parent, name))
                if source is not None:
                    yield source
    yield from (Source(path, "", named=False, modified_s=time.time(), size=0) for path in closed)


def _source(path: Path) -> Source | None:
    """Describe a file of a folder, or None if it went away meanwhile (retention, compression) or is no plain file."""
    try:
        status = path.stat()
    except OSError:
        return None
    match = _SIGNAL.match(path.name)
    if not stat.S_ISREG(status.st_mode):
        return None
    signal = match[1] if match else ""
    return Source(path, signal, named=False, modified_s=status.st_mtime, size=status.st_size)
