"""`clew demo`: one request through three services, and what is known of it afterwards."""

from __future__ import annotations

import secrets
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from clew import schema, settings
from clew.desk import query, terminal
from clew.desk.demonstration import Demonstration, Service, answers, check_packages
from clew.desk.root_cause import find_root_cause
from clew.desk.timeline import make_timeline
from clew.files.reader.records import ReadStats
from clew.files.reader.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from clew.files.reader.records import LogRow

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
"""Where a Collector is looked for if OTEL_EXPORTER_OTLP_ENDPOINT names none: the specification's default."""

_ITEMS: Final = ("teapot", "kettle", "samovar")
"""The last one is on no shelf."""


class _Order(NamedTuple):
    item: str
    correlation_id: str
    status: int
    seconds: float


@click.command
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="Where files go. Default: the folder demo in CLEW_DIR."
)
@click.option("--endpoint", metavar="URL", help="An OTLP endpoint to send to as well. Default: the configured one.")
@click.option("--keep-running", is_flag=True, help="Leave the services running, to be called by hand, until Ctrl-C.")
def demo(folder: Path | None, endpoint: str | None, *, keep_running: bool) -> None:
    """Start three small services, send them orders with a correlation ID, and show what one request did.

    A Flask shop behind gunicorn asks a FastAPI stock on uvicorn and leaves mail to a Celery worker. The last order
    fails. Everything that was started is stopped again.

    \b
    Example:
      clew demo
      clew demo --keep-running
    """
    check_packages()
    resolved = settings.read_process()
    place = (folder or resolved.folder / "demo").absolute()
    environ = settings.process_environment()
    wanted = endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    found = wanted if answers(wanted) else ""
    if endpoint and not found:
        click.secho(f"Nothing answers at {endpoint}; files only.\n", fg="yellow")
    with _ending_on_signals(), Demonstration(place, environ, found) as demonstration:
        _start(demonstration, wanted, found)
        orders = _send_orders(demonstration)
        if keep_running:
            _wait_for_interrupt(demonstration)
        _stop(demonstration)
    _show(place / "telemetry", orders[-1], resolved.correlation_key)
    _tell_next(place, orders, is_default=folder is None)


def _start(demonstration: Demonstration, wanted: str, found: str) -> None:
    click.echo("Starting three services, unchanged, under opentelemetry-instrument.")
    where = f"the Collector at {found}, and to files" if found else f"files; no Collector answers at {wanted}"
    click.echo(f"Their telemetry goes to {where}.\n")

    def ready(service: Service, seconds: float) -> None:
        place = service.url or "its queue is a folder"
        click.echo(
            f"  {click.style('ready', fg='green')}  {service.name:<6} {service.kind:<23} {place:<23} {seconds:4.1f} s"
        )

    demonstration.start(ready)


def _send_orders(demonstration: Demonstration) -> list[_Order]:
    run = secrets.token_hex(2)
    click.echo("\nSending the shop three orders, each under an ID of its own; the last one fails.\n")
    return [_send_order(demonstration, item, f"order-{run}-{number}") for number, item in enumerate(_ITEMS, 1)]


def _send_order(demonstration: Demonstration, item: str, correlation_id: str) -> _Order:
    began = time.monotonic()
    status = demonstration.order(item, correlation_id)
    order = _Order(item, correlation_id, status, time.monotonic() - began)
    colour = "red" if status >= 500 else "green"  # noqa: PLR2004 - HTTP's server errors
    answer = click.style(str(status), fg=colour)
    click.echo(f"  POST /orders/{item:<8} X-Correlation-ID: {correlation_id}  {answer}  {order.seconds * 1000:5.0f} ms")
    return order


def _wait_for_interrupt(demonstration: Demonstration) -> None:
    url = demonstration.services["shop"].url
    click.echo(
        f"\nStill running; Ctrl-C ends it. Try:\n\n  curl -iXPOST -H x-correlation-id:mine-1 {url}/orders/teapot"
    )
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo()


def _stop(demonstration: Demonstration) -> None:
    click.echo("\nStopping ...", nl=False)
    demonstration.finish_mail()
    demonstration.stop()
    click.echo(" all stopped.")


def _show(folder: Path, order: _Order, key: bytes | None) -> None:
    """Draw the request's timeline, then its log lines, each with the ID."""
    from clew.desk.waterfall import draw_waterfall  # noqa: PLC0415 - rich is slow to import, and only this needs it

    sources = find_sources([folder], signals=("traces", "logs"))
    trace = query.find_trace(sources, order.correlation_id, ReadStats(), key=key)
    timeline = make_timeline(trace, with_logs=False)
    console = terminal.make_console()
    _head("The order that failed: where its time went, and what failed first")
    draw_waterfall(console, trace, timeline, find_root_cause(trace.spans, trace.logs))
    _head("Its log lines, from three processes under one ID")
    for row in trace.logs:
        console.print(_log_line(row, timeline.start_ns, console.width - 1))


def _log_line(row: LogRow, start_ns: int, width: int) -> Text:
    """Write a log record on one line; its message gives way, its ID does not."""
    from rich.text import Text  # noqa: PLC0415 - as in _show

    from clew.desk.waterfall import format_duration, level_colour, service_colour  # noqa: PLC0415 - likewise

    line = Text(f"  +{format_duration(row.time_ns - start_ns):<8} ", "dim")
    line.append(f"{row.severity_text:<8} ", level_colour(row.severity_number))
    line.append(f"{row.service:<6} ", service_colour(row.service))
    line.append(terminal.clean(row.message.partition("\n")[0]))
    kind = row.attribute(schema.EXCEPTION_TYPE)
    if isinstance(kind, str):
        line.append(f"  {kind}", "red")
    identifier = f"  [{row.correlation_id}]"
    line.truncate(width - len(identifier), overflow="ellipsis", pad=True)
    return line.append(identifier, "cyan")


def _head(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)
    click.echo()


def _tell_next(folder: Path, orders: list[_Order], *, is_default: bool) -> None:
    """Say where the files are and what to try on them; commands find the default place by themselves."""
    files = find_sources([folder / "telemetry"])
    size = sum(source.size for source in files) / 1000
    _head("Where it is")
    click.echo(f"  telemetry  {_shown(folder / 'telemetry')}  ({query.counted(len(files), 'file')}, {size:.0f} kB)")
    click.echo(f"  console    {_shown(folder / 'console')}")
    _head("Try next")
    place = "" if is_default else f" --dir {_shown(folder)}"
    commands = {
        f"clew trace {orders[0].correlation_id}{place}": "an order that went well",
        f"clew logs --id {orders[-1].correlation_id}{place}": "the failed order's logs, with tracebacks",
        f"clew errors{place}": "what fails, grouped by root cause",
        f"clew report{place}": "latency and errors as one HTML page",
    }
    width = max(map(len, commands))
    for command, meaning in commands.items():
        click.echo(f"  {command:<{width}}  {meaning}")


def _shown(path: Path) -> str:
    """Write a path as a shell reads it, short where it is in the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if home in path.parents else str(path)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that what was started is stopped."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
