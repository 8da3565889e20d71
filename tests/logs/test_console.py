"""Under `CLEW_LOG_FORMAT=json` the console is JSON lines by the published schema, and only the console."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from clew import schema
from clew.entry import ExceptionEntry, LogEntry
from clew.logs.console import LineRenderer
from clew.logs.redaction import Redactor
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRY = LogEntry(
    time_ns=1_700_000_000_123_456_789,
    severity_number=17,
    severity_text="ERROR",
    scope="app",
    body="it failed",
    event_name=None,
    trace_id=0x1F,
    span_id=0x2F,
    trace_flags=1,
    correlation_id="req-1",
    attributes={"user": {"id": 7}},
    code=("/app.py", "run", 3),
    thread=(1, "MainThread"),
    exception=ExceptionEntry("ValueError", "no", "Traceback", "abc"),
    uid=None,
)


def test_line_holds_the_whole_entry() -> None:
    """Every field of an entry stands in its line under the name that the schema gives it."""
    line = json.loads(LineRenderer(None).render(ENTRY))

    assert line == {
        "timestamp": "2023-11-14T22:13:20.123456Z",
        "level": "ERROR",
        "logger": "app",
        "message": "it failed",
        "correlation_id": "req-1",
        "trace_id": f"{0x1F:032x}",
        "span_id": f"{0x2F:016x}",
        "trace_flags": "01",
        "code": {"file": "/app.py", "function": "run", "line": 3},
        "thread": "MainThread",
        "exception": {"type": "ValueError", "message": "no", "stacktrace": "Traceback", "fingerprint": "abc"},
        "attributes": {"user": {"id": 7}},
    }
    assert line.keys() <= schema.CONSOLE_LINE_SCHEMA["properties"].keys()


def test_line_is_redacted() -> None:
    """Secrets are replaced in the message, the exception and the attributes of a line."""
    secret = "hunter2hunter2"
    entry = ENTRY._replace(
        body=f"password={secret}",
        attributes={"password": secret},
        exception=ExceptionEntry("E", f"password={secret}", f"password={secret}", None),
    )

    assert secret not in LineRenderer(Redactor(Settings())).render(entry)


def _fields(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    assert set(schema.CONSOLE_LINE_SCHEMA["required"]) <= found.keys()
    assert found.keys() <= schema.CONSOLE_LINE_SCHEMA["properties"].keys()
    return found


def test_each_console_line_is_json_and_files_stay_plain(run_program: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever handler and formatter writes to stdout or stderr, each record is one JSON line there."""
    run = run_program("shapes.py", clew=True, CLEW_LOG_FORMAT="json", CLEW_REDACT="on")
    stdout = [_fields(line) for line in run.stdout.splitlines()]
    stderr = [_fields(line) for line in run.stderr.splitlines()]

    assert run.status == 0, run.stderr
    assert [line["message"] for line in stderr] == [
        "two\nlines é",
        "failed with bob",
        "misses %d (arguments: ['bob'])",
        "by last resort",
    ]
    assert stdout[0]["attributes"]["nested"] == {"a": [1, None, 2.5, None, "\\xff"]}
    assert stdout[0]["attributes"]["password"] != "hunter2"
    assert [line["exception"]["type"] for line in stdout if "exception" in line] == ["ValueError"]
    assert (tmp_path / "clewed" / "plain.log").read_text().startswith("INFO|two\nlines é\n")


def test_nothing_is_installed_by_default() -> None:
    """Without the variable handlers format as they always did."""
    assert logging.Handler.format.__closure__ is None
