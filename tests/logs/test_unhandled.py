"""An exception that nothing handles becomes one record, and the program ends as it would have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED: dict[str, list[tuple[str, str | None, str, str]]] = {
    "process": [("Unhandled exception ended the process", "process", "CRITICAL", "ValueError")],
    "chained": [("Unhandled exception ended the process", "process", "CRITICAL", "RuntimeError")],
    "logged_by_hook": [("uncaught", "process", "CRITICAL", "ValueError")],
    "logged_before": [
        ("caught once", None, "ERROR", "ValueError"),
        ("Unhandled exception ended the process", "process", "CRITICAL", "ValueError"),
    ],
    "exits": [],
    "exits_quietly": [],
    "interrupted": [],
    "thread": [("Unhandled exception ended thread worker", "thread", "ERROR", "ValueError")],
    "thread_exits": [],
    "thread_hook": [("from the hook", "thread", "ERROR", "ValueError")],
    "thread_hook_fails": [("Unhandled exception ended thread worker", "thread", "ERROR", "ValueError")],
    "task": [("Task exception was never retrieved", "task", "ERROR", "ValueError")],
    "task_handled": [("Task exception was never retrieved", "task", "ERROR", "ValueError")],
    "callback": [("Exception in callback process()", "task", "ERROR", "ValueError")],
    "unraisable": [("Exception ignored in unraisable.<locals>.Finalized.__del__", "unraisable", "ERROR", "ValueError")],
    "unraisable_hook": [],
    "forked": [("Unhandled exception ended the process", "process", "CRITICAL", "ValueError")],
    "syntax": [("Unhandled exception ended the process", "process", "CRITICAL", "SyntaxError")],
    "nothing": [],
}


def _said(record: dict[str, Any]) -> tuple[str, str | None, str, str]:
    place = (record["attributes"] or {}).get("clew.exception.unhandled")
    return record["body"].split("\n")[0].split(" at ")[0], place, record["severity_text"], record["exception"][0]


@pytest.mark.parametrize("way", EXPECTED)
def test_program_ends_as_ever_and_leaves_one_record(run_program: Callable[..., Any], way: str) -> None:
    """Stdout, stderr and exit status are plain Python's; the exception is recorded once, with a fingerprint."""
    plain = run_program("crashes.py", way, clew=False)
    clewed = run_program("crashes.py", way, clew=True)

    hide = [re.sub(r"0x[0-9a-f]+", "0x", str(part)) for part in plain.shown]
    assert hide == [re.sub(r"0x[0-9a-f]+", "0x", str(part)) for part in clewed.shown]
    assert EXPECTED[way] == [_said(record) for record in clewed.records]
    assert all(record["exception"][3] for record in clewed.records)
