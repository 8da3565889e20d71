"""Options that several commands share, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew import settings
from clew.desk.query import LogFilter
from clew.desk.when import parse_when
from clew.errors import NoDataError, OptionError, SettingsError
from clew.files.reader.formats import format_named
from clew.files.reader.pipes import STANDARD_INPUT
from clew.files.reader.severities import severity_of
from clew.files.reader.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from clew.files.reader.formats import TextFormat
    from clew.files.reader.records import ReadStats
    from clew.files.reader.sources import Source

_PLURAL = re.compile(r"\b(line|file|path)s\b")
_SINGULAR = r"\1"

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where a command reads: the files named, else the folder named, else the folder of the settings."""

    paths: tuple[Path, ...]
    form: str | None = None

    def sources(self, *, signals: Iterable[str] = (), since_ns: int | None = None) -> list[Source]:
        """List the files to read.

        Raises:
            NoDataError: If a path does not exist, or there is no telemetry in it.
        """
        found = find_sources(self.paths, signals=signals, since_ns=since_ns)
        if not found:
            where = ", ".join(repr(str(path)) for path in self.paths)
            raise NoDataError(f"no telemetry files{' that new' * (since_ns is not None)} in {where}")
        return found

    def text_form(self) -> TextFormat | None:
        """Return the form of text logs that the user named.

        Raises:
            OptionError: If it is none.
        """
        try:
            return format_named(self.form) if self.form else None
        except SettingsError as error:
            raise OptionError(str(error)) from None


def place(command: F) -> F:
    """Add PATHS, `--dir` and `--format`; the command gets them as one `Place` named `place`."""

    def collect(context: click.Context, _: click.Parameter, paths: tuple[Path, ...]) -> Place:
        folder = context.params.pop("folder", None)
        form = context.params.pop("form", None)
        paths = tuple(STANDARD_INPUT if str(path) == "-" else path for path in paths)
        return Place(paths or (folder or settings.read_process().folder,), form)

    command = click.argument(
        "place", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path, readable=False), callback=collect
    )(command)
    command = click.option(
        "--format",
        "form",
        is_eager=True,
        metavar="FORMAT",
        help="Form of text logs: a logging format, a regular expression with named groups, or a known name. "
        "Detected if not given.",
    )(command)
    return click.option(
        "--dir",
        "folder",
        is_eager=True,
        type=click.Path(path_type=Path),
        help="Folder of telemetry files, instead of CLEW_DIR.",
    )(command)


def json_output(command: F) -> F:
    """Add `--json`, named `as_data`."""
    return click.option("--json", "as_data", is_flag=True, help="Print JSON for a program to read.")(command)


def period(command: F) -> F:
    """Add `--since` and `--until`."""
    command = click.option("--until", metavar="TIME", callback=_moment, help="Only before this time.")(command)
    return click.option(
        "--since",
        metavar="TIME",
        callback=_moment,
        help="Only from this time on: '10 minutes ago', '2h', 'yesterday 14:00', ISO.",
    )(command)


def services(command: F) -> F:
    """Add `--service`."""
    return click.option(
        "--service", "services", metavar="NAME", multiple=True, help="Only this service; may be repeated."
    )(command)


def log_filters(command: F) -> F:
    """Add what log records are filtered by; the command gets it as one `LogFilter` by `make_filter`."""
    options = (
        click.option(
            "--id",
            "identifier",
            metavar="ID",
            callback=identifier,
            help="Only records with this correlation, trace or span ID.",
        ),
        click.option("--level", metavar="LEVEL", default="", help="Only this level and above, such as WARNING."),
        click.option(
            "--text", "-g", metavar="TEXT", default="", help="Only records whose message or traceback holds this."
        ),
        click.option(
            "--attr", "attributes", metavar="KEY=VALUE", multiple=True, help="Only records with this attribute."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return period(services(command))


def make_filter(
    identifier: str,
    services: tuple[str, ...],
    level: str,
    since: int | None,
    until: int | None,
    text: str,
    attributes: tuple[str, ...],
) -> LogFilter:
    """Make the filter that the options ask for.

    Raises:
        OptionError: If an option's value means nothing.
    """
    least = severity_of(level)
    if level and not least:
        raise OptionError(f"--level must be a level such as DEBUG, INFO or ERROR, got {level!r}")
    pairs = tuple((key, value) for key, _, value in (text.partition("=") for text in attributes))
    bad = next((text for text in attributes if "=" not in text), None)
    if bad is not None:
        raise OptionError(f"--attr must be KEY=VALUE, got {bad!r}")
    return LogFilter(identifier, frozenset(services), least, since, until, text, pairs)


def parsed(option: str, parse: Callable[[str], T], text: str) -> T:
    """Parse an option's value as a setting.

    Raises:
        OptionError: If it cannot be.
    """
    try:
        return parse(text)
    except ValueError as error:
        raise OptionError(f"{option} {error}, got {text!r}") from None


def tell_unread(stats: ReadStats, raw_option: str = "") -> None:
    """Say on stderr, in one line, what could not be used of what was read."""
    cure = f" ({raw_option}--format tells their form)" if stats.foreign else ""
    parts = [
        (stats.torn, "torn lines"),
        (stats.foreign, f"lines in no known form{cure}"),
        (stats.overlong, "lines too long"),
        (len(stats.binary), "binary files"),
        (len(stats.damaged), "damaged files"),
        (len(stats.unreadable), "unreadable paths"),
    ]
    told = [
        f"{number} {what if number > 1 else _PLURAL.sub(_SINGULAR, what, count=1)}" for number, what in parts if number
    ]
    if told:
        names = [str(path) for path in (*stats.binary, *stats.damaged, *stats.unreadable)][:3]
        click.echo(f"clew: passed over {', '.join(told)}{': ' * bool(names)}{', '.join(names)}", err=True)


def _moment(_: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_when(text, datetime.now().astimezone())
    except SettingsError as error:
        raise OptionError(f"--{parameter.name}: {error}") from None


def identifier(_: click.Context, parameter: click.Parameter, text: str | None) -> str:
    """Return an ID that was given; an empty one, as of a variable that is unset, would stand for every request.

    Raises:
        OptionError: If it is blank.
    """
    if text is not None and not text.strip():
        raise OptionError(f"{parameter.opts[0] if parameter.opts[0].startswith('-') else 'ID'} is empty; give an ID")
    return (text or "").strip()
