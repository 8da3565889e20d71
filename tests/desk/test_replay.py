"""`clew replay`: files of either origin reach an endpoint with identical counts and values, bounded and resumable."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from clew.desk.replay import Endpoint, Poster
from clew.errors import DeliveryError, SettingsError
from clew.files.bookmarks import Bookmarks, identity
from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, ReadStats
from clew.files.reader.sources import find_sources
from otlp_lines import counter, log, logs_line, metrics_line, span, spans_line, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome
    from receiver import Receiver


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with records of all signals, over several lines and files."""
    folder = tmp_path / "files"
    made: dict[str, Any] = {"text": "ä\u2028", "int": 2**62, "double": 0.1, "flag": True}
    histogram = {
        "name": "duration",
        "unit": "s",
        "histogram": {
            "aggregationTemporality": 2,
            "dataPoints": [
                {"timeUnixNano": "5", "count": "3", "sum": 4.5, "bucketCounts": ["1", "2"], "explicitBounds": [1.5]},
                {"timeUnixNano": "6", "count": "1", "sum": 0.5, "bucketCounts": ["1", "0"], "explicitBounds": [1.5]},
            ],
        },
    }
    write(folder / "traces.jsonl", *(spans_line("a", span(f"{n:016x}", raised="E", **made)) for n in range(1, 700)))
    write(
        folder / "logs.jsonl", logs_line("a", *(log(f"m{n}", **made) for n in range(600))), logs_line("b", log("last"))
    )
    write(folder / "metrics.jsonl", metrics_line("a", counter("c", 5, **made), histogram))
    return folder


def _replay(clew: Callable[..., Outcome], files: Path, receiver: Receiver, *options: object) -> dict[str, Any]:
    outcome = clew("replay", files, "--endpoint", receiver.http_endpoint, "--rate", "1GB", "--json", *options)
    assert 0 == outcome.status, outcome.err
    result: dict[str, Any] = json.loads(outcome.out)
    return result


def test_identical_counts_and_values(clew: Callable[..., Outcome], files: Path, receiver: Receiver) -> None:
    """The receiver gets each span, record and point with all its values."""
    result = _replay(clew, files, receiver)

    assert {"traces": 699, "logs": 601, "metrics": 3} == result["posted"]
    assert (699, 601, 3) == (len(receiver.spans), len(receiver.logs), len(receiver.metrics))
    received = {one.span_id: one for one in receiver.spans}[f"{5:016x}"]
    assert {"text": "ä\u2028", "int": 2**62, "double": 0.1, "flag": True} == received.attributes
    assert ("E", "a") == (received.events[0].attributes["exception.type"], received.resource["service.name"])
    assert [f"m{n}" for n in range(600)] + ["last"] == [one.body for one in receiver.logs]
    durations = [point for point in receiver.metrics if point.name == "duration"]
    assert [(4.5, 3, (1, 2)), (0.5, 1, (1, 0))] == [(one.value, one.count, one.bucket_counts) for one in durations]


def test_what_was_posted_is_not_posted_again(clew: Callable[..., Outcome], files: Path, receiver: Receiver) -> None:
    """A second run posts only what is new, also when a file was renamed and grew; `--again` posts everything."""
    _replay(clew, files, receiver)
    (files / "logs.jsonl").rename(files / "logs-2026-01-31T14-00-00.000-size.jsonl")
    with (files / "logs-2026-01-31T14-00-00.000-size.jsonl").open("ab") as file:
        file.write(logs_line("a", log("new")))

    second = _replay(clew, files, receiver)
    third = _replay(clew, files, receiver, "--again")

    assert ({"logs": 1}, 1303) == (second["posted"], second["skipped"])
    assert {"traces": 699, "logs": 602, "metrics": 3} == third["posted"]


def test_goes_on_after_an_outage(clew: Callable[..., Outcome], files: Path, receiver: Receiver) -> None:
    """When the endpoint goes away for good the command fails and says so; the next run goes on from there."""
    receiver.respond(200, times=1)
    posted: list[int] = []

    def refuse_after_one(request: Any) -> None:
        posted.append(1)
        receiver.respond(500)

    receiver._keep = refuse_after_one
    failed = clew("replay", files, "--endpoint", receiver.http_endpoint, "--patience", "0", "--json")
    receiver._keep = receiver._requests.append
    receiver.respond(200)
    rest = _replay(clew, files, receiver)

    assert 1 == failed.status
    assert "did not take" in failed.err
    assert "run again to go on from here" in failed.err
    done = json.loads(failed.out)["posted"]
    assert 512 >= sum(done.values()) > 0
    assert 1303 == sum(done.values()) + sum(rest["posted"].values())


