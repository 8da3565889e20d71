"""Log capture changes nothing that a program shows, and loses none of its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


REFUSED = {"extra overwrites", "extra overwrites base", "extra no mapping", "level no number"}
"""Cases that logging itself refuses with an exception, before there is a record."""


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
    cases = int(run.stdout.splitlines()[-1].split()[0])
    bodies = [str(record["body"]) for record in run.records if not record["scope"].startswith("inner")]
    before = [body.removeprefix("before ") for body in bodies if body.startswith("before ")]
    after = [body.removeprefix("after ") for body in bodies if body.startswith("after ")]

    assert cases >= 60
    assert (cases, sorted(before)) == (len({*before}), sorted(after))
    assert cases - len(REFUSED) == len(bodies) - 2 * cases


def test_bad_records_say_what_was_replaced(run_program: Callable[..., Any]) -> None:
    """A record that could not be sent as it was has a readable body and tells what was replaced."""
    run = run_program("hostile.py", "quiet", clew=True)
    flaws = {str(record["body"]): record["attributes"].get("clew.log.sanitized") for record in run.records}
    values = [record["attributes"]["value"] for record in run.records if record["body"] == "extra"]

    assert flaws["%s and %s (arguments: [1])"] == "arguments"
    assert flaws["user %d (arguments: ['bob'])"] == "arguments"
    assert flaws["%s (arguments: ['<unprintable RaisingStr object>'])"] == "arguments,unprintable"
    assert flaws["/tmp/\\udcff"] == "surrogate"
    assert {"self": "<cycle>", "list": ["<cycle>"]} in values
    assert ["1180591620717411303424", "-1180591620717411303424", 2**63 - 1, -(2**63)] in [
        value[:4] for value in values if isinstance(value, list)
    ]
    assert all(record["attributes"]["good"] == "kept" for record in run.records if record["body"] == "extra")
