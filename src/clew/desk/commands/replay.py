"""`clew replay`: what files hold, posted to an OTLP endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew import settings
from clew.desk import options, plain, terminal
from clew.desk.query import counted
from clew.desk.replay import DEFAULT_ENDPOINT, Endpoint, Poster
from clew.desk.replay import replay as post_all
from clew.files.bookmarks import Bookmarks
from clew.files.reader.records import ReadStats

if TYPE_CHECKING:
    from clew.desk.options import Place
    from clew.desk.replay import ReplayCounts

STATE_NAME = "replay-state.json"


@click.command
@options.place
@click.option(
    "--endpoint", metavar="URL", help=f"OTLP over HTTP; OTEL_EXPORTER_OTLP_ENDPOINT, else {DEFAULT_ENDPOINT}."
)
@click.option(
    "--header", "headers", metavar="NAME=VALUE", multiple=True, help="A header for each request; may be repeated."
)
@click.option("--rate", metavar="SIZE", default="4MiB", show_default=True, help="Bytes a second.")
@click.option(
    "--patience", metavar="TIME", default="60s", show_default=True, help="How long a busy endpoint is tried again."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Where progress is kept, instead of {STATE_NAME} in CLEW_DIR.",
)
@click.option("--again", is_flag=True, help="Post everything, also what an earlier run has posted.")
@options.json_output
def replay(
    place: Place,
    *,
    endpoint: str | None,
    headers: tuple[str, ...],
    rate: str,
    patience: str,
    state: Path | None,
    again: bool,
    as_data: bool,
) -> None:
    """Post the telemetry in files to an OTLP endpoint over HTTP.

    Takes files of any origin. Goes on where an interrupted run stopped; a record may be posted twice, none is left out.

    \b
    Example:
      clew replay --endpoint http://collector:4318
      clew replay /var/lib/otel/traces-*.jsonl --rate 1MiB
    """
    environ = settings.process_environment()
    target = Endpoint.from_environment(environ, endpoint, headers)
    poster = Poster(
        target,
        bytes_per_s=options.parsed("--rate", settings.byte_count, rate),
        patience_s=options.parsed("--patience", settings.duration_s, patience),
    )
    path = state or settings.read_process().folder / STATE_NAME
    if again:
        path.unlink(missing_ok=True)
    sources, stats = place.sources(), ReadStats()
    with terminal.progress(sum(source.size for source in sources), "Posting") as progress:
        try:
            post_all(sources, poster, Bookmarks(path), stats, form=place.text_form(), progress=progress)
        finally:
            poster.close()
            tell(poster.counts, stats, as_data=as_data)
            options.tell_unread(stats)


def tell(counts: ReplayCounts, stats: ReadStats, *, as_data: bool) -> None:
    """Print what was posted."""
    data: dict[str, Any] = {
        "posted": dict(counts.posted),
        "rejected": {signal: number for signal, number in counts.rejected.items() if number},
        "skipped": counts.skipped,
        "requests": counts.requests,
        "bytes": counts.bytes,
        "files": stats.files,
        "raw_lines": stats.raw,
    }
    if as_data:
        click.echo(plain.as_json(data))
        return
    posted = ", ".join(f"{number} {signal}" for signal, number in sorted(counts.posted.items())) or "nothing"
    rejected = sum(counts.rejected.values())
    click.echo(
        f"Posted {posted} in {counted(counts.requests, 'request')} from {counted(stats.files, 'file')}; "
        f"{rejected} rejected, {counts.skipped} posted before"
    )
