"""The pipeline delivers, stores or counts each record, whatever the Collector and the disk do."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from pipelines import ERROR, connect, held, make_delivery, make_entry, make_span, outcomes, stored_lines, stored_records

from clew.delivery.counts import total

if TYPE_CHECKING:
    from pathlib import Path

    from clew.delivery.pipeline import Delivery
    from receiver import Receiver

PROTOCOLS = ("http/protobuf", "http/json", "grpc")


def check_all_counted(delivery: Delivery, receiver: Receiver, folder: Path, made: int) -> None:
    """Compare what was made with what was received, what is stored and what was dropped."""
    for signal, received in (("logs", receiver.logs), ("traces", receiver.spans)):
        dropped = total(delivery.counts(), signal, "dropped")
        stored = stored_records(folder).get(signal, 0)
        assert made == len(received) + stored + dropped, (signal, len(received), stored, delivery.counts())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_burst(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """A burst of 20,000 logs and 20,000 spans arrives whole with default settings."""
    delivery = connect(make_delivery(tmp_path, environ={}), receiver, protocol)
    entries = [make_entry(number) for number in range(20_000)]
    spans = [make_span(str(number)) for number in range(20_000)]

    for entry, span in zip(entries, spans, strict=True):
        delivery.put_log(entry)
        delivery.put_span(span)
    assert delivery.flush(30)

    expected = {("logs", "delivered", ""): 20_000, ("traces", "delivered", ""): 20_000}
    assert expected == outcomes(delivery)
    assert list(range(20_000)) == [record.body for record in receiver.logs]
    assert [str(number) for number in range(20_000)] == [span.name for span in receiver.spans]
    delivery.close(2)


def test_delay(receiver: Receiver, tmp_path: Path) -> None:
    """A single record leaves after the delay, without a flush."""
    delivery = connect(make_delivery(tmp_path), receiver)

    delivery.put_log(make_entry("alone"))

    assert ["alone"] == receiver.wait_for(lambda it: [record.body for record in it.logs])
    delivery.close(2)


def test_batch_size(receiver: Receiver, tmp_path: Path) -> None:
    """OTEL_BLRP_MAX_EXPORT_BATCH_SIZE is the most that one request holds."""
    environ = {"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "10"}
    delivery = connect(make_delivery(tmp_path, environ=environ), receiver)

    with held(delivery):
        for number in range(25):
            delivery.put_log(make_entry(number))
    assert delivery.flush(5)

    assert [10, 10, 5] == [request.body.count(b"order-1") for request in receiver.requests]
    delivery.close(2)


def test_overflow(tmp_path: Path) -> None:
    """Past OTEL_BSP_MAX_QUEUE_SIZE the newest are dropped and counted, but a durable record stays on disk."""
    delivery = make_delivery(tmp_path, environ={"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BLRP_MAX_QUEUE_SIZE": "1"})
    delivery._thread.start = lambda: False

    for number in range(150):
        delivery.put_span(make_span(str(number)))
    delivery.put_log(make_entry())
    delivery.put_log(make_entry("too many", ERROR))

    assert {("traces", "dropped", "queue_full"): 50, ("logs", "spooled", ""): 1} == outcomes(delivery)
    assert {"logs": 1, "traces": 100, "metrics": 0} == delivery.queue_depths()
    assert {"logs": 1} == stored_records(tmp_path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_outage(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Records made while the Collector is away wait on disk, and arrive once when it is back, beside the live ones."""
    delivery = connect(make_delivery(tmp_path), receiver, protocol)
    made = 0

    def make(records: int) -> None:
        nonlocal made
        for _ in range(records):
            delivery.put_log(make_entry(made))
            delivery.put_span(make_span(str(made)))
            made += 1

    make(100)
    assert delivery.flush(5)
    receiver.stop()
    for _ in range(10):
        make(200)
        time.sleep(0.05)
    assert delivery.flush(5)
    check_all_counted(delivery, receiver, tmp_path, made)
    assert 0 == total(delivery.counts(), "logs", "dropped")
    receiver.start()
    make(100)
    receiver.wait_for(lambda it: len(it.logs) >= made and len(it.spans) >= made)

    assert dict.fromkeys(range(made), 1) == Counter(record.body for record in receiver.logs)
    assert {str(number): 1 for number in range(made)} == Counter(span.name for span in receiver.spans)
    uids = [record.attributes["log.record.uid"] for record in receiver.logs if "log.record.uid" in record.attributes]
    receiver.wait_for(lambda _: total(delivery.counts(), "logs", "replayed") == len(set(uids)))
    receiver.wait_for(lambda _: not stored_records(tmp_path))
    delivery.close(2)
    assert {} == stored_records(tmp_path)


