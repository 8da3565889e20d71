"""`clew retain`: old telemetry files removed by the settings' bounds, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew import settings
from clew.desk import options, plain, terminal
from clew.errors import NoDataError
from clew.files import retention
from clew.files.retention import RetentionPolicy

if TYPE_CHECKING:
    from clew.files.retention import RetentionResult


@click.command
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--max-age", metavar="TIME", help="Remove files older than this, such as 7d.")
@click.option("--max-files", metavar="COUNT", help="Remove the oldest of more files than this.")
@click.option("--max-bytes", metavar="SIZE", help="Remove the oldest of more bytes than this, such as 1GiB.")
@click.option("--min-free", metavar="SIZE", help="Remove the oldest while less than this is free on the disk.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@options.json_output
def retain(folder: Path | None, *, dry_run: bool, as_data: bool, **bounds: str | None) -> None:
    """Remove telemetry files past their age, number or size: Clew's own, and the Collector's rotated ones.

    FOLDER is CLEW_DIR if not given; the bounds are those of CLEW_RETENTION_* if not given. No other file is ever
    touched.

    \b
    Example:
      clew retain --dry-run
      clew retain /var/lib/otel --max-age 3d --max-bytes 2GiB
    """
    resolved = settings.read_process()
    place, policy = folder or resolved.folder, make_policy(RetentionPolicy.from_settings(resolved), bounds)
    if not place.is_dir():
        raise NoDataError(f"no folder {str(place)!r}; name one, or set CLEW_DIR")
    result = retention.apply(place, policy, dry_run=dry_run)
    if as_data:
        click.echo(plain.as_json(result_data(result, dry_run=dry_run)))
    elif result.busy:
        click.echo("Another process is at it; nothing was done.")
    else:
        terminal.page(lines_of(result, dry_run=dry_run))
    if result.failed:
        raise SystemExit(1)


def make_policy(policy: RetentionPolicy, bounds: dict[str, str | None]) -> RetentionPolicy:
    """Return the policy with the bounds that options change.

    Raises:
        OptionError: If a bound is not what it has to be.
    """
    parsers: dict[str, tuple[str, Any]] = {
        "max_age": ("max_age_s", settings.duration_s),
        "max_files": ("max_files", settings.count),
        "max_bytes": ("max_bytes", settings.byte_count),
        "min_free": ("min_free_bytes", settings.byte_count),
    }
    given = {name: text for name, text in bounds.items() if text is not None}
    changes = {
        parsers[name][0]: options.parsed(f"--{name.replace('_', '-')}", parsers[name][1], text)
        for name, text in given.items()
    }
    return replace(policy, **changes)


def result_data(result: RetentionResult, *, dry_run: bool) -> dict[str, Any]:
    """Return what was done as plain data."""
    return {
        "dry_run": dry_run,
        "busy": result.busy,
        "removed": [{"path": str(one.path), "bytes": one.size, "reason": one.reason} for one in result.removed],
        "failed": [{"path": str(one.path), "bytes": one.size, "reason": one.reason} for one in result.failed],
        "kept_files": result.kept_files,
        "kept_bytes": result.kept_bytes,
    }


def lines_of(result: RetentionResult, *, dry_run: bool) -> list[str]:
    """Return what was done as lines."""
    verb = "Would remove" if dry_run else "Removed"
    lines = [f"{verb} {terminal.clean(str(one.path))} ({one.size} bytes, {one.reason})" for one in result.removed]
    lines += [f"Could not remove {terminal.clean(str(one.path))}" for one in result.failed]
    total = f"{verb} {len(result.removed)} files of {result.removed_bytes} bytes"
    return [*lines, f"{total}; {result.kept_files} files of {result.kept_bytes} bytes are kept"]
