"""`clew id`: what an ID stands for."""

from __future__ import annotations

from typing import Any

import click

from clew import settings
from clew.correlation import ids
from clew.desk import plain
from clew.errors import OptionError

_SPAN_ID_LENGTH = 16


@click.command
@click.argument("identifier", metavar="ID")
@click.option(
    "--url",
    "templates",
    metavar="TEMPLATE",
    multiple=True,
    help="A link to print, {trace_id} and {correlation_id} filled in; may be repeated.",
)
@click.option("--json", "as_data", is_flag=True, help="Print JSON for a program to read.")
def id(identifier: str, templates: tuple[str, ...], *, as_data: bool) -> None:  # noqa: A001 - the command's name
    """Tell which trace ID a correlation ID gets, and print links to look it up.

    A trace ID is its own. The derivation uses CLEW_CORRELATION_KEY if the services use one.

    \b
    Example:
      clew id order-4711
      clew id order-4711 --url 'http://localhost:16686/trace/{trace_id}'
    """
    data = describe(identifier, templates)
    if as_data:
        click.echo(plain.as_json(data, indent=True))
        return
    click.echo(f"correlation ID  {data['correlation_id']}")
    click.echo(f"trace ID        {data['trace_id']}")
    for link in data["links"]:
        click.echo(f"link            {link}")


def describe(identifier: str, templates: tuple[str, ...]) -> dict[str, Any]:
    """Return the correlation ID, its trace ID and the links.

    Raises:
        OptionError: If it is no usable ID, or a template names a field that there is not.
    """
    correlation_id = ids.clean(identifier)
    if correlation_id is None:
        raise OptionError(
            f"{identifier!r} is no usable correlation ID: it has 1 to {ids.MAX_LENGTH} characters of "
            "A-Z a-z 0-9 . _ : / + = @ ~ -, the first one a letter or digit"
        )
    key = settings.read_process().correlation_key
    trace_id = ids.trace_id_hex(ids.derive_trace_id(correlation_id, key))
    fields = {"trace_id": trace_id, "correlation_id": correlation_id}
    return {**fields, "links": [_filled(template, fields) for template in templates]}


def _filled(template: str, fields: dict[str, str]) -> str:
    try:
        return template.format(**fields)
    except (KeyError, IndexError, ValueError):
        raise OptionError(f"--url may name {{trace_id}} and {{correlation_id}} only, got {template!r}") from None
