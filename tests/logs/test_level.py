"""`CLEW_LOG_LEVEL` captures more than the loggers let through, and the program notices nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def test_lower_level_is_captured_and_not_shown(run_program: Callable[..., Any]) -> None:
    """Records below their logger's level arrive; handlers, filters, factories and `isEnabledFor` see none of them."""
    plain = run_program("levels.py", clew=False)
    clewed = run_program("levels.py", clew=True, CLEW_LOG_LEVEL="DEBUG")
    found = {record["body"]: record for record in clewed.records}

    assert plain.shown == clewed.shown
    assert {
        "debug 1",
        "info",
        "warning",
        "fifteen",
        "adapted",
        "root",
        "bad %d (arguments: ['bob'])",
        "with exception",
        "by a helper",
    } == found.keys()
    assert found["debug 1"]["attributes"] == {"k": "v"}
    assert found["adapted"]["attributes"] == {"adapted": True}
    assert found["with exception"]["exception"][0] == "ValueError"
    assert found["by a helper"]["code"][1] == "<module>"
    assert {record["code"][0].rpartition("/")[2] for record in clewed.records} == {"levels.py"}


def test_threshold_holds(run_program: Callable[..., Any]) -> None:
    """Records below `CLEW_LOG_LEVEL` are not captured."""
    found = {record["body"] for record in run_program("levels.py", clew=True, CLEW_LOG_LEVEL="INFO").records}

    assert found == {"info", "warning", "adapted", "root", "by a helper"}
