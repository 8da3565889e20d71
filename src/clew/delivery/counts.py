"""What became of each record: by signal, outcome and reason."""

from __future__ import annotations

from _thread import RLock
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Outcome = Literal["delivered", "spooled", "replayed", "dropped"]

QUEUE_FULL: Final = "queue_full"
REFUSED: Final = "refused"
REJECTED: Final = "rejected"
TOO_LARGE: Final = "too_large"
ENCODING: Final = "encoding"
INTERNAL: Final = "internal"
DISK: Final = "disk"
SPOOL_FULL: Final = "spool_full"
DAMAGED: Final = "damaged"
EXIT: Final = "exit"


class Tally(NamedTuple):
    """How many records of `signal` came to `outcome`; `reason` is empty unless they were dropped."""

    signal: str
    outcome: str
    reason: str
    records: int


class Counts:
    """Counts records; safe from any thread and in a signal handler."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start at nothing, as a forked child does; what was counted before the fork is the parent's."""
        self._lock = RLock()
        self._records: Counter[tuple[str, str, str]] = Counter()
        self._sent_bytes: Counter[str] = Counter()

    def add(self, signal: str, outcome: Outcome, records: int, reason: str = "") -> None:
        """Count `records` records."""
        if records:
            with self._lock:
                self._records[signal, outcome, reason] += records

    def add_sent(self, signal: str, sent_bytes: int) -> None:
        """Count the bytes of an accepted request."""
        with self._lock:
            self._sent_bytes[signal] += sent_bytes

    def snapshot(self) -> tuple[Tally, ...]:
        """Return all counts above zero, sorted."""
        with self._lock:
            items = sorted(self._records.items())
        return tuple(Tally(*key, records) for key, records in items)

    def sent_bytes(self) -> dict[str, int]:
        """Return the bytes sent, by signal."""
        with self._lock:
            return dict(self._sent_bytes)


def total(tallies: Iterable[Tally], signal: str, outcome: Outcome) -> int:
    """Sum the records of one signal and outcome, whatever the reason."""
    return sum(tally.records for tally in tallies if tally.signal == signal and tally.outcome == outcome)