def test_busy_endpoint_is_tried_again(clew: Callable[..., Outcome], files: Path, receiver: Receiver) -> None:
    """An endpoint that says it is busy, and for how long, gets the same request again."""
    receiver.respond(503, retry_after=0, times=2)

    assert 1303 == sum(_replay(clew, files, receiver)["posted"].values())


def test_rejected_records_are_counted(clew: Callable[..., Outcome], tmp_path: Path, receiver: Receiver) -> None:
    """Records that the endpoint rejects are told apart from those it took."""
    path = write(tmp_path / "logs.jsonl", logs_line("a", log("one"), log("two")))
    receiver.respond(200, rejected=1, message="too old")

    result = _replay(clew, path, receiver)

    assert ({"logs": 1}, {"logs": 1}) == (result["posted"], result["rejected"])


def test_text_logs_are_posted_too(clew: Callable[..., Outcome], tmp_path: Path, receiver: Receiver) -> None:
    """Lines of a text log arrive as log records."""
    path = write(tmp_path / "app.log", b"2026-01-31 14:00:00,000 ERROR shop: failed\n")

    _replay(clew, path, receiver)

    (record,) = receiver.logs
    assert ("failed", 17, "ERROR", "shop") == (record.body, record.severity_number, record.severity_text, record.scope)


def test_rate_is_held(tmp_path: Path, receiver: Receiver) -> None:
    """Requests wait for their turn, so that no more bytes a second are sent than allowed."""
    path = write(tmp_path / "logs.jsonl", *(logs_line("a", log("x" * 1000)) for _ in range(40)))
    rows = [row for row in read(find_sources([path]), ReadStats()) if isinstance(row, LogRow)]
    poster = Poster(Endpoint(receiver.http_endpoint), bytes_per_s=100_000, patience_s=0)

    begun = time.monotonic()
    for row in rows:
        poster.post([row])
    took = time.monotonic() - begun
    poster.close()

    assert took >= (poster.counts.bytes - 1500) / 100_000


def test_headers(tmp_path: Path, receiver: Receiver) -> None:
    """Headers come from OpenTelemetry's variable and from options, percent-decoded."""
    path = write(tmp_path / "logs.jsonl", logs_line("a", log()))
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
    }
    poster = Poster(Endpoint.from_environment(environ, None, ["x-tenant=a"]), bytes_per_s=10**9, patience_s=0)

    poster.post([row for row in read(find_sources([path]), ReadStats()) if isinstance(row, LogRow)])
    poster.close()

    headers = receiver.requests[0].headers
    assert ("Bearer x", "a", "application/json") == (
        headers["authorization"],
        headers["x-tenant"],
        headers["content-type"],
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("collector:4318", "must be an http or https URL"),
        ("http://a:b", "port is no number"),
        ("http://a:4317", "over gRPC"),
    ],
)
def test_endpoint_that_cannot_be_posted_to(url: str, says: str) -> None:
    """A URL that is none, or the port of gRPC, is refused before anything is read."""
    with pytest.raises(SettingsError, match=says):
        Endpoint.from_environment({}, url, ())


def test_refusal_is_not_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    """An answer that no repeat will change ends at once, with what the endpoint said."""
    path = write(tmp_path / "logs.jsonl", logs_line("a", log()))
    rows = [row for row in read(find_sources([path]), ReadStats()) if isinstance(row, LogRow)]
    poster = Poster(Endpoint(receiver.http_endpoint), bytes_per_s=10**9, patience_s=30)
    receiver.respond(401)

    with pytest.raises(DeliveryError, match="answered 401"):
        poster.post(rows)
    poster.close()

    assert 1 == len(receiver.requests)


def test_bookmarks_survive(tmp_path: Path) -> None:
    """Numbers are there after a restart; a file that is damaged counts as empty."""
    path = tmp_path / "deep" / "state.json"
    Bookmarks(path).put("a", 5)

    assert (5, 0) == (Bookmarks(path).get("a"), Bookmarks(path).get("b"))
    path.write_text("{broken")
    assert 0 == Bookmarks(path).get("a")


def test_identity_of_files(tmp_path: Path) -> None:
    """A long first line names a file wherever it stands; a short one does so together with its path."""
    one, other = tmp_path / "one", tmp_path / "other"

    assert identity(one, b"x" * 300) == identity(other, b"x" * 300)
    assert identity(one, b"start") != identity(other, b"start")
