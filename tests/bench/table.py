"""The table of a run: each number of each variant, and Clew's beside upstream's as a ratio of the same round."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Round = dict[str, dict[str, float]]
"""One round's numbers: variant, then name."""


class Row(NamedTuple):
    """What is shown of one number.

    `added` compares what the variants take more than plain; else the numbers themselves are compared. The goals are the
    most that Clew's ratio to upstream, and to plain, should be.
    """

    name: str
    unit: str
    added: bool = False
    goal: float | None = None
    goal_to_plain: float | None = None


ROWS: Final = (
    Row("log call, caller", "ns", goal=0.45),
    Row("log call, total", "ns", goal=0.3),
    Row("disabled log call", "ns"),
    Row("error with traceback, caller", "ns"),
    Row("error with traceback, total", "ns"),
    Row("span, caller", "ns"),
    Row("span, export", "ns", goal=0.25),
    Row("Flask: CPU per request", "µs", added=True, goal=0.6),
    Row("Flask: p50 at 500/s", "µs"),
    Row("Flask: p99 at 500/s", "µs", goal=0.3, goal_to_plain=3.0),
    Row("Flask: memory", "MB", added=True),
    Row("FastAPI: CPU per request", "µs", added=True, goal=0.5),
    Row("FastAPI: p50 at 500/s", "µs"),
    Row("FastAPI: p99 at 500/s", "µs", goal=0.3, goal_to_plain=3.0),
    Row("FastAPI: memory", "MB", added=True),
    Row("FastAPI, no send spans: CPU per request", "µs", added=True, goal=0.6),
    Row("FastAPI, no send spans: p99 at 500/s", "µs"),
    Row("start, wall", "ms", added=True),
    Row("start, memory", "MB", added=True),
)

_HEAD: Final = ("", "unit", "plain", "Clew", "upstream", "Clew : upstream", "goal", "Clew : plain", "goal")


def lines_of(rounds: Sequence[Round]) -> list[str]:
    """Return the table of the medians as Markdown; a row without numbers is left out."""
    rows = [cells for row in ROWS if (cells := _cells(row, rounds))]
    rule = ("---", "---", *("---:" for _ in _HEAD[2:]))
    return ["| " + " | ".join(cells) + " |" for cells in (_HEAD, rule, *rows)]


def _cells(row: Row, rounds: Sequence[Round]) -> tuple[str, ...]:
    found = [numbers for numbers in rounds if row.name in numbers["plain"]]
    if not found:
        return ()
    medians = [statistics.median(numbers[name][row.name] for numbers in found) for name in ("plain", "clew", "distro")]
    return (
        row.name,
        row.unit,
        *(f"{median:,.0f}" if median >= 10 else f"{median:.2f}" for median in medians),
        _ratio([_compared(row, numbers) for numbers in found]) + (" (added)" if row.added else ""),
        f"≤ {row.goal}" if row.goal is not None else "",
        _ratio([numbers["clew"][row.name] / numbers["plain"][row.name] for numbers in found]),
        f"≤ {row.goal_to_plain}" if row.goal_to_plain is not None else "",
    )


def _compared(row: Row, numbers: Round) -> float:
    """Return Clew's number as a part of upstream's, in one round."""
    base = numbers["plain"][row.name] if row.added else 0.0
    above = numbers["distro"][row.name] - base
    return (numbers["clew"][row.name] - base) / above if above else float("nan")


def _ratio(ratios: Sequence[float]) -> str:
    """Return the median, and the range if there is one."""
    median = f"{statistics.median(ratios):.2f}"
    return median if len(ratios) == 1 else f"{median} [{min(ratios):.2f}-{max(ratios):.2f}]"
