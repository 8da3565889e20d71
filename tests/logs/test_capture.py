"""Log capture changes nothing that a program shows, and loses none of its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Runner = "Callable[..., Any]"


@pytest.mark.parametrize("console", ["stream", "none", "json", "quiet"])
def test_hostile_records_leave_the_console_alone(run_program: Callable[..., Any], console: str) -> None:
    """Whatever a record holds, stdout, stderr and exit status are those of plain Python."""
    plain = run_program("hostile.py", console, clew=False)
    clewed = run_program("hostile.py", console, clew=True)

    assert plain.shown == clewed.shown


@pytest.mark.parametrize("console", ["stream", "none", "json", "quiet"])
def test_hostile_records_and_their_neighbours_arrive(run_program: Callable[..., Any], console: str) -> None:
    """Each good neighbour of a bad record arrives, and each bad one arrives between its own."""
    run = run_program("hostile.py", console, clew=True)
    names = [body.removeprefix("before ") for body in run.bodies if body.startswith("before ")]
    refused = {"extra overwrites", "extra overwrites base", "extra no mapping", "level no number"}

    assert len(names) >= 60
    for name in names:
        start, end = run.bodies.index(f"before {name}"), run.bodies.index(f"after {name}")
        between = [record for record in run.records[start + 1 : end] if not record["scope"].startswith("inner")]
        assert (name, len(between)) == (name, 0 if name in refused else 1)
