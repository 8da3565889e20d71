"""No command or option goes undocumented."""

from __future__ import annotations

import re

import click
import pytest
from pages import ROOT

from clew.desk.cli import clew as group


def _commands(parent: click.Group, context: click.Context, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        assert command is not None
        found[f"{prefix}{name}"] = command
        if isinstance(command, click.Group):
            found |= _commands(command, context, f"{prefix}{name} ")
    return found


_COMMANDS = _commands(group, click.Context(group))
_PAGES = "\n".join(path.read_text() for path in sorted((ROOT / "docs/reference").glob("*.md")))


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_command_is_in_the_reference(name: str) -> None:
    """Each command stands in the reference by its name."""
    assert re.search(rf"`clew {name}\b", _PAGES), name


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_options_are_in_the_reference(name: str) -> None:
    """Each option of a command stands in the reference in its long form."""
    options = [option for option in _COMMANDS[name].params if isinstance(option, click.Option)]
    longest = [max(option.opts, key=len) for option in options if not option.hidden]

    assert [] == [option for option in longest if f"`{option}" not in _PAGES]
