"""`clew logs`: log records of all services in order of time, filtered, followed."""

from __future__ import annotations

import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from clew.desk import options, ordering, plain, query, terminal
from clew.errors import NoDataError, OptionError
from clew.files.reader import reading
from clew.files.reader.following import Follower
from clew.files.reader.records import LogRow, RawLine, ReadStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from clew.desk.options import Place
    from clew.files.reader.records import Record
    from clew.files.reader.sources import Source

_TAIL = 10
_POLL_S = 0.3
_REMEMBERED = 100_000
"""Records in which a repeat is told: repeats have the same time, so they are near."""


@click.command
@options.place
@options.log_filters
@click.option("--limit", "-n", type=click.IntRange(min=1), help="Only the last so many records.")
@click.option("--raw", "with_raw", is_flag=True, help="Show lines in no known form as well.")
@click.option("--follow", "-f", is_flag=True, help="Go on showing what is written, until Ctrl-C.")
@options.json_output
def logs(place: Place, *, limit: int | None, with_raw: bool, follow: bool, as_data: bool, **filters: Any) -> None:
    """Show log records of all services in order of time.

    Reads OTLP JSON lines of Clew and of the Collector, JSON logs and text logs, compressed or not.

    \b
    Example:
      clew logs --since '10 minutes ago' --level WARNING
      clew logs --id order-4711 --json
      clew logs --follow --service shop
      clew logs /var/log/app.log --format '%(asctime)s %(levelname)s %(name)s: %(message)s'
      kubectl logs deploy/shop | clew logs -
    """
    wanted = options.make_filter(**filters)
    if follow:
        follow_logs(place, wanted, limit or _TAIL, with_raw=with_raw, as_data=as_data)
        return
    sources = place.sources(signals=("logs",), since_ns=wanted.since_ns)
    stats = ReadStats()
    with terminal.progress(sum(source.size for source in sources), "Reading") as progress:
        rows = find_logs(sources, wanted, place, stats, progress, with_raw=with_raw)
        if limit is not None:
            rows = iter(deque(rows, maxlen=limit))
        first = next(rows, None)
    if first is not None:
        terminal.page(render(chain([first], rows), as_data=as_data))
    options.tell_unread(stats, raw_option="" if with_raw else "--raw shows them, ")
    if first is None:
        missing = (
            query.missing_service(sources, wanted.services, ("logs",), place.text_form()) if wanted.services else ""
        )
        raise NoDataError(f"{missing or 'no log record matches'} in {query.counted(len(sources), 'file')}")


def find_logs(
    sources: list[Source],
    wanted: query.LogFilter,
    place: Place,
    stats: ReadStats,
    progress: Callable[[int], None] | None = None,
    *,
    with_raw: bool = False,
) -> Iterator[LogRow]:
    """Give the records that match, each once, in order of time."""
    needles = query.needles_of([wanted.identifier]) if wanted.identifier else ()
    form = place.text_form()

    def rows_of(source: Source) -> Iterator[LogRow]:
        found = reading.read(
            [source],
            stats,
            signals=("logs",),
            needles=needles,
            form=form,
            progress=progress,
            frugal=len(sources) > 1,
        )
        return _matching(found, wanted, with_raw=with_raw)

    return query.unique(ordering.in_time_order(sources, rows_of), _REMEMBERED)


def follow_logs(place: Place, wanted: query.LogFilter, tail: int, *, with_raw: bool, as_data: bool) -> None:
    """Print the last records that match, then those that are being written, until interrupted."""
    pipe = next((path for path in place.paths if path.exists() and not (path.is_dir() or path.is_file())), None)
    if pipe is not None:
        raise OptionError(f"--follow reads files, and {str(pipe)!r} is a pipe; leave it out")
    whole = wanted.since_ns is not None
    with Follower(place.paths, ReadStats(), signals=("logs",), form=place.text_form(), whole=whole) as follower:
        arriving = query.unique(_arriving(follower, wanted, None if whole else tail, with_raw=with_raw), _REMEMBERED)
        for line in render(arriving, as_data=as_data):
            click.echo(line)


def _arriving(follower: Follower, wanted: query.LogFilter, tail: int | None, *, with_raw: bool) -> Iterator[LogRow]:
    """Give the records of each poll in order of time; of the first poll the last ones."""
    start = -tail if tail is not None else None
    while True:
        rows = list(_matching(follower.poll(), wanted, with_raw=with_raw))
        yield from sorted(rows, key=lambda row: row.time_ns)[start:]
        start = None
        time.sleep(_POLL_S)


def _matching(rows: Iterable[Record], wanted: query.LogFilter, *, with_raw: bool) -> Iterator[LogRow]:
    """Give the log records that match; of lines in no known form only what stands in them can."""
    for row in rows:
        record = row.as_log() if with_raw and isinstance(row, RawLine) else row
        if isinstance(record, LogRow) and wanted.matches(record):
            yield record


def render(rows: Iterable[LogRow], *, as_data: bool) -> Iterator[str]:
    """Turn records into lines."""
    colour = terminal.has_colour()
    for row in rows:
        text = plain.as_json(plain.log_data(row)) if as_data else plain.log_line(row, colour=colour)
        yield from text.split("\n")
