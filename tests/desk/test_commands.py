"""The small commands: id, config, schema, retain, errors."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import jsonschema
import pytest

from clew.desk.commands.errors import canonical_traceback
from clew.logs.failure import Failure, render
from clew.schema import CONSOLE_LINE_SCHEMA
from clew.settings import VARIABLES
from otlp_lines import log, logs_line, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class TestId:
    """`clew id`."""

    def test_correlation_id(self, clew: Callable[..., Outcome]) -> None:
        """A correlation ID is shown with the trace ID that it gets, the same each time."""
        first, second = clew("id", "order-4711"), clew("id", "order-4711")

        assert (0, first) == (first.status, second)
        assert "correlation ID  order-4711\ntrace ID        6e5e5ed552fa87bea93ae442d257b4ba\n" == first.out

    def test_trace_id_is_its_own(self, clew: Callable[..., Outcome]) -> None:
        """A trace ID in hex stands for itself."""
        trace_id = "0af7651916cd93dd8448eb211c80319c"

        assert trace_id == json.loads(clew("id", trace_id, "--json").out)["trace_id"]

    def test_key(self, clew: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
        """With CLEW_CORRELATION_KEY the trace ID is another one, and the key is not shown."""
        plain = clew("id", "order-4711").out
        monkeypatch.setenv("CLEW_CORRELATION_KEY", "s3cret")
        keyed = clew("id", "order-4711").out

        assert plain != keyed
        assert "s3cret" not in keyed

    def test_links(self, clew: Callable[..., Outcome]) -> None:
        """Links are printed with the IDs filled in."""
        outcome = clew("id", "order-1", "--url", "http://j/trace/{trace_id}", "--url", "http://g/?q={correlation_id}")

        trace_id = json.loads(clew("id", "order-1", "--json").out)["trace_id"]
        assert [
            f"link            http://j/trace/{trace_id}",
            "link            http://g/?q=order-1",
        ] == outcome.out.splitlines()[2:]

    @pytest.mark.parametrize(
        ("arguments", "says"), [(("a b",), "no usable correlation ID"), (("a", "--url", "{b}"), "--url may name")]
    )
    def test_refused(self, clew: Callable[..., Outcome], arguments: tuple[str, ...], says: str) -> None:
        """What is no ID, and a template with other fields, is refused."""
        outcome = clew("id", *arguments)

        assert (2, "") == (outcome.status, outcome.out)
        assert says in outcome.err


class TestConfig:
    """`clew config`."""

    def test_every_variable_is_there(self, clew: Callable[..., Outcome]) -> None:
        """Each of Clew's variables is shown with its value and who said so."""
        data = json.loads(clew("config", "--json").out)

        assert [variable.name for variable in VARIABLES] == [
            name for name in data["settings"] if name.startswith("CLEW_")
        ]
        assert {"value": "zstd", "source": "clew"} == data["settings"]["CLEW_COMPRESSION"]
        assert [] == data["problems"]

    def test_environment_wins(self, clew: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
        """What the environment says is shown as such, for Clew and for OpenTelemetry; what Clew adds is marked."""
        monkeypatch.setenv("CLEW_COMPRESSION", "gzip")
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")

        shown = clew("config").out.splitlines()

        assert "CLEW_COMPRESSION=gzip" in shown
        assert "OTEL_TRACES_EXPORTER=console" in shown
        assert "OTEL_LOGS_EXPORTER=otlp  (default)" in shown

    def test_secrets_are_masked(self, clew: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
        """No planted secret is shown: keys, header values, passwords in URLs."""
        monkeypatch.setenv("CLEW_CORRELATION_KEY", "planted-1")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=planted-2,x=planted-3")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ann:planted-4@host:4318")

        shown = clew("config").out + clew("config", "--json").out

        assert "planted" not in shown
        assert "OTEL_EXPORTER_OTLP_HEADERS=authorization=********,x=********" in shown

    def test_bad_value(self, clew: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
        """A value that cannot be used is told with its cure, and the default shown; the status is 1."""
        monkeypatch.setenv("CLEW_QUEUE_SIZE", "many")

        outcome = clew("config")

        assert 1 == outcome.status
        assert "CLEW_QUEUE_SIZE=65536  (not usable, default)" in outcome.out.splitlines()
        assert "CLEW_QUEUE_SIZE must be a whole number above 0, got 'many'" in outcome.err

    def test_docs(self, clew: Callable[..., Outcome]) -> None:
        """With `--docs` each setting is explained."""
        lines = clew("config", "--docs").out.splitlines()

        assert f"    {VARIABLES[0].doc}" == lines[1]


def test_schema(clew: Callable[..., Outcome]) -> None:
    """The schema is printed whole and is one."""
    printed = json.loads(clew("schema").out)

    jsonschema.Draft202012Validator.check_schema(printed)
    assert CONSOLE_LINE_SCHEMA == printed


class TestRetain:
    """`clew retain`."""

    @pytest.fixture
    def rotated(self, tmp_path: Path) -> Path:
        """Return a folder with three files that the Collector rotated, of different ages, and a stranger's."""
        folder = tmp_path / "otel"
        for day in (1, 2, 3):
            path = write(folder / f"logs-2026-01-0{day}T00-00-00.000-size.jsonl", b"x" * 100)
            os.utime(path, (1_767_225_600 + day * 86400,) * 2)
        write(folder / "notes.txt", b"mine")
        return folder

    def names(self, folder: Path) -> list[str]:
        """Return what is in the folder, without locks."""
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))

    def test_dry_run(self, clew: Callable[..., Outcome], rotated: Path) -> None:
        """A dry run says what would go, and why, and removes nothing."""
        before = self.names(rotated)

        outcome = clew("retain", rotated, "--max-files", "1", "--max-age", "10000d", "--dry-run")

        assert before == self.names(rotated)
        assert "Would remove 2 files of 200 bytes; 1 files of 100 bytes are kept" == outcome.out.splitlines()[-1]
        assert f"Would remove {rotated}/logs-2026-01-01T00-00-00.000-size.jsonl (100 bytes, files)" in outcome.out

    def test_removal(self, clew: Callable[..., Outcome], rotated: Path) -> None:
        """Without it the oldest files go, and no stranger's."""
        result = json.loads(clew("retain", rotated, "--max-files", "1", "--max-age", "10000d", "--json").out)

        assert ["files", "files"] == [one["reason"] for one in result["removed"]]
        assert ["logs-2026-01-03T00-00-00.000-size.jsonl", "notes.txt"] == [
            name for name in self.names(rotated) if "lock" not in name
        ]

    def test_bad_bound(self, clew: Callable[..., Outcome], rotated: Path) -> None:
        """A bound that is none is refused, and nothing is removed."""
        outcome = clew("retain", rotated, "--max-bytes", "lots")

        assert 2 == outcome.status
        assert "--max-bytes must be a size such as" in outcome.err
        assert 4 == len(self.names(rotated))

    def test_missing_folder(self, clew: Callable[..., Outcome], tmp_path: Path) -> None:
        """A folder that is not there is an error."""
        assert f"clew: no folder '{tmp_path}/nowhere'" in clew("retain", tmp_path / "nowhere").err


