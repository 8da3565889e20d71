"""The folder of telemetry files: can it be written, who may read it, is there room, what waits in the spool."""

from __future__ import annotations

import shutil
import stat
import tempfile
import time
from typing import TYPE_CHECKING, Final

from clew import schema
from clew.desk.doctor.findings import ok, problem, warning
from clew.desk.query import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from clew.desk.doctor.findings import Finding
    from clew.settings import Settings

STALE_S: Final = 300.0
"""How old the oldest waiting file may be: an outage that ends is replayed within seconds."""

_FULL_SHARE: Final = 0.8
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_LISTED: Final = 20_000


def examine_folder(settings: Settings) -> Iterator[Finding]:
    """Tell whether the folder, or where it will be made, can be written, and whether others may read it."""
    folder = settings.folder
    place = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    cure = "set CLEW_DIR to a folder that the program may write; until then nothing outlives an outage"
    if not place.is_dir():
        yield problem("folder", f"{place} is no folder", cure)
        return
    reason = _write_error(place)
    if reason:
        yield problem("folder", f"{folder} cannot be written: {reason}", cure)
        return
    yield ok("folder", f"{folder} can be written" if place == folder else f"{folder} will be made when it is needed")
    if place == folder:
        yield from _modes(folder)
    yield _room(place, settings.retention_min_free_bytes)


def _write_error(folder: Path) -> str:
    """Write a file without a name, and return why that failed, or an empty text."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"probe")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _modes(folder: Path) -> Iterator[Finding]:
    """Find what other users may read: telemetry holds what the program knows."""
    if folder.stat().st_mode & _OTHERS:
        yield warning("modes", f"other users may look into {folder}", f"chmod 700 {folder}")
    open_ones = [path for path in _segments(folder) if _mode(path) & _OTHERS]
    if open_ones:
        cure = f"chmod 600 {open_ones[0]}"
        yield warning(
            "modes", f"other users may read {counted(len(open_ones), 'file')}, such as {open_ones[0].name}", cure
        )


def _room(place: Path, least_bytes: int) -> Finding:
    free = shutil.disk_usage(place).free
    told = f"{free / 1e9:.1f} GB free"
    if free < least_bytes:
        cure = "free some, or lower CLEW_RETENTION_MIN_FREE; the oldest telemetry files are deleted until then"
        return warning("disk", f"{told}, less than CLEW_RETENTION_MIN_FREE", cure)
    return ok("disk", told)


def examine_spool(settings: Settings) -> Iterator[Finding]:
    """Tell how much waits for the Collector, and since when."""
    spool = settings.folder / schema.SPOOL_FOLDER
    found = [status for path in _segments(spool) if (status := _status(path)) is not None and status.st_size]
    if not found:
        yield ok("spool", "nothing waits for the Collector")
        return
    size = sum(status.st_size for status in found)
    age_s = max(0.0, time.time() - min(status.st_mtime for status in found))
    told = f"{size / 1e6:.1f} MB in {counted(len(found), 'file')} wait for the Collector, the oldest for {_age(age_s)}"
    cure = "a running program sends them when the Collector answers; if none runs: clew replay " + str(spool)
    if size > _FULL_SHARE * settings.spool_max_bytes:
        yield problem("spool", f"{told}; past CLEW_SPOOL_MAX_BYTES the oldest are dropped", cure)
    elif age_s > STALE_S:
        yield warning("spool", told, cure)
    else:
        yield ok("spool", told)


def _segments(folder: Path) -> list[Path]:
    """List the telemetry files of a folder and of its spool."""
    found = [path for parent in (folder, folder / schema.SPOOL_FOLDER) for path in _files(parent)]
    return found[:_MAX_LISTED]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if schema.SEGMENT_SUFFIX in path.name and path.is_file())
    except OSError:
        return []


def _mode(path: Path) -> int:
    status = _status(path)
    return status.st_mode if status is not None else 0


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _age(seconds: float) -> str:
    for bound, unit, per in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < bound:
            return f"{seconds / per:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
