"""`clew trace`: the timeline of one request."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from clew import settings
from clew.desk import options, plain, query, terminal
from clew.desk.root_cause import find_root_cause
from clew.desk.timeline import make_timeline
from clew.files.reader.records import ReadStats

if TYPE_CHECKING:
    from clew.desk.options import Place
    from clew.desk.query import Trace
    from clew.desk.root_cause import RootCause


@click.command
@click.argument("identifier", metavar="ID", callback=options.identifier)
@options.place
@click.option("--logs/--no-logs", "with_logs", default=True, help="Show log lines at their place, or spans only.")
@options.json_output
def trace(identifier: str, place: Place, *, with_logs: bool, as_data: bool) -> None:
    """Show what one request did: its spans over all services, its log lines at their place, what failed first.

    ID is a correlation ID, a trace ID or a span ID.

    \b
    Example:
      clew trace order-4711
      clew trace 4bf92f3577b34da6a3ce929d0e0e4736 /var/log/otel
    """
    found = read_trace(identifier, place)
    cause = find_root_cause(found.spans, found.logs)
    if as_data:
        show_data(found, cause)
    else:
        show(found, cause, with_logs=with_logs)


def read_trace(identifier: str, place: Place) -> Trace:
    """Collect the request from the files.

    Raises:
        NoDataError: If there is nothing of it.
    """
    sources = place.sources(signals=("traces", "logs"))
    stats, key = ReadStats(), settings.read_process().correlation_key
    with terminal.progress(sum(source.size for source in sources), "Reading") as progress:
        try:
            return query.find_trace(sources, identifier, stats, key=key, form=place.text_form(), progress=progress)
        finally:
            options.tell_unread(stats)


def show(found: Trace, cause: RootCause | None, *, with_logs: bool = True) -> None:
    """Draw the waterfall on the terminal."""
    from clew.desk.waterfall import waterfall  # noqa: PLC0415 - rich takes longer to import than `--json` to answer

    timeline = make_timeline(found, with_logs=with_logs)
    lines = waterfall(found, timeline, cause, terminal.width(), is_unicode=terminal.is_unicode())
    terminal.page(terminal.styled(lines))


def show_data(found: Trace, cause: RootCause | None) -> None:
    """Print the request as one JSON object."""
    data = {
        "id": found.identifier,
        "trace_ids": found.trace_ids,
        "correlation_ids": found.correlation_ids,
        "spans": [plain.span_data(span) for span in found.spans],
        "logs": [plain.log_data(row) for row in found.logs],
        "root_cause": asdict(cause) if cause else None,
        "omitted": found.omitted,
    }
    click.echo(plain.as_json(data, indent=True))