class TestErrors:
    """`clew errors`."""

    def test_one_group(self, clew: Callable[..., Outcome], shop: Path) -> None:
        """A failure over three services is one group with its cause first."""
        lines = clew("errors", shop).out.splitlines()

        assert "payments.gateway.CardDeclined: card declined" == lines[0]
        assert "  failures      1, in 7 records" == lines[1]
        assert "  root cause    payments  POST /charge, told in shop, orders" == lines[3]
        assert "  examples      order-4711" == lines[5]

    def test_canonical_traceback(self) -> None:
        """The path of what was raised stands first, then what it was raised from, each with its type."""
        failure = Failure("A", ("m:f", "m:g"), "cause", Failure("B", ("n:h",), "context", Failure("C", (), "", None)))

        assert [("raised in", "m:f > m:g"), ("caused by", "B in n:h"), ("while handling", "C")] == canonical_traceback(
            render(failure)
        )
        assert [] == canonical_traceback("")

    def test_data(self, clew: Callable[..., Outcome], shop: Path) -> None:
        """With `--json` a program gets the groups whole, times as text."""
        (group,) = json.loads(clew("errors", shop, "--json").out)

        assert ("payments", "2025-11-24T16:00:00.096000Z", ["order-4711"]) == (
            group["service"],
            group["first_seen"],
            group["examples"],
        )
        assert group["stacktrace"].startswith("Traceback")

    def test_service(self, clew: Callable[..., Outcome], shop: Path) -> None:
        """A service's errors are those that it tells of, too."""
        assert 1 == len(json.loads(clew("errors", shop, "--service", "orders", "--json").out))

    def test_none(self, clew: Callable[..., Outcome], tmp_path: Path) -> None:
        """Where nothing failed that is the answer, not an error."""
        path = write(tmp_path / "logs.jsonl", logs_line("a", log()))

        assert (0, "No errors in 1 record of 1 file.\n", "") == clew("errors", path)