def test_stored_by_two_threads(receiver: Receiver, tmp_path: Path) -> None:
    """A batch that is stored a second time, because the first thread is stuck, is the same records: one uid each."""
    delivery = connect(make_delivery(tmp_path), receiver)
    batch = [make_entry(number) for number in range(100)]
    (route,) = delivery._lanes["logs"].routes

    assert [100, 100] == [route.store(batch), route.store(batch)]
    uids = re.findall(
        rb'"log.record.uid","value":{"stringValue":"(\w+)"', b"".join(line for _, line in stored_lines(tmp_path))
    )
    assert {2} == set(Counter(uids).values())
    assert 100 == len(set(uids))


def test_restart(receiver: Receiver, tmp_path: Path) -> None:
    """What one process stored is delivered by the next, once."""
    receiver.stop()
    first = connect(make_delivery(tmp_path), receiver)
    for number in range(300):
        first.put_log(make_entry(number))
    first.close(2)
    receiver.start()

    second = connect(make_delivery(tmp_path), receiver)
    second.put_log(make_entry(300))
    receiver.wait_for(lambda it: len(it.logs) > 300)

    assert dict.fromkeys(range(301), 1) == Counter(record.body for record in receiver.logs)
    receiver.wait_for(lambda _: not stored_records(tmp_path))
    second.close(2)
    assert {} == stored_records(tmp_path)


