"""`clew config`: the settings as a process started here would resolve them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from clew import otel_variables, settings
from clew.desk import options, plain, terminal
from clew.errors import SettingsError
from clew.settings import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "********"

_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_NAME = re.compile(r"HEADERS|TOKEN|SECRET|PASSWORD|CLIENT_KEY|API_KEY")


@dataclass(frozen=True)
class Setting:
    """One variable: what holds, and who said so: `environment`, `clew` (its default) or `invalid`."""

    name: str
    value: str
    source: str
    doc: str = ""


@click.command
@click.option("--docs", is_flag=True, help="Show what each setting does.")
@options.json_output
def config(*, docs: bool, as_data: bool) -> None:
    """Show the settings that a program started here would have: CLEW_* and OTEL_*, secrets masked.

    A value that cannot be used is told, and the default shown; the exit status is 1 then.

    \b
    Example:
      clew config
      CLEW_MODE=file clew config --json
    """
    environ = settings.process_environment()
    problems = settings.Settings.from_mapping(environ).problems
    rows = [*clew_settings(environ, problems), *otel_settings(environ)]
    if as_data:
        data = {row.name: {"value": row.value, "source": row.source} for row in rows}
        click.echo(plain.as_json({"settings": data, "problems": list(problems)}, indent=True))
    else:
        terminal.page(line for row in rows for line in lines_of(row, docs=docs))
    if problems:
        raise SettingsError("; ".join(problems))


def clew_settings(environ: Mapping[str, str], problems: tuple[str, ...]) -> list[Setting]:
    """Return Clew's variables in their order."""
    bad = {problem.partition(" ")[0] for problem in problems}
    resolved = settings.Settings.from_mapping(environ)
    rows = []
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip()
        value, source = (text, "environment") if text and variable.name not in bad else (variable.default, "clew")
        if variable.name == "CLEW_DIR":
            value = str(resolved.folder)
        if text and variable.secret:
            value = MASK
        rows.append(Setting(variable.name, value, "invalid" if variable.name in bad else source, variable.doc))
    return rows


def otel_settings(environ: Mapping[str, str]) -> list[Setting]:
    """Return OpenTelemetry's variables: those that are set, and those that Clew sets where the user did not."""
    mode = settings.Settings.from_mapping(environ).mode
    given = {name: text for name, text in environ.items() if name.startswith("OTEL_")}
    rows = [Setting(name, mask(name, text), "environment") for name, text in given.items()]
    rows += [Setting(name, text, "clew") for name, text in otel_variables.defaults(environ, mode).items()]
    return sorted(rows, key=lambda row: row.name)


def mask(name: str, text: str) -> str:
    """Hide what is secret: of headers the values, of a URL the user, of keys and tokens everything."""
    if name.endswith("HEADERS"):
        return ",".join(f"{pair.partition('=')[0]}={MASK}" for pair in text.split(",") if pair.strip())
    if _SECRET_NAME.search(name):
        return MASK
    return _USER_IN_URL.sub(f"{MASK}@", text)


def lines_of(row: Setting, *, docs: bool) -> list[str]:
    """Return one setting as lines."""
    default = (
        "" if row.source == "environment" else f"  ({'not usable, default' if row.source == 'invalid' else 'default'})"
    )
    line = f"{row.name}={terminal.clean(row.value)}{default}"
    return [line, f"    {row.doc}"] if docs and row.doc else [line]
