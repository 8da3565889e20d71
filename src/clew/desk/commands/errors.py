"""`clew errors`: what fails, one group for each cause."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from clew.desk import options, ordering, plain, query, terminal
from clew.desk.error_groups import ErrorGroup, group_errors
from clew.errors import NoDataError
from clew.files.reader import reading
from clew.files.reader.records import LogRow, ReadStats, SpanRecord
from clew.files.reader.timestamps import format_local, format_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from clew.desk.options import Place
    from clew.files.reader.sources import Source

_LINKS = {"cause": "caused by", "context": "while handling", "end": ""}
_REMEMBERED = 100_000
"""Records in which a repeat is told; see `query.unique`."""


@click.command
@options.place
@options.period
@options.services
@click.option("--limit", "-n", type=click.IntRange(min=1), help="Only the so many most frequent groups.")
@options.json_output
def errors(
    place: Place, *, since: int | None, until: int | None, services: tuple[str, ...], limit: int | None, as_data: bool
) -> None:
    """Show what fails: one group for each root cause, the most frequent first.

    An error that several services and log lines tell of is one failure, of the service in which it began.

    \b
    Example:
      clew errors --since yesterday
      clew errors --service payments --json
    """
    sources = place.sources(signals=("traces", "logs"), since_ns=since)
    stats = ReadStats()
    period = query.LogFilter(since_ns=since, until_ns=until)
    with terminal.progress(sum(source.size for source in sources), "Reading") as progress:
        groups = group_errors(find_records(sources, period, place, stats, progress))
    options.tell_unread(stats)
    if not stats.records:
        raise NoDataError(f"no span or log record in {query.counted(len(sources), 'file')}")
    wanted = set(services)
    chosen = [group for group in groups if not wanted or wanted & set(group.services)][:limit]
    if services and not chosen:
        missing = query.missing_service(sources, services, ("traces", "logs"), place.text_form())
        if missing:
            raise NoDataError(f"{missing} in {query.counted(len(sources), 'file')}")
    if as_data:
        click.echo(plain.as_json([group_data(group) for group in chosen], indent=True))
    elif not chosen:
        click.echo(f"No errors in {query.counted(stats.records, 'record')} of {query.counted(len(sources), 'file')}.")
    else:
        terminal.draw(lambda console: draw(console, chosen))


def find_records(
    sources: list[Source],
    period: query.LogFilter,
    place: Place,
    stats: ReadStats,
    progress: Callable[[int], None] | None = None,
) -> Iterator[SpanRecord | LogRow]:
    """Give all spans and log records of a period, each once, in order of time."""
    form = place.text_form()

    def rows_of(source: Source) -> Iterator[SpanRecord | LogRow]:
        found = reading.read(
            [source], stats, signals=("traces", "logs"), form=form, progress=progress, frugal=len(sources) > 1
        )
        for row in found:
            if isinstance(row, (SpanRecord, LogRow)) and period.is_in_time(row.time_ns):
                yield row

    return query.unique(ordering.in_time_order(sources, rows_of), _REMEMBERED)


def group_data(group: ErrorGroup) -> dict[str, Any]:
    """Return a group as plain data, its times as text."""
    data = asdict(group)
    data["first_seen"] = format_timestamp(data.pop("first_ns"))
    data["last_seen"] = format_timestamp(data.pop("last_ns"))
    return data


def draw(console: Console, groups: list[ErrorGroup]) -> None:
    """Draw one block for each group."""
    from rich.text import Text  # noqa: PLC0415 - rich takes longer to import than `--json` to answer

    for group in groups:
        title = Text.assemble((group.type or "error", "bold red"), (f": {group.message.partition(chr(10))[0]}", "red"))
        console.print(Text(terminal.clean(title.plain), "bold red"), overflow="ellipsis", no_wrap=True)
        for name, value in facts(group):
            console.print(Text.assemble((f"  {name:<14}", "dim"), terminal.clean(value)), overflow="fold")
        console.print()


def facts(group: ErrorGroup) -> list[tuple[str, str]]:
    """Return what is told of a group, in lines of name and value."""
    first, last = (format_local(time_ns) or "unknown" for time_ns in (group.first_ns, group.last_ns))
    others = [service for service in group.services if service != group.service]
    told_in = f", told in {', '.join(others)}" if others else ""
    lines = [
        ("failures", f"{group.failures}, in {query.counted(group.records, 'record')}"),
        ("first, last", f"{first}, {last}"),
        ("root cause", f"{group.service}  {group.operation}{told_in}"),
        ("group", group.id),
        ("examples", ", ".join(group.examples) or "none has an ID"),
    ]
    return [*lines, *canonical_traceback(group.canonical)]


def canonical_traceback(canonical: str) -> list[tuple[str, str]]:
    """Return the canonical text in lines of name and value: where it was raised, then what it was raised from."""
    lines, name, kind, frames = [], "raised in", "", list[str]()
    for fact in [*canonical.splitlines()[1:], "end"]:
        word, _, value = fact.partition(" ")
        if word in _LINKS:
            if frames or name != "raised in":
                lines.append((name, " in ".join(part for part in (kind, " > ".join(frames)) if part)))
            name, kind, frames = _LINKS[word], "", []
        elif word == "frame":
            frames.append(value)
        elif word == "type" and name != "raised in":
            kind = value
    return lines
