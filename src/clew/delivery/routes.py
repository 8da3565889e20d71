"""Where batches of a signal go: to a Collector with the spool behind it, or to files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from clew import diagnostics
from clew.delivery import causes
from clew.delivery import counts as reasons
from clew.delivery.encode import encode
from clew.delivery.record_uid import with_uid
from clew.delivery.stored_lines import halve_line, join_lines, records_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clew.delivery.attributes import Redactor
    from clew.delivery.breaker import Breaker
    from clew.delivery.counts import Counts
    from clew.delivery.encoding import Rest
    from clew.delivery.spool import Claim, Spool
    from clew.delivery.transport import Outcome, Transport
    from clew.files.segments import SegmentWriter

STORED_RECORDS: Final = 128
"""Records of one stored line: a line is what is read back, sent and held in memory at a time."""

REPLAY_BYTES: Final = 256 * 1024
"""Stored bytes that are put into one request."""

_MIN_TIMEOUT_S: Final = 0.05
_SPLIT_TRIES: Final = 64
"""Requests that finding the culprits of one refused batch may take; one record among 512 takes 18."""


_AWAY: Final = frozenset({"unreachable", "busy"})
_SPLITTABLE: Final = frozenset({"invalid", "too_large"})


class Route(Protocol):
    """One destination of one signal; used by one thread at a time except for `store`.

    `is_remote` says whether it is a Collector: what waits in the spool waits for that, if a signal has one.
    """

    is_remote: bool

    def deliver(self, items: Sequence[Any], deadline: float, rest: Rest | None = None) -> int:
        """Deliver, store or count a batch; return how many of its first items were, the others wait in memory.

        Args:
            items: The batch.
            deadline: Time (monotonic) after which nothing is sent any more.
            rest: What lets other threads run, where there is time for it.
        """

    def store(self, items: Sequence[Any]) -> int:
        """Put a batch on disk, from any thread; return how many of its first items it took."""

    def replay(self, budget_bytes: int, deadline: float) -> int:
        """Deliver at most so many bytes of what waits on disk; return how many."""

    def abandon(self) -> None:
        """Forget what belongs to the parent, in a forked child."""

    def close(self) -> None:
        """Give files and connections up."""


class Sender:
    """Tries at one endpoint under its breaker; tells a person when it goes away and when it is back."""

    def __init__(self, transport: Transport, breaker: Breaker, spool: Spool, peers: Sequence[Breaker] = ()) -> None:
        """Make a sender.

        Args:
            transport: The endpoint.
            breaker: This signal's.
            spool: Where records are kept meanwhile; named in messages.
            peers: The breakers of all signals at the same host: when nobody answers one, the others need not find out.
        """
        self.transport = transport
        self.breaker = breaker
        self._spool, self._peers = spool, peers
        self._origin = origin_of(transport)

    def send(self, payload: bytes, deadline: float) -> Outcome:
        """Try once; the breaker knows what came of it."""
        timeout_s = self.transport.timeout_s
        if self.breaker.is_open:
            timeout_s = min(timeout_s, max(1.0, self.breaker.pause_s))
        outcome = self.transport.send(payload, max(_MIN_TIMEOUT_S, min(timeout_s, deadline - time.monotonic())))
        if outcome.kind in _AWAY:
            self._open(outcome)
        elif self.breaker.succeed():
            for peer in self._peers:
                peer.hurry()
            diagnostics.report(f"back-{self._origin}", f"Collector {self._origin} answers again; sending what was kept")
            self._spool.rescan()
        return outcome

    def _open(self, outcome: Outcome) -> None:
        if not self.breaker.fail(outcome.retry_after_s):
            return
        if outcome.kind == "unreachable":
            for peer in self._peers:
                if not peer.is_open:
                    peer.fail()
        diagnostics.report(
            f"gone-{self._origin}",
            f"Collector {self._origin} {causes.told(outcome)}; keeping records in {self._spool.place()}",
        )


def origin_of(transport: Transport) -> str:
    """Return host and port of an endpoint; all of one that is no URL."""
    return urlsplit(transport.endpoint).netloc or transport.endpoint


class CollectorRoute:
    """Sends batches of one signal to a Collector; what it does not take now waits in the spool."""

    is_remote = True

    def __init__(self, signal: str, sender: Sender, spool: Spool, counts: Counts, redact: Redactor | None) -> None:
        self._signal, self._sender, self._spool, self._counts, self._redact = signal, sender, spool, counts, redact
        self._encoding = sender.transport.encoding

    def deliver(self, items: Sequence[Any], deadline: float, rest: Rest | None = None) -> int:
        """Send a batch, or store it while the Collector is away; what the disk does not take is the next probe."""
        if not self._sender.breaker.is_open and time.monotonic() < deadline:
            return self._deliver(items, deadline, rest)
        stored = self.store(items)
        if stored or not self._sender.breaker.is_due or time.monotonic() >= deadline:
            return stored
        return self._deliver(items, deadline, rest)

    def _deliver(self, items: Sequence[Any], deadline: float, rest: Rest | None) -> int:
        encoded = encode(self._signal, self._encoding, items, self._redact, rest)
        outcome = self._sender.send(encoded.payload, deadline) if encoded.count else None
        if outcome is not None and outcome.kind in _AWAY:
            return self.store(items)
        self._counts.add(self._signal, "dropped", encoded.rejected, reasons.ENCODING)
        if outcome is not None and outcome.kind == "accepted":
            self._count_accepted(encoded.count, outcome, "delivered", len(encoded.payload))
        elif outcome is not None:
            self._deliver_in_parts(items, outcome, deadline)
        return len(items)

    def _count_accepted(self, records: int, outcome: Outcome, what: Any, size: int) -> None:
        rejected = min(records, outcome.rejected)
        self._counts.add(self._signal, what, records - rejected)
        self._counts.add(self._signal, "dropped", rejected, reasons.REJECTED)
        self._counts.add_sent(self._signal, size)
        if rejected:
            diagnostics.report(
                f"rejected-{self._signal}", f"the Collector rejected {rejected} {self._signal}: {outcome.detail}"
            )
        elif outcome.detail:
            diagnostics.report(
                f"warned-{self._signal}", f"the Collector took all {self._signal}, but says: {outcome.detail}"
            )

    def _deliver_in_parts(self, items: Sequence[Any], outcome: Outcome, deadline: float) -> None:
        """Halve a batch that is invalid or too large until the records to blame stand alone; those are dropped."""
        blamed = 0 if outcome.kind in _SPLITTABLE else len(items)
        waiting = [] if blamed else [list(items)]
        tries = _SPLIT_TRIES
        while waiting and tries > 0:
            part = waiting.pop()
            if len(part) == 1:
                blamed += 1
                continue
            middle = len(part) // 2
            waiting.extend(half for half in (part[middle:], part[:middle]) if not self._try_part(half, deadline))
            tries -= 2
        self._drop_refused(blamed + sum(map(len, waiting)), outcome)

    def _drop_refused(self, records: int, outcome: Outcome) -> None:
        reason = reasons.TOO_LARGE if outcome.kind == "too_large" else reasons.REFUSED
        self._counts.add(self._signal, "dropped", records, reason)
        if records:
            diagnostics.report(
                f"refused-{self._signal}",
                f"{self._sender.transport.endpoint} refused {records} {self._signal}, now dropped: {outcome.detail}",
            )

    def _try_part(self, items: Sequence[Any], deadline: float) -> bool:
        """Send part of a refused batch, or store it if the Collector goes away; False if it is refused too."""
        encoded = encode(self._signal, self._encoding, items, self._redact)
        if not encoded.count:
            return True
        outcome = self._sender.send(encoded.payload, deadline)
        if outcome.kind == "accepted":
            self._count_accepted(encoded.count, outcome, "delivered", len(encoded.payload))
            return True
        if outcome.kind in _AWAY:
            self._counts.add(self._signal, "dropped", len(items) - self.store(items), reasons.DISK)
            return True
        return False

    def store(self, items: Sequence[Any]) -> int:
        """Put a batch into the spool, each log record with a uid; return how many of its first items the disk took."""
        size = 1 if self._signal == "metrics" else STORED_RECORDS
        for start in range(0, len(items), size):
            part = items[start : start + size]
            if self._signal == "logs":
                part = [with_uid(entry) for entry in part]
                if isinstance(items, list):
                    # Whoever stores the batch once more, because this thread is stuck here, gives it the same ones.
                    items[start : start + size] = part
            encoded = encode(self._signal, "json", part, self._redact)
            try:
                if encoded.count:
                    self._spool.store(self._signal, encoded.payload)
            except OSError as error:
                diagnostics.report("spool", f"nothing is kept in {self._spool.folder}: {error}")
                return start
            self._counts.add(self._signal, "spooled", encoded.count)
            self._counts.add(self._signal, "dropped", encoded.rejected, reasons.ENCODING)
        return len(items)

    def replay(self, budget_bytes: int, deadline: float) -> int:
        """Send what waits in the spool, oldest first; while the breaker is open one request at a time, as its probe."""
        sent = 0
        while sent < budget_bytes and self._sender.breaker.is_due and time.monotonic() < deadline:
            claim = self._spool.claim(self._signal)
            if claim is None:
                break
            lines = claim.lines(REPLAY_BYTES)
            if not lines:
                self._spool.remove(self._signal)
                continue
            if not self._replay_lines(claim, lines, deadline):
                break
            sent += sum(map(len, lines))
        return sent

    def _replay_lines(self, claim: Claim, lines: list[bytes], deadline: float) -> bool:
        """Send lines as one request, or one by one if that is refused; False if the Collector is away."""
        if len(lines) > 1:
            outcome = self._replay_once(lines, deadline)
            if outcome is not None and outcome.kind != "accepted":
                return outcome.kind not in _AWAY and all(self._replay_lines(claim, [line], deadline) for line in lines)
            if outcome is None:
                return all(self._replay_lines(claim, [line], deadline) for line in lines)
        elif not self._replay_line(lines[0], deadline):
            return False
        claim.advance(sum(map(len, lines)))
        return True

    def _replay_once(self, lines: list[bytes], deadline: float) -> Outcome | None:
        """Send lines as one request; None if one of them cannot be read."""
        try:
            payload = join_lines(self._signal, lines, self._encoding)
        except ValueError:
            return None
        outcome = self._sender.send(payload, deadline)
        if outcome.kind == "accepted":
            records = sum(records_in(self._signal, line) for line in lines)
            self._count_accepted(records, outcome, "replayed", len(payload))
        return outcome

    def _replay_line(self, line: bytes, deadline: float) -> bool:
        """Send one line, in halves where it is invalid or too large; False if all of it has to wait."""
        waiting, tries = [line], _SPLIT_TRIES
        while waiting:
            part = waiting.pop()
            outcome = self._replay_once([part], deadline)
            tries -= 1
            if outcome is None:
                self._counts.add(self._signal, "dropped", records_in(self._signal, part), reasons.DAMAGED)
            elif outcome.kind in _AWAY:
                return part is not line and self._put_back([part, *reversed(waiting)])
            elif outcome.kind != "accepted":
                splittable = outcome.kind in _SPLITTABLE and tries > 0
                halves = halve_line(self._signal, part) if splittable else None
                if halves is None:
                    self._drop_refused(records_in(self._signal, part), outcome)
                else:
                    waiting.extend(reversed(halves))
        return True

    def _put_back(self, lines: Sequence[bytes]) -> bool:
        """Store what is left of a line that was taken in part; False if the disk does not take it."""
        try:
            for line in lines:
                self._spool.store(self._signal, line)
        except OSError:
            return False
        return True

    def abandon(self) -> None:
        """Forget the parent's connection."""
        self._sender.transport.abandon()

    def close(self) -> None:
        """Close the connection."""
        self._sender.transport.close()


