"""No secret that a program lets slip leaves the process or reaches a file."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from programs import instrumented
from receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parent / "programs" / "leaky.py"
SECRET = "hunter2Xy9Zq0Kw"
EXPECTED = "[redacted]"


def run(tmp_path: Path, receiver: Receiver | None, environ: dict[str, str]) -> bytes:
    """Run the program to its end, which is the escaping exception; return what it wrote to standard output."""
    resource = f"db.password={SECRET},note=token%3D{SECRET}"
    variables = {"OTEL_RESOURCE_ATTRIBUTES": resource, **environ}
    with instrumented(["python", PROGRAM, SECRET], receiver=receiver, cwd=tmp_path, environ=variables) as process:
        out, _err = process.communicate(timeout=60)
    assert process.returncode == 1
    return out


def contents(folder: Path) -> Iterator[bytes]:
    """Yield what each file holds, decompressed."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".zst":
                data = zstandard.ZstdDecompressor().stream_reader(data).read()
            yield gzip.decompress(data) if path.suffix == ".gz" else data


def sent(receiver: Receiver) -> list[bytes]:
    """Return the body of each request, decompressed."""
    compressed = {"gzip": lambda data: zlib.decompress(data, 31)}
    return [
        compressed.get(request.headers.get("content-encoding", ""), bytes)(request.body)
        for request in receiver.requests
    ]


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_sent(tmp_path: Path, protocol: str) -> None:
    """Nothing that a Collector gets holds the secret, and the records are there without it."""
    with Receiver() as receiver:
        endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
        run(tmp_path, receiver, {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        bodies = sent(receiver)
        logs, spans = receiver.logs, receiver.spans

    assert not [body for body in bodies if SECRET.encode() in body]
    assert len(logs) >= 8
    assert {"inner"} < {span.name for span in spans}
    assert any(EXPECTED in str(log.body) for log in logs)
    assert not [data for data in contents(tmp_path / "clew") if SECRET.encode() in data]


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"CLEW_MODE": "file"},
        {"CLEW_MODE": "file", "CLEW_COMPRESSION": "gzip"},
    ],
    ids=["spool", "files", "gzip"],
)
def test_stored(tmp_path: Path, environ: dict[str, str]) -> None:
    """Nothing that is stored holds the secret, be it because the Collector is down or by choice."""
    run(tmp_path, None, environ)
    stored = list(contents(tmp_path / "clew"))

    assert any(EXPECTED.encode() in data for data in stored)
    assert not [data for data in stored if SECRET.encode() in data]


def test_printed_by_other_exporters(tmp_path: Path, receiver: Receiver) -> None:
    """Upstream's console exporters beside OTLP print no secret; the program's own lines on the console are its own."""
    consoles = {"OTEL_TRACES_EXPORTER": "otlp,console", "OTEL_LOGS_EXPORTER": "otlp,console"}
    own = run(tmp_path, receiver, {}).splitlines()

    printed = [line for line in run(tmp_path, receiver, consoles).splitlines() if line not in own]

    assert (True, True) == (b'    "name": "inner",' in printed, any(b'"body": "called"' in line for line in printed))
    assert not [line for line in printed if SECRET.encode() in line]


def test_off(tmp_path: Path) -> None:
    """The secret is there where redaction is off: the other tests look in the right place."""
    run(tmp_path, None, {"CLEW_MODE": "file", "CLEW_REDACT": "off"})

    assert any(SECRET.encode() in data for data in contents(tmp_path / "clew"))
