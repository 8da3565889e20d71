"""From the callers' threads to the worker's: bounded queues, one thread, and how it starts, flushes, forks and ends."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from clew import diagnostics, schema
from clew.delivery import counts as reasons
from clew.delivery.breaker import Breaker
from clew.delivery.counts import Counts
from clew.delivery.durable import DurableLog, durable_severity
from clew.delivery.encode import encode, service_name
from clew.delivery.lanes import Lane
from clew.delivery.routes import CollectorRoute, FileRoute, Sender, origin_of
from clew.delivery.spool import Spool
from clew.delivery.thread import WorkerThread, rest
from clew.delivery.worker import Worker
from clew.files import retention
from clew.files.segments import SegmentWriter, compress_closed
from clew.otel_variables import batching
from clew.settings import process_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from clew.delivery.attributes import Redactor
    from clew.delivery.counts import Tally
    from clew.delivery.transport import Transport
    from clew.entry import LogEntry
    from clew.settings import Settings

_METRICS_QUEUE: Final = 64
_RESERVE_S: Final = 0.2
_RESERVE_PER_RECORD_S: Final = 20e-6
"""Time kept back at exit for storing what could not be sent: twice what a record takes here."""


def _no_reserve_s() -> float:
    return 0.0


class Delivery:
    """Takes records from any thread and brings them to the Collector or the disk; one for each process.

    A forked child has the same object with queues, locks, files and connections of its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        redactor: Redactor | None = None,
        environ: Mapping[str, str] | None = None,
        suppress: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Make the pipeline; nothing runs before the first record.

        Args:
            settings: The process's settings.
            redactor: What takes secrets out of records on the worker's thread.
            environ: Where OpenTelemetry's batching variables are read; the process's environment if None.
            suppress: Entered by the worker's thread: what it logs is neither captured nor shown.
        """
        self.settings = settings
        self.tallies = Counts()
        self._redact = redactor
        self._suppress = suppress
        self._policy = retention.RetentionPolicy.from_settings(settings)
        variables = process_environment() if environ is None else environ
        sizes = {"metrics": _METRICS_QUEUE}
        self._lanes = {
            signal: Lane(signal, batching(variables, signal, sizes.get(signal, settings.queue_size)))
            for signal in ("logs", "traces", "metrics")
        }
        self._logs, self._spans = self._lanes["logs"], self._lanes["traces"]
        self.spool = Spool(settings, self.tallies, service=service_name)
        self._durable = DurableLog(self.spool, self._encode_line)
        self._durable_severity = durable_severity(settings.durable_level)
        self._breakers: dict[str, list[Breaker]] = {}
        self._renew()

    def _renew(self) -> None:
        """Make what each process has of its own."""
        self._closed = False
        self._shutdown_s = 0.0
        self.metrics_ended = False
        self._worker = Worker(
            tuple(self._lanes.values()),
            self._durable,
            self.tallies,
            replay_bytes_per_s=self.settings.replay_bytes_per_s,
            keep_house=self._keep_house,
            rest=rest,
        )
        self._thread = WorkerThread(self._worker.step, self._suppress)

    def _encode_line(self, entry: LogEntry) -> bytes:
        return encode("logs", "json", (entry,), self._redact).payload

    def put_log(self, entry: LogEntry) -> None:
        """Queue a log record; an entry of `CLEW_DURABLE_LEVEL` or above is on disk when this returns. Never blocks."""
        lane = self._logs
        if entry.severity_number >= self._durable_severity:
            entry = self._durable.keep(entry)
        if len(lane.queue) >= lane.attention and not self._attend(lane, entry):
            return
        lane.queue.append(entry)

    def put_span(self, span: ReadableSpan | tuple[Any, ...]) -> None:
        """Queue an ended span, or the fields of one. Never blocks."""
        lane = self._spans
        if len(lane.queue) >= lane.attention and not self._attend(lane, span):
            return
        lane.queue.append(span)

    def put_metrics(self, data: MetricsData) -> None:
        """Queue one collection of metrics."""
        lane = self._lanes["metrics"]
        if self._attend(lane, data):
            lane.queue.append(data)

    def _attend(self, lane: Lane, item: Any) -> bool:
        """Do what is seldom due before a record is queued; return whether it may be queued."""
        if self._closed:
            self._store_late(lane, item)
            return False
        if len(lane.queue) >= lane.batching.queue_size:
            self._overflow(lane, item)
            return False
        if not self._thread.is_running:
            self._start(lane)
        else:
            lane.attention = lane.batching.queue_size
            self._thread.rouse()
        return True

    def _overflow(self, lane: Lane, item: Any) -> None:
        """Count a record that the queue has no room for; a durable one stays on disk for the next process."""
        if lane.signal == "logs" and item.uid is not None:
            self.tallies.add(lane.signal, "spooled", 1)
        else:
            self.tallies.add(lane.signal, "dropped", 1, reasons.QUEUE_FULL)

    def _start(self, lane: Lane) -> None:
        """Start the thread; where none can be had, try again after the next batch."""
        for each in self._lanes.values():
            each.due_at = time.monotonic() + each.batching.delay_s
        batching = lane.batching
        started = self._thread.start()
        lane.attention = (
            batching.batch_size if started else min(len(lane.queue) + batching.batch_size, batching.queue_size)
        )

    def _store_late(self, lane: Lane, item: Any) -> None:
        """Store a record that comes after the end of delivery."""
        self.tallies.add(lane.signal, "dropped", 1 - self._worker.store(lane, (item,)), reasons.EXIT)

    def flush(self, timeout_s: float) -> bool:
        """Deliver or store everything queued so far; return whether that was done within `timeout_s`."""
        return self._flush(time.monotonic() + timeout_s)

    def _flush(self, deadline: float, reserve_s: Callable[[], float] = _no_reserve_s) -> bool:
        return not self._is_pending() or self._thread.flush(deadline, reserve_s)

    def _reserve_s(self) -> float:
        """Return how long storing what is queued may take."""
        waiting = sum(lane.waiting() for lane in self._lanes.values())
        return _RESERVE_S + waiting * _RESERVE_PER_RECORD_S

    def _is_pending(self) -> bool:
        return any(lane.queue or lane.in_flight for lane in self._lanes.values())

    def shutdown(self, timeout_s: float) -> bool:
        """Flush for a provider that was shut down; what comes later is still taken.

        All calls together wait no longer than `timeout_s`, since a process ends with one for each signal.
        """
        begun = time.monotonic()
        done = self._flush(begun + max(0.0, timeout_s - self._shutdown_s), self._reserve_s)
        self._shutdown_s += time.monotonic() - begun
        return done

    def end_metrics(self) -> None:
        """Take note that the meter provider has collected for the last time."""
        self.metrics_ended = True

    def close(self, timeout_s: float) -> None:
        """End delivery for this process: send for as long as that may take, store the rest, say what was dropped.

        Takes no longer than `timeout_s` and a fraction of a second, whatever the Collector does. What comes later is
        stored at once.
        """
        if self._closed:
            return
        limit = time.monotonic() + max(0.0, timeout_s - self._shutdown_s)
        self._flush(limit, self._reserve_s)
        self._closed = True
        for lane in self._lanes.values():
            lane.attention = 0
        idle = self._thread.end()
        self._worker.take_over(limit + _RESERVE_S)
        self._worker.take_over(limit + _RESERVE_S)  # what a thread had begun to queue when this began
        if idle:
            self._close_all()
        self._tell_dropped()

    def _close_all(self) -> None:
        """Close files and connections; those that a stuck thread uses are left to the operating system."""
        self._durable.close()
        self.spool.close()
        for lane in self._lanes.values():
            for route in lane.routes:
                route.close()

    def _tell_dropped(self) -> None:
        dropped = [tally for tally in self.counts() if tally.outcome == "dropped"]
        if dropped:
            said = ", ".join(f"{tally.records} {tally.signal} ({tally.reason})" for tally in dropped)
            diagnostics.report("dropped", f"dropped by this process: {said}")

    def after_fork(self) -> None:
        """Start clean in a forked child: what was queued is the parent's, and so are its files and connections."""
        for lane in self._lanes.values():
            lane.renew()
            for route in lane.routes:
                route.abandon()
        self.tallies.renew()
        self.spool.abandon()
        self._durable.abandon()
        self._renew()

    @property
    def is_used(self) -> bool:
        """Whether this process has given it anything."""
        return self._thread.is_running or self._is_pending()

    def add_collector(self, signal: str, transport: Transport) -> None:
        """Send `signal` to an endpoint, with the spool behind it."""
        peers = self._breakers.setdefault(origin_of(transport), [])
        breaker = Breaker()
        peers.append(breaker)
        sender = Sender(transport, breaker, self.spool, peers)
        self._lanes[signal].routes.append(CollectorRoute(signal, sender, self.spool, self.tallies, self._redact))

    def add_files(self, signal: str) -> None:
        """Write `signal` to segments in `CLEW_DIR`."""
        route = FileRoute(signal, partial(self._make_writer, signal), self.spool, self.tallies, self._redact)
        self._lanes[signal].routes.append(route)

    def has_route(self, signal: str) -> bool:
        """Return whether `signal` goes anywhere."""
        return bool(self._lanes[signal].routes)

    def _make_writer(self, signal: str) -> SegmentWriter:
        settings = self.settings
        return SegmentWriter(
            settings.folder,
            signal,
            service_name(),
            max_bytes=settings.segment_max_bytes,
            max_age_s=settings.segment_max_age_s,
            compression=settings.compression,
            opening=partial(retention.making_room, settings.folder, self._policy),
        )

    def _keep_house(self) -> None:
        """Close aged files, compress closed ones, and keep the folder in its bounds."""
        files = [route for lane in self._lanes.values() for route in lane.routes if isinstance(route, FileRoute)]
        for route in files:
            route.close_aged()
        if files and self.settings.folder.is_dir():
            compress_closed(self.settings.folder, self.settings.compression)
            if retention.is_due(self.settings.folder):
                retention.apply(self.settings.folder, self._policy)

    def counts(self) -> tuple[Tally, ...]:
        """Return what became of this process's records so far."""
        return self.tallies.snapshot()

    def sent_bytes(self) -> dict[str, int]:
        """Return the bytes that were accepted, by signal."""
        return self.tallies.sent_bytes()

    def queue_depths(self) -> dict[str, int]:
        """Return how many records wait in memory, by signal."""
        return {signal: self._lanes[signal].waiting() for signal in schema.SIGNALS}

    def cpu_time_s(self) -> float:
        """Return the CPU time of the worker's thread, in seconds."""
        return self._thread.cpu_time_s
