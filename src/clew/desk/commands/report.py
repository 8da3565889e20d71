"""`clew report`: latency and errors as one HTML page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from clew.desk import options, plain, terminal
from clew.desk.query import counted, missing_service
from clew.errors import NoDataError

if TYPE_CHECKING:
    from clew.desk.options import Place
    from clew.desk.report.contents import Contents

DEFAULT_NAME = "clew-report.html"


@click.command
@options.place
@options.period
@options.services
@click.option(
    "--output", "-o", metavar="FILE", default=DEFAULT_NAME, show_default=True, help="Where the page goes; - is stdout."
)
@click.option("--title", default="Clew report", show_default=True, help="Heads the page.")
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
@options.json_output
def report(
    place: Place,
    *,
    since: int | None,
    until: int | None,
    services: tuple[str, ...],
    output: str,
    title: str,
    is_opened: bool,
    as_data: bool,
) -> None:
    """Make one HTML page of latency, throughput, errors, and the requests worth a look; it opens without a network.

    Percentiles are exact, from spans. With --json the numbers are printed and no page is made.

    \b
    Example:
      clew report
      clew report --since yesterday --service shop --output shop.html
      clew report /var/lib/otel --json
    """
    from clew.desk.report import page  # noqa: PLC0415 - `clew report --help` needs none of it
    from clew.desk.report.contents import Selection, collect  # noqa: PLC0415 - likewise

    if not as_data:
        page.check_plotly()
    sources = place.sources(since_ns=since)
    with terminal.progress(sum(source.size for source in sources), "Reading") as progress:
        contents = collect(place, Selection(since, until, frozenset(services)), progress)
    options.tell_unread(contents.stats)
    if not contents.stats.records:
        raise NoDataError(f"no spans or log records in {counted(len(sources), 'file')}")
    if services and not contents.analysis.spans and not contents.log_records:
        missing = missing_service(sources, services, ("traces", "logs"), place.text_form())
        raise NoDataError(f"{missing or 'no span or log record matches'} in {counted(len(sources), 'file')}")
    if as_data:
        click.echo(plain.as_json(data_of(contents), indent=True))
        return
    write(page.render(contents, title), output)
    if output != "-":
        click.echo(f"Wrote {terminal.clean(output)}: {told(contents)}")
        if is_opened:
            click.launch(output)


def write(text: str, output: str) -> None:
    """Write the page whole or not at all.

    Raises:
        NoDataError: If it cannot be written there.
    """
    try:
        with click.open_file(output, "w", encoding="utf-8", atomic=output != "-") as file:
            file.write(text)
    except OSError as error:
        raise NoDataError(f"couldn't write {output!r}: {error.strerror}; choose another place with --output") from None


def told(contents: Contents) -> str:
    """Say in a few words what the page tells."""
    analysis = contents.analysis
    return (
        f"{counted(analysis.requests.count, 'request')}, {counted(analysis.spans, 'span')}, "
        f"{counted(contents.log_records, 'log record')}, {counted(len(contents.groups), 'error group')}"
    )


def data_of(contents: Contents) -> dict[str, object]:
    """Return the numbers as plain data."""
    return {
        "analysis": asdict(contents.analysis),
        "error_groups": [asdict(group) for group in contents.groups],
        "log_records": contents.log_records,
    }
