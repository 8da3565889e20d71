"""Whether an endpoint is worth a try: open after the first failure, probed with back-off, closed by a success."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
MAX_ASKED_PAUSE_S: Final = 300.0
"""The longest pause that an endpoint is granted when it asks for one."""


class Breaker:
    """Decides when to try; its owner tells it what came of each try."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        """Start closed.

        Args:
            clock: Seconds, never stepping back.
            jitter: 0 to 1, so that the processes of a service do not probe in step.
        """
        self._clock, self._jitter = clock, jitter
        self._pause_s = 0.0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last try failed."""
        return self._pause_s > 0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a try: always while closed, after the pause while open."""
        return not self.is_open or self._clock() >= self._probe_at

    @property
    def pause_s(self) -> float:
        """How long the current pause is, 0 while closed."""
        return self._pause_s

    def fail(self, asked_pause_s: float | None = None) -> bool:
        """Open, or stay open for twice as long; return whether this opened it.

        Args:
            asked_pause_s: What the endpoint asked for (Retry-After); it is waited for in full.
        """
        opened = not self.is_open
        self._pause_s = FIRST_PAUSE_S if opened else min(MAX_PAUSE_S, self._pause_s * 2)
        wait_s = self._pause_s * (0.5 + self._jitter() / 2)
        if asked_pause_s is not None:
            wait_s = max(wait_s, min(asked_pause_s, MAX_ASKED_PAUSE_S))
        self._probe_at = self._clock() + wait_s
        return opened

    def succeed(self) -> bool:
        """Close; return whether this closed it."""
        closed = self.is_open
        self._pause_s = 0.0
        return closed

    def hurry(self) -> None:
        """Make the next try due at once: another signal has reached the same host."""
        self._probe_at = min(self._probe_at, self._clock())
