"""A secret that a program puts anywhere in a log record, a span or its resource is nowhere in what left the process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from programs import instrumented

if TYPE_CHECKING:
    from pathlib import Path

    from receiver import Receiver

SECRETS = {
    "attribute": "hunter2zz",
    "user info": "pw9zzzq",
    "query": "keyzz99",
    "event": "tokzz77",
    "argument": "bodyzz11",
    "nested extra": "nestzz22",
    "exception": "exczz33exczz33exczz33",
    "resource": "reszz44",
}
PROGRAM = f"""
import logging
from opentelemetry import trace
url = "http://u:{SECRETS["user info"]}@h/?api_key={SECRETS["query"]}"
attributes = {{"password": "{SECRETS["attribute"]}", "url.full": url}}
with trace.get_tracer("t").start_as_current_span("work", attributes=attributes) as span:
    span.add_event("e", {{"token": "{SECRETS["event"]}"}})
    logging.getLogger("a").addHandler(logging.NullHandler())
    logging.getLogger("a").propagate = False
    nested = {{"n": [{{"secret": "{SECRETS["nested extra"]}"}}]}}
    logging.getLogger("a").error("password=%s", "{SECRETS["argument"]}", extra=nested)
    try:
        raise ValueError("Authorization: Bearer {SECRETS["exception"]}")
    except ValueError:
        logging.getLogger("a").exception("failed")
"""
RESOURCE = {"OTEL_RESOURCE_ATTRIBUTES": f"db.password={SECRETS['resource']}"}
CONSOLE = {"OTEL_TRACES_EXPORTER": "otlp,console", "OTEL_LOGS_EXPORTER": "otlp,console"}


def _found(text: bytes) -> list[str]:
    return [place for place, secret in SECRETS.items() if secret.encode() in text]


def _run(folder: Path, receiver: Receiver, protocol: str, **environ: str) -> tuple[bytes, bytes]:
    """Run the program and return its console, and the bytes of all files under CLEW_DIR."""
    variables = {**RESOURCE, "CLEW_COMPRESSION": "none", **environ}
    command = [sys.executable, "-c", PROGRAM]
    with instrumented(command, receiver=receiver, cwd=folder, protocol=protocol, environ=variables) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    files = [path.read_bytes() for path in (folder / "clew").rglob("*") if path.is_file()]
    return out + err, b"".join(files)


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_collector_gets_none(protocol: str, tmp_path: Path, receiver: Receiver) -> None:
    """Over each protocol the Collector gets the records without their secrets, and no file has them."""
    _console, files = _run(tmp_path, receiver, protocol)

    assert (1, 2) == (len([span for span in receiver.spans if span.name == "work"]), len(receiver.logs))
    assert ([], []) == (_found(repr((receiver.spans, receiver.logs, receiver.metrics)).encode()), _found(files))


def test_spool_holds_none(tmp_path: Path, receiver: Receiver) -> None:
    """Without a Collector the records lie on disk without their secrets."""
    receiver.stop()

    _console, files = _run(tmp_path, receiver, "http/protobuf", CLEW_SHUTDOWN_TIMEOUT="1")

    assert (True, []) == (b'"failed"' in files, _found(files))


def test_files_hold_none(tmp_path: Path, receiver: Receiver) -> None:
    """Where files are the destination they have the records without their secrets."""
    _console, files = _run(tmp_path, receiver, "http/protobuf", CLEW_MODE="file")

    assert (True, []) == (b'"failed"' in files, _found(files))


def test_other_exporters_get_none(tmp_path: Path, receiver: Receiver) -> None:
    """Upstream's console exporters beside OTLP print the records without their secrets, and the Collector gets both."""
    console, files = _run(tmp_path, receiver, "http/protobuf", **CONSOLE)

    assert (True, True) == (b'"name": "work"' in console, b'"body": "failed"' in console)
    assert ([], []) == (_found(console), _found(files))
    assert (1, 2) == (len([span for span in receiver.spans if span.name == "work"]), len(receiver.logs))
