"""The reference pages of the command line say what the commands have."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from clew import errors
from clew.desk.cli import COMMANDS
from clew.desk.cli import clew as group

PAGES = Path(__file__).parents[2] / "docs" / "reference"
OWN_PAGE = {"collector", "demo", "doctor", "report"}
"""Commands that pages of their own explain."""


def _section(name: str) -> str:
    return (PAGES / "commands.md").read_text().partition(f"\n## `clew {name}`\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - OWN_PAGE))
def test_options_are_explained(name: str) -> None:
    """Each command has a section that names all its options."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    options = [
        word for one in command.params if isinstance(one, click.Option) for word in one.opts + one.secondary_opts
    ]

    section = _section(name)

    assert [] == [word for word in options if f"`{word}" not in section]


def test_every_slug_has_a_heading() -> None:
    """Each error's slug is a heading of its page, and no heading is about an error that there is not."""
    kinds = [errors.ClewError, *errors.ClewError.__subclasses__()]

    headings = [
        line.removeprefix("## ") for line in (PAGES / "errors.md").read_text().splitlines() if line.startswith("## ")
    ]

    assert sorted(kind.slug for kind in kinds) == sorted(headings)