class FileRoute:
    """Writes batches of one signal to segments: files are the destination."""

    is_remote = False

    def __init__(
        self,
        signal: str,
        make_writer: Callable[[], SegmentWriter],
        spool: Spool,
        counts: Counts,
        redact: Redactor | None,
    ) -> None:
        self._signal, self._make_writer, self._spool, self._counts = signal, make_writer, spool, counts
        self._redact = redact
        self._made: SegmentWriter | None = None

    @property
    def _writer(self) -> SegmentWriter:
        if self._made is None:
            self._made = self._make_writer()
        return self._made

    def deliver(self, items: Sequence[Any], deadline: float, rest: Rest | None = None) -> int:
        """Write a batch as one line."""
        del deadline
        return self._write(items, rest)

    def store(self, items: Sequence[Any]) -> int:
        """Write a batch, all of it or nothing."""
        return self._write(items, None)

    def _write(self, items: Sequence[Any], rest: Rest | None) -> int:
        encoded = encode(self._signal, "json", items, self._redact, rest)
        try:
            if encoded.count:
                self._writer.write(encoded.payload)
        except OSError as error:
            diagnostics.report("file", f"{self._signal} are not written: {error}")
            return 0
        self._counts.add(self._signal, "delivered", encoded.count)
        self._counts.add(self._signal, "dropped", encoded.rejected, reasons.ENCODING)
        return len(items)

    def replay(self, budget_bytes: int, deadline: float) -> int:
        """Move what killed processes left in the spool into the segments."""
        moved = 0
        while moved < budget_bytes and time.monotonic() < deadline:
            claim = self._spool.claim(self._signal)
            if claim is None:
                break
            lines = claim.lines(REPLAY_BYTES)
            if not lines:
                self._spool.remove(self._signal)
                continue
            text = b"".join(lines)
            try:
                self._writer.write(text)
            except OSError:
                break
            self._counts.add(self._signal, "replayed", sum(records_in(self._signal, line) for line in lines))
            claim.advance(len(text))
            moved += len(text)
        return moved

    def close_aged(self) -> None:
        """Close a segment that is too old though nothing is written."""
        if self._made is not None:
            self._made.close_aged()

    def abandon(self) -> None:
        """Leave the segment to the parent."""
        if self._made is not None:
            self._made.abandon()

    def close(self) -> None:
        """Close the segment."""
        if self._made is not None:
            self._made.close()
