"""`clew schema`: the JSON Schema of the console line."""

from __future__ import annotations

import click

from clew.desk import plain
from clew.schema import CONSOLE_LINE_SCHEMA


@click.command
def schema() -> None:
    """Print the JSON Schema of one log line under CLEW_LOG_FORMAT=json; `clew logs --json` prints lines of it too.

    \b
    Example:
      clew schema > console-line.schema.json
    """
    click.echo(plain.as_json(CONSOLE_LINE_SCHEMA, indent=True))
