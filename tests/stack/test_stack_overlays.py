"""Claim: each overlay does with real telemetry what its first line says, on loopback only."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from otlp_posts import log, logs, post, span, spans
from stack_servers import Collector, wait_until

from clew import schema

if TYPE_CHECKING:
    from otlp_backend import Backend

    from conftest import CollectorMaker

pytestmark = pytest.mark.stack

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def listeners(pid: int) -> list[str]:
    """Return the addresses, in /proc's hexadecimal, on which a process listens."""
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1].partition(":")[0])
    return found


def test_nothing_listens_beyond_loopback(make_collector: CollectorMaker) -> None:
    """With every overlay loaded, each listening socket is bound to 127.0.0.1."""
    overlays = ("files", "jaeger", "grafana", "auth", "redaction", "stdout-logs", "agent", "gateway")
    collector = make_collector(*overlays, OTELCOL_TOKEN="secret").start()
    # OTLP twice, health, own metrics, the gateway's door.
    assert ["0100007F"] * 5 == listeners(collector.pid())


def test_a_signal_without_a_destination_is_refused(make_collector: CollectorMaker) -> None:
    """With Jaeger alone, logs are answered with 404 instead of being accepted and thrown away."""
    collector = make_collector("jaeger").start()
    assert 404 == post(collector.url, "logs", logs("shop", [log("hello")])).status
    assert 200 == post(collector.url, "traces", spans("shop", [span(TRACE, SPAN)])).status


class TestAuth:
    """Who sends must know the token."""

    def test_a_request_without_the_token_is_refused(self, make_collector: CollectorMaker) -> None:
        """No token and a wrong one get 401 and leave nothing; the right one is taken."""
        collector = make_collector("files", "auth", OTELCOL_TOKEN="secret").start()
        answers = [
            post(collector.url, "logs", logs("shop", [log(f"with {token!r}")]), token=token).status
            for token in ("", "wrong", "secret")
        ]
        assert [401, 401, 200] == answers
        assert ["with 'secret'"] == collector.bodies()

    def test_what_the_collector_sends_itself_carries_the_token(
        self, make_collector: CollectorMaker, tmp_path: Path
    ) -> None:
        """Lines that stdout-logs reads pass the Collector's own door."""
        (tmp_path / "app.log").write_text('{"message":"hello"}\n', encoding="utf-8")
        collector = make_collector(
            "files", "auth", "stdout-logs", OTELCOL_TOKEN="secret", OTELCOL_STDOUT_LOGS=f"[{tmp_path}/*.log]"
        ).start()
        wait_until(lambda: collector.bodies() == ["hello"], "the line in the files")


class TestRedaction:
    """Secrets are masked whatever sent them."""

    def test_secrets_are_nowhere_in_the_files(self, make_collector: CollectorMaker) -> None:
        """Known keys, token shapes and credentials in URLs are masked, in maps and bodies too; the rest stays."""
        collector = make_collector("files", "redaction").start()
        secrets = {
            "db.password": "hunter2hunter2",
            "http.request.header.authorization": "Basic aHVudGVyMjpodW50ZXIy",
            "note": "used AKIAIOSFODNN7EXAMPLE today",
            "url.full": "postgres://admin:hunter2@db/shop",
            "nested": {"user": "bo", "api_key": "hunter2hunter2"},
            "pin.secret": 424242,
            "clientSecret": "hunter2hunter2",
            "header": "Authorization: Bearer hunter2.hunter2",
            "pem": "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
        }
        plain = {
            "user": "bo",
            "count": 3,
            "token_count": 12,
            "max_tokens": 100,
            "author": "basic authentication",
            "monkey": "see",
            "card": {"kind": "visa", "digits": 4},
            "link": "https://example.com/a?b=c",
        }
        record = log("login with password=hunter2 and Bearer abcdefgh12345678 done")
        record["attributes"] = log(
            "", **{key.replace(".", "__"): value for key, value in {**secrets, **plain}.items()}
        )["attributes"]
        assert 200 == post(collector.url, "logs", logs("shop", [record])).status
        [written] = collector.log_records()
        text = json.dumps(written)
        assert [] == [secret for secret in ("hunter2", "AKIAIOSF", "aHVudGVy", "424242", "abcdefgh") if secret in text]
        assert "login with **** and **** done" == written["body"]["stringValue"]
        sent = {pair["key"]: pair["value"] for pair in record["attributes"]}
        kept = {pair["key"]: pair["value"] for pair in written["attributes"]}
        assert {key: sent[key] for key in plain} == {key: kept[key] for key in plain}
        assert set(sent) == set(kept)

    def test_without_the_overlay_nothing_is_touched(self, make_collector: CollectorMaker) -> None:
        """The base's own redaction processor lets everything through as it came."""
        collector = make_collector("files").start()
        record = log("password=hunter2", db__password="hunter2", nested={"api_key": "x"}, count=3)
        assert 200 == post(collector.url, "logs", logs("shop", [record])).status
        [written] = collector.log_records()
        assert record["attributes"] == written["attributes"]
        assert record["body"] == written["body"]


