"""The queue of one signal, and the settings and routes that go with it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.delivery.routes import Route
    from clew.otel_variables import Batching


class Lane:
    """Records of one signal on their way from the callers' threads to the worker."""

    __slots__ = ("attention", "batching", "due_at", "held_until", "in_flight", "queue", "routes", "signal")

    def __init__(self, signal: str, batching: Batching) -> None:
        self.signal = signal
        self.batching = batching
        self.routes: list[Route] = []
        self.renew()

    def renew(self) -> None:
        """Start empty, as a forked child does: what was queued is its parent's."""
        self.queue: deque[Any] = deque()
        self.in_flight: list[Any] = []
        self.due_at = 0.0
        self.held_until = 0.0
        """When what was put back is tried again, however much waits."""
        self.attention = 0
        """Length of the queue from which on a caller has more to do than append."""

    def is_due(self, now: float) -> bool:
        """Return whether records have waited long enough, or are enough for a batch."""
        return self.is_full(now) or (len(self.queue) > 0 and now >= self.due_at)

    def is_full(self, now: float) -> bool:
        """Return whether a whole batch waits, and need not wait any longer."""
        return len(self.queue) >= self.batching.batch_size and not self.is_held(now)

    def is_held(self, now: float) -> bool:
        """Return whether what was put back waits for another try."""
        return now < self.held_until

    def replaying_route(self) -> Route | None:
        """Return the route that what is in the spool is meant for."""
        remote = (route for route in self.routes if route.is_remote)
        return next(remote, self.routes[0] if self.routes else None)

    def waiting(self) -> int:
        """Return how many records are in memory, those on their way out included."""
        return len(self.queue) + len(self.in_flight)

    def take(self) -> list[Any]:
        """Take the next batch off the queue; it is in flight until `landed`."""
        queue, size = self.queue, 1 if self.signal == "metrics" else self.batching.batch_size
        batch: list[Any] = []
        # One thread takes at a time, but one that is stuck may wake up while another has taken over.
        with contextlib.suppress(IndexError):
            for _ in range(min(size, len(queue))):
                batch.append(queue.popleft())  # noqa: PERF401 - what was taken before an error is kept
        self.in_flight = batch
        return batch

    def put_back(self, batch: list[Any]) -> None:
        """Put a batch back in front, to be tried again a delay later."""
        self.queue.extendleft(reversed(batch))
        self.in_flight = []
        self.due_at = self.held_until = time.monotonic() + self.batching.delay_s

    def landed(self) -> None:
        """Forget the batch in flight and expect the next one a delay later."""
        self.in_flight = []
        self.due_at = time.monotonic() + self.batching.delay_s
