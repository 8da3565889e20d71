"""Durations of many operations, and their percentiles."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EXACT: Final = 8_000_000
"""Durations that are kept as they are, in all that share a `Budget`: 64 MB. Beyond, they are rounded."""

_LONGEST_NS: Final = 2**64 - 1
_KEPT_BITS: Final = 10
"""Bits that a rounded duration keeps: it is off by less than one in a thousand."""


class Budget:
    """How many more durations may be kept exactly, by all that share it."""

    __slots__ = ("left",)

    def __init__(self, limit: int = MAX_EXACT) -> None:
        self.left = limit


class Durations:
    """Durations in nanoseconds; exact as long as the budget lasts, then within a thousandth."""

    __slots__ = ("_budget", "_exact", "_rounded", "_sorted", "count", "longest_ns", "total_ns")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._exact = array("Q")
        self._rounded: Counter[int] = Counter()
        self._sorted = True
        self.count = 0
        self.total_ns = 0
        self.longest_ns = 0

    @property
    def is_exact(self) -> bool:
        """Whether percentiles are exact."""
        return not self._rounded

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        self.count += 1
        self.total_ns += duration_ns
        self.longest_ns = max(self.longest_ns, duration_ns)
        if self._rounded:
            self._rounded[_rounded(duration_ns)] += 1
            return
        self._exact.append(min(duration_ns, _LONGEST_NS))
        self._sorted = False
        self._budget.left -= 1
        if self._budget.left < 0:
            self._fold()

    def extend(self, other: Durations) -> None:
        """Count all durations of another that shares the budget; the other is not to be used any more."""
        self.count += other.count
        self.total_ns += other.total_ns
        self.longest_ns = max(self.longest_ns, other.longest_ns)
        self._exact.extend(other._exact)
        self._rounded.update(other._rounded)
        self._sorted = False
        if self._rounded:
            self._fold()

    def percentiles_ns(self, shares: Sequence[float]) -> tuple[int, ...]:
        """Return for each share (0 to 1) the smallest duration that so many do not exceed; 0 where there is none."""
        if not self.count:
            return (0,) * len(shares)
        ranks = [max(0, math.ceil(share * self.count) - 1) for share in shares]
        if self._rounded:
            return tuple(self._rounded_at(rank) for rank in ranks)
        if not self._sorted:
            self._exact = array("Q", sorted(self._exact))
            self._sorted = True
        return tuple(self._exact[min(rank, self.count - 1)] for rank in ranks)

    def _fold(self) -> None:
        """Round what was exact until now."""
        self._rounded.update(map(_rounded, self._exact))
        self._budget.left += len(self._exact)
        self._exact = array("Q")

    def _rounded_at(self, rank: int) -> int:
        passed = 0
        for duration_ns in sorted(self._rounded):
            passed += self._rounded[duration_ns]
            if passed > rank:
                return min(duration_ns, self.longest_ns)
        return self.longest_ns


def _rounded(duration_ns: int) -> int:
    """Round to `_KEPT_BITS` significant bits."""
    shift = max(0, duration_ns.bit_length() - _KEPT_BITS)
    return (duration_ns >> shift << shift) + (1 << shift >> 1)