class TestStdoutLogs:
    """Lines that programs print become log records."""

    LINE = {  # noqa: RUF012 - never changed
        "timestamp": "2026-05-04T03:02:01.123456Z",
        "level": "ERROR",
        "logger": "shop.cart",
        "message": "no such cart",
        "service": "shop",
        "correlation_id": "order-4711",
        "trace_id": TRACE,
        "span_id": SPAN,
        "trace_flags": "01",
        "code": {"file": "cart.py", "function": "find", "line": 12},
        "thread": "MainThread",
        "exception": {"type": "KeyError", "message": "'7'", "stacktrace": "Traceback: no", "fingerprint": "abc123"},
        "attributes": {"cart": 7, "tags": {"vip": True}},
    }

    def run(self, make_collector: CollectorMaker, folder: Path, lines: list[str]) -> list[dict[str, Any]]:
        """Have a Collector read the lines; return the records."""
        (folder / "app.log").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        collector = make_collector("files", "stdout-logs", OTELCOL_STDOUT_LOGS=f"[{folder}/*.log]").start()
        wait_until(lambda: len(collector.log_records()) == len(lines), "the lines in the files")
        return collector.log_records()

    def test_a_line_of_clews_console_is_a_whole_record(self, make_collector: CollectorMaker, tmp_path: Path) -> None:
        """Every field of the schema arrives under the name that the record would have had over OTLP."""
        [record] = self.run(make_collector, tmp_path, [json.dumps(self.LINE)])
        assert set(self.LINE) == set(schema.CONSOLE_LINE_SCHEMA["properties"])
        values = {pair["key"]: next(iter(pair["value"].values())) for pair in record["attributes"]}
        assert {
            "correlation.id": "order-4711",
            "code.file.path": "cart.py",
            "code.function.name": "find",
            "code.line.number": "12",
            "thread.name": "MainThread",
            "exception.type": "KeyError",
            "exception.message": "'7'",
            "exception.stacktrace": "Traceback: no",
            "error.fingerprint": "abc123",
            "cart": "7",
            "tags": {"values": [{"key": "vip", "value": {"boolValue": True}}]},
            "log.file.name": "app.log",
            "log.file.path": str(tmp_path / "app.log"),
        } == values
        assert ("no such cart", 17, "ERROR", TRACE, SPAN, 1, "1777863721123456000") == (
            record["body"]["stringValue"],
            record["severityNumber"],
            record["severityText"],
            record["traceId"],
            record["spanId"],
            record["flags"],
            record["timeUnixNano"],
        )

    def test_each_level_has_its_severity(self, make_collector: CollectorMaker, tmp_path: Path) -> None:
        """Python's level names become the numbers that OpenTelemetry gives them."""
        names = {"DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}
        lines = [json.dumps({"timestamp": "2026-05-04T03:02:01Z", "level": name, "message": name}) for name in names]
        records = self.run(make_collector, tmp_path, lines)
        assert names == {record["body"]["stringValue"]: record["severityNumber"] for record in records}

    def test_lines_of_any_wrapping_or_none_arrive(self, make_collector: CollectorMaker, tmp_path: Path) -> None:
        """Docker's and containerd's wrapping comes off; text, foreign JSON and broken JSON stay as they are."""
        docker = json.dumps({"log": '{"message":"by docker"}\n', "stream": "stdout", "time": "2026-05-04T03:02:01Z"})
        lines = [
            docker,
            '2026-05-04T03:02:01.000000000Z stdout F {"message":"by containerd"}',
            "plain text",
            '{"other":"json"}',
            '{"broken',
        ]
        bodies = {record["body"]["stringValue"] for record in self.run(make_collector, tmp_path, lines)}
        assert {"by docker", "by containerd", "plain text", '{"other":"json"}', '{"broken'} == bodies

    def test_a_restart_neither_repeats_nor_skips(self, make_collector: CollectorMaker, tmp_path: Path) -> None:
        """After kill -9 reading goes on where it stopped."""
        path = tmp_path / "app.log"
        path.write_text('{"message":"one"}\n', encoding="utf-8")
        collector = make_collector("files", "stdout-logs", OTELCOL_STDOUT_LOGS=f"[{path}]").start()
        wait_until(lambda: collector.bodies() == ["one"], "the first line")
        time.sleep(5)  # the offset is stored
        collector.stop(signal.SIGKILL)
        with path.open("a", encoding="utf-8") as file:
            file.write('{"message":"two"}\n')
        collector.start()
        wait_until(lambda: "two" in collector.bodies(), "the second line")
        assert ["one", "two"] == collector.bodies()


PLAIN_JSON = {"exporters": {"otlp_http/jaeger": {"encoding": "json", "compression": "none"}}}


class TestQueue:
    """What a backend has not taken waits on disk."""

    def send(self, collector: Collector, numbers: range) -> list[str]:
        """Send one span a request; return the names of those that were acknowledged."""
        names = [f"span-{number}" for number in numbers]
        return [
            name
            for name in names
            if post(collector.url, "traces", spans("shop", [span(TRACE, SPAN, name)])).status == 200
        ]

    def test_a_kill_while_the_backend_is_down_loses_nothing(
        self, make_collector: CollectorMaker, backend: Backend
    ) -> None:
        """What was acknowledged before kill -9 reaches the backend once both are back."""
        backend.status = 503
        collector = make_collector("jaeger", extra=[PLAIN_JSON], JAEGER_OTLP_ENDPOINT=backend.url).start()
        acknowledged = self.send(collector, range(30))
        time.sleep(1.5)
        collector.stop(signal.SIGKILL)
        backend.status = 200
        collector.start()
        acknowledged += self.send(collector, range(30, 33))
        wait_until(lambda: set(acknowledged) <= set(backend.names()), "every span at the backend")
        assert 33 == len(acknowledged)

    def test_a_full_queue_refuses_instead_of_dropping(self, make_collector: CollectorMaker, backend: Backend) -> None:
        """At the queue's bound the sender is told to keep its data; what was taken before arrives later."""
        backend.status = 503
        small = {"exporters": {"otlp_http/jaeger": {"sending_queue": {"queue_size": 2000}}}}
        collector = make_collector("jaeger", extra=[PLAIN_JSON, small], JAEGER_OTLP_ENDPOINT=backend.url).start()
        acknowledged = self.send(collector, range(100))
        assert 0 < len(acknowledged) < 100
        backend.status = 200
        wait_until(lambda: set(acknowledged) == set(backend.names()), "every acknowledged span at the backend", 60)
        assert collector.metrics()["otelcol_exporter_enqueue_failed_spans"] == 100 - len(acknowledged)

    def test_one_dead_backend_does_not_hold_up_another(self, make_collector: CollectorMaker, backend: Backend) -> None:
        """Files are written while Jaeger is down."""
        backend.status = 503
        collector = make_collector("files", "jaeger", extra=[PLAIN_JSON], JAEGER_OTLP_ENDPOINT=backend.url).start()
        acknowledged = self.send(collector, range(10))
        assert acknowledged == [made["name"] for made in collector.spans()]
        assert 10 == len(acknowledged)