def test_busy_collector(receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A Collector that asks for time gets it: nothing is sent before Retry-After, then everything is."""
    receiver.respond(503, retry_after=1, times=1)
    delivery = connect(make_delivery(tmp_path), receiver)

    delivery.put_log(make_entry("held up"))
    receiver.wait_for(lambda it: it.logs)

    refused, accepted = receiver.requests
    assert accepted.received_s - refused.received_s >= 1
    assert ["held up"] == [record.body for record in receiver.logs]
    delivery.close(2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partial_success(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Records that an accepted request says were rejected are counted as dropped."""
    receiver.respond(rejected=2, message="too old", times=1)
    delivery = connect(make_delivery(tmp_path), receiver, protocol)

    with held(delivery):
        for number in range(5):
            delivery.put_log(make_entry(number))
    assert delivery.flush(5)

    assert {("logs", "delivered", ""): 3, ("logs", "dropped", "rejected"): 2} == outcomes(delivery)
    delivery.close(2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_told_by_partial_success(
    protocol: str, receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Why records were rejected, or what the Collector warns of though it took all, is told once a minute."""
    delivery = connect(make_delivery(tmp_path), receiver, protocol)
    for rejected, message in ((1, "too old"), (1, "too old"), (0, "slow down")):
        receiver.respond(rejected=rejected, message=message)
        for put, item in ((delivery.put_log, make_entry()), (delivery.put_span, make_span("one"))):
            put(item)  # type: ignore[arg-type]  # each its own kind
            assert delivery.flush(5)

    told = capfd.readouterr().err
    for name in ("logs", "traces"):
        assert f"clew: the Collector rejected 1 {name}: too old\n" in told
        assert f"clew: the Collector took all {name}, but says: slow down\n" in told
    assert 4 == told.count("\n")
    delivery.close(2)


@pytest.mark.parametrize(("protocol", "status"), [("http/protobuf", 401), ("http/json", 404), ("grpc", 401)])
def test_refusal(protocol: str, status: int, receiver: Receiver, tmp_path: Path) -> None:
    """What is refused for good is dropped and counted after one request, and does not hold up what follows."""
    receiver.respond(status, times=1)
    delivery = connect(make_delivery(tmp_path), receiver, protocol)

    with held(delivery):
        for number in range(5):
            delivery.put_log(make_entry(number))
    assert delivery.flush(5)
    delivery.put_log(make_entry("next"))
    assert delivery.flush(5)

    assert {("logs", "delivered", ""): 1, ("logs", "dropped", "refused"): 5} == outcomes(delivery)
    assert 2 == len(receiver.requests)
    delivery.close(2)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_invalid_record(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """One record that the Collector calls invalid costs none of its neighbours."""
    bad = b"the bad one"
    real_take = receiver.take

    def take(signal: str, protocol: str, headers: dict[str, str], body: bytes) -> object:
        receiver.respond(400 if bad in body else 200)
        return real_take(signal, protocol, headers, body)

    receiver.take = take  # type: ignore[assignment]  # the receiver's own seam is the answer, not the request
    delivery = connect(make_delivery(tmp_path), receiver, protocol)

    for number in range(100):
        delivery.put_log(make_entry(bad.decode() if number == 37 else number))
    assert delivery.flush(5)

    assert {("logs", "delivered", ""): 99, ("logs", "dropped", "refused"): 1} == outcomes(delivery)
    assert [number for number in range(100) if number != 37] == sorted(record.body for record in receiver.logs)
    delivery.close(2)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_invalid_record_in_the_spool(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """Nor does it cost them anything once it is on disk; a line that cannot be read costs one."""
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver, protocol)
    for number in range(100):
        delivery.put_log(make_entry("the bad one" if number == 37 else number))
    assert delivery.flush(5)
    delivery.spool.store("logs", b'{"resourceLogs": torn\n')
    real_take = receiver.take

    def take(signal: str, protocol: str, headers: dict[str, str], body: bytes) -> object:
        receiver.respond(400 if b"the bad one" in body else 200)
        return real_take(signal, protocol, headers, body)

    receiver.take = take  # type: ignore[assignment]  # as above
    receiver.start()
    receiver.wait_for(lambda it: len(it.logs) == 99)
    delivery.flush(5)

    counted = {("logs", "spooled", ""): 100, ("logs", "replayed", ""): 99}
    dropped = {("logs", "dropped", "refused"): 1, ("logs", "dropped", "damaged"): 1}
    receiver.wait_for(lambda _: {**counted, **dropped} == outcomes(delivery))
    delivery.close(2)


def test_away_between_the_parts(receiver: Receiver, tmp_path: Path) -> None:
    """Where the Collector goes away between the parts of an invalid batch, those that it took do not come again."""
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver)
    for number in range(100):
        delivery.put_log(make_entry("the bad one" if number == 67 else number))
    assert delivery.flush(5)
    answers = [400, 200, 503]
    real_take = receiver.take

    def take(signal: str, protocol: str, headers: dict[str, str], body: bytes) -> object:
        receiver.respond(answers.pop(0) if answers else 400 if b"the bad one" in body else 200)
        return real_take(signal, protocol, headers, body)

    receiver.take = take  # type: ignore[assignment]  # as above
    receiver.start()
    counted = {("logs", "spooled", ""): 100, ("logs", "replayed", ""): 99, ("logs", "dropped", "refused"): 1}
    receiver.wait_for(lambda _: counted == outcomes(delivery) and not stored_records(tmp_path))

    assert [number for number in range(100) if number != 67] == sorted(record.body for record in receiver.logs)
    delivery.close(2)


def test_too_large(receiver: Receiver, tmp_path: Path) -> None:
    """A batch that is too large for the Collector is sent in parts."""
    receiver.respond(413, times=3)
    delivery = connect(make_delivery(tmp_path), receiver)

    with held(delivery):
        for number in range(100):
            delivery.put_log(make_entry(number))
    assert delivery.flush(5)

    assert {("logs", "delivered", ""): 100} == outcomes(delivery)
    delivery.close(2)


def test_readonly_folder(receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where nothing can be written, records wait in memory for the Collector, and one line says so."""
    (tmp_path / "clew").write_text("no folder can be here")
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver)

    for number in range(600):
        delivery.put_log(make_entry(number, ERROR))
    delivery.flush(5)
    receiver.wait_for(lambda _: 600 == delivery.queue_depths()["logs"])
    receiver.start()
    receiver.wait_for(lambda it: len(it.logs) >= 600)

    assert list(range(600)) == sorted(record.body for record in receiver.logs)
    receiver.wait_for(lambda _: {("logs", "delivered", ""): 600} == outcomes(delivery))
    told = capfd.readouterr().err
    assert (1, 1) == (told.count("nothing is kept in"), told.count("keeping records in memory"))
    delivery.close(2)


def test_no_place_is_no_haste(receiver: Receiver, tmp_path: Path) -> None:
    """With neither Collector nor disk a whole batch is tried again a delay later, not again and again."""
    (tmp_path / "clew").write_text("no folder can be here")
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver)
    rounds: list[float] = []
    step = delivery._thread._step
    delivery._thread._step = lambda **given: rounds.append(time.monotonic()) or step(**given)  # type: ignore[func-returns-value]

    for number in range(600):
        delivery.put_log(make_entry(number))
    delivery.flush(5)
    receiver.wait_for(lambda _: len(rounds) >= 5)
    rounds.clear()
    time.sleep(0.5)

    assert len(rounds) <= 8
    delivery.close(1)


def test_nowhere_at_exit(receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What can neither be sent nor stored at exit is counted, and said."""
    (tmp_path / "clew").write_text("no folder can be here")
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver)

    for number in range(20):
        delivery.put_log(make_entry(number))
    delivery.close(1)

    assert {("logs", "dropped", "exit"): 20} == outcomes(delivery)
    assert "clew: dropped by this process: 20 logs (exit)\n" in capfd.readouterr().err


def test_folder_removed(receiver: Receiver, tmp_path: Path) -> None:
    """A folder that is removed while it is used is made again; only what was in it is gone."""
    receiver.stop()
    delivery = connect(make_delivery(tmp_path), receiver)
    claim, delivery.spool.claim = delivery.spool.claim, lambda _: None  # type: ignore[method-assign]
    delivery.put_log(make_entry("gone"))
    delivery.flush(5)
    for path in (tmp_path / "clew" / "spool").iterdir():
        path.unlink()
    (tmp_path / "clew" / "spool").rmdir()
    delivery.spool.claim = claim  # type: ignore[method-assign]

    delivery.put_log(make_entry("kept"))
    delivery.flush(5)
    receiver.start()

    assert ["kept"] == receiver.wait_for(lambda it: [record.body for record in it.logs])
    delivery.close(2)


def test_late_record(receiver: Receiver, tmp_path: Path) -> None:
    """A record that comes after the end of delivery is stored at once."""
    delivery = connect(make_delivery(tmp_path), receiver)
    delivery.close(1)

    delivery.put_log(make_entry("late"))
    delivery.put_span(make_span("late"))

    assert {"logs": 1, "traces": 1} == stored_records(tmp_path)


def test_contained_error(receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A bug of ours costs one batch, counted and told, and the thread goes on."""
    delivery = connect(make_delivery(tmp_path), receiver)
    route = delivery._lanes["logs"].routes[0]
    deliver = route.deliver

    def fail_once(items: list[object], deadline: float, rest: object) -> bool:
        route.deliver = deliver
        raise ZeroDivisionError("bug")

    route.deliver = fail_once
    delivery.put_log(make_entry("lost"))
    assert delivery.flush(5)
    delivery.put_log(make_entry("next"))
    assert delivery.flush(5)

    assert {("logs", "delivered", ""): 1, ("logs", "dropped", "internal"): 1} == outcomes(delivery)
    assert "1 logs are dropped by an error of ours: ZeroDivisionError: bug" in capfd.readouterr().err
    delivery.close(2)


def test_puts_from_many_threads(receiver: Receiver, tmp_path: Path) -> None:
    """Records of many threads arrive once each, while flushes go on."""
    delivery = connect(make_delivery(tmp_path), receiver)

    def put(first: int) -> None:
        for number in range(first, first + 1000):
            delivery.put_log(make_entry(number))
            if number % 250 == 0:
                delivery.flush(5)

    threads = [threading.Thread(target=put, args=(first,)) for first in range(0, 8000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivery.flush(10)

    assert list(range(8000)) == sorted(record.body for record in receiver.logs)
    delivery.close(2)


def test_suppression(receiver: Receiver, tmp_path: Path) -> None:
    """The worker's thread runs inside what it was given, so that its own log calls can be told."""
    entered = []

    class Suppress:
        def __enter__(self) -> None:
            entered.append(threading.get_ident())

        def __exit__(self, *_: object) -> None:
            """Do nothing."""

    delivery = connect(make_delivery(tmp_path, suppress=Suppress), receiver)
    delivery.put_log(make_entry())
    assert delivery.flush(5)

    assert 1 == len(entered)
    assert threading.get_ident() not in entered
    delivery.close(2)
