"""The work of the delivery thread: batches out of the lanes, routes fed, the spool replayed, files kept in bounds."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from clew import diagnostics
from clew.delivery import counts as reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clew.delivery.counts import Counts
    from clew.delivery.durable import DurableLog
    from clew.delivery.encoding import Rest
    from clew.delivery.lanes import Lane

MAX_WAIT_S: Final = 1.0
"""How long the thread sleeps at most, so that a probe or a flush never waits long."""

_REPLAY_WAIT_S: Final = 0.05
_HOUSEKEEPING_S: Final = 5.0


class Worker:
    """What one thread at a time does with the lanes; `step` is all of it."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        durable: DurableLog,
        counts: Counts,
        *,
        replay_bytes_per_s: int,
        keep_house: Callable[[], object],
        rest: Rest,
    ) -> None:
        """Make a worker.

        Args:
            lanes: One for each signal.
            durable: What lets go of records that have arrived.
            counts: Where records that are given up are counted.
            replay_bytes_per_s: How much of the spool is sent a second.
            keep_house: Called every few seconds: closes aged files, keeps folders in bounds.
            rest: Lets other threads run: a request that waits for the interpreter must not wait for a whole batch.
        """
        self._lanes, self._durable, self._counts = lanes, durable, counts
        self._rate, self._keep_house, self._rest = replay_bytes_per_s, keep_house, rest
        self._budget, self._budget_at, self._house_at = 0.0, time.monotonic(), 0.0
        self.stopped = False
        """Set when another thread has taken over: this one must touch nothing any more."""

    def step(self, *, deadline: float = math.inf, drain: bool = False) -> float:
        """Deliver what is due, or with `drain` all there is; return the seconds until the next step."""
        for lane in self._lanes:
            if drain or lane.is_due(time.monotonic()):
                self._empty(lane, deadline, drain=drain)
            if self.stopped:
                return 0.0
            batching = lane.batching
            lane.attention = batching.queue_size if lane.is_held(time.monotonic()) else batching.batch_size
        if drain:
            return 0.0
        replayed = self._replay()
        if time.monotonic() >= self._house_at:
            self._house_at = time.monotonic() + _HOUSEKEEPING_S
            self._guarded("files", self._keep_house)
        return _REPLAY_WAIT_S if replayed else self._pause()

    def _pause(self) -> float:
        now = time.monotonic()
        if any(lane.is_full(now) for lane in self._lanes):
            return 0.0
        waits = [lane.due_at - now if lane.queue else lane.batching.delay_s for lane in self._lanes]
        return max(0.01, min(MAX_WAIT_S, *waits))

    def _empty(self, lane: Lane, deadline: float, *, drain: bool) -> None:
        """Deliver what is in the lane now; what comes meanwhile has its turn later."""
        left = len(lane.queue)
        while left > 0 and not self.stopped and (batch := lane.take()):
            left -= len(batch)
            hurries = drain or len(lane.queue) >= lane.batching.batch_size
            handled = self._deliver(lane, batch, deadline, None if hurries else self._rest)
            if handled < len(batch) and not self.stopped:
                lane.put_back(batch[handled:])
                return
        if not self.stopped:
            lane.landed()

    def _deliver(self, lane: Lane, batch: list[Any], deadline: float, rest: Rest | None) -> int:
        """Hand a batch to each route; return how many of its first items need not wait in memory.

        Only the sole route of a lane can make them wait: what one of several could not take is dropped and counted.
        """
        limit = min(deadline, time.monotonic() + lane.batching.timeout_s)
        try:
            taken = [route.deliver(batch, limit, rest) for route in lane.routes]
        except Exception as error:  # noqa: BLE001 - promise: one batch is lost and counted, the thread goes on
            self._give_up(lane, batch, error)
            taken = []
        if self.stopped:
            return len(batch)
        handled = taken[0] if len(taken) == 1 else len(batch)
        self._counts.add(lane.signal, "dropped", sum(handled - records for records in taken), reasons.DISK)
        if lane.signal == "logs":
            self._durable.release(batch[:handled])
        return handled

    def _give_up(self, lane: Lane, batch: list[Any], error: Exception) -> None:
        self._counts.add(lane.signal, "dropped", len(batch), reasons.INTERNAL)
        diagnostics.report(
            "delivery", f"{len(batch)} {lane.signal} are dropped by an error of ours: {type(error).__name__}: {error}"
        )

    def _replay(self) -> bool:
        """Deliver some of what waits on disk; return whether there was any."""
        now = time.monotonic()
        self._budget = min(self._rate, self._budget + (now - self._budget_at) * self._rate)
        self._budget_at = now
        replayed = False
        for route in [route for lane in self._lanes if (route := lane.replaying_route()) is not None]:
            if self._budget > 0 and not self.stopped:
                sent = self._guarded("replay", partial(route.replay, int(self._budget), math.inf)) or 0
                self._budget -= sent
                replayed = replayed or sent > 0
        return replayed

    def _guarded(self, topic: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - as in _deliver
            diagnostics.report(topic, f"{topic} failed: {type(error).__name__}: {error}")
            return None

    def take_over(self, limit: float) -> None:
        """Store everything that is queued or in flight, from another thread, because this one is stuck.

        Args:
            limit: Time (monotonic) after which what is left is counted as dropped.
        """
        self.stopped = True
        for lane in self._lanes:
            batches = [lane.in_flight] if lane.in_flight else []
            while batches or (batch := lane.take()):
                batch = batches.pop() if batches else batch
                stored = 0 if time.monotonic() >= limit else self.store(lane, batch)
                self._counts.add(lane.signal, "dropped", len(batch) - stored, reasons.EXIT)

    def store(self, lane: Lane, batch: Sequence[Any]) -> int:
        """Put records on disk, from any thread; return how many of the first ones every route took."""
        stored = min((self._guarded("exit", partial(route.store, batch)) or 0 for route in lane.routes), default=0)
        if lane.signal == "logs":
            self._durable.release(batch[:stored])
        return stored
