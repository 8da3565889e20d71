"""Whole pipelines for tests: a `Delivery` that sends to a receiver or writes to files, and records to put into it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from clew.delivery.endpoints import make_transport
from clew.delivery.pipeline import Delivery
from clew.delivery.stored_lines import records_in
from clew.entry import LogEntry
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from receiver import Receiver

INFO, ERROR = 9, 17
_tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")


def make_entry(body: Any = "made", severity: int = INFO, **fields: Any) -> LogEntry:
    """Make a log entry."""
    given = {
        "time_ns": time.time_ns(),
        "severity_number": severity,
        "severity_text": "INFO",
        "scope": "app",
        "body": body,
        "event_name": None,
        "trace_id": 0x1234567890ABCDEF1234567890ABCDEF,
        "span_id": 0x1234567890ABCDEF,
        "trace_flags": 1,
        "correlation_id": "order-1",
        "attributes": {"user": 7},
        "code": ("app.py", "main", 3),
        "thread": (1, "MainThread"),
        "exception": None,
        "uid": None,
    }
    return LogEntry(**{**given, **fields})


def make_span(name: str) -> ReadableSpan:
    """Make an ended span."""
    span: Any = _tracer.start_span(name, attributes={"user": 7})
    span.end()
    return span


def make_delivery(
    folder: Path, variables: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None, **options: Any
) -> Delivery:
    """Make a pipeline without a destination; `variables` are Clew's, `environ` OpenTelemetry's."""
    settings = Settings.from_mapping(
        {"CLEW_DIR": str(folder / "clew"), "CLEW_SHUTDOWN_TIMEOUT": "10", **(variables or {})}
    )
    return Delivery(
        settings, environ=environ or {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BLRP_SCHEDULE_DELAY": "100"}, **options
    )


def connect(delivery: Delivery, receiver: Receiver, protocol: str = "http/protobuf") -> Delivery:
    """Send logs and spans to `receiver`."""
    if protocol == "grpc":
        exporters = (
            ("logs", GrpcLogExporter(receiver.grpc_endpoint, insecure=True)),
            ("traces", GrpcSpanExporter(receiver.grpc_endpoint, insecure=True)),
        )
    else:
        exporters = (
            ("logs", OTLPLogExporter(f"{receiver.http_endpoint}/v1/logs")),
            ("traces", OTLPSpanExporter(f"{receiver.http_endpoint}/v1/traces")),
        )
    for signal, exporter in exporters:
        transport = make_transport(exporter, signal, encoding="json" if protocol == "http/json" else "protobuf")
        assert transport is not None
        delivery.add_collector(signal, transport)
    return delivery


@contextlib.contextmanager
def held(delivery: Delivery) -> Iterator[None]:
    """Let the thread not start meanwhile, so that what is put goes out together."""
    start, delivery._thread.start = delivery._thread.start, lambda: False  # type: ignore[method-assign]
    yield
    delivery._thread.start = start  # type: ignore[method-assign]


def stored_lines(folder: Path) -> list[tuple[str, bytes]]:
    """Return the signal and the text of each line in the segments below `folder`; one may vanish meanwhile."""
    found = []
    for path in sorted(folder.rglob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError):
            # A write that is under way may be seen in part; a last line without an end is looked at once it has one.
            whole = path.read_bytes().rpartition(b"\n")[0] + b"\n"
            found += [(path.name.split("-")[0], line) for line in whole.splitlines(keepends=True) if line != b"\n"]
    return found


def stored_records(folder: Path) -> dict[str, int]:
    """Count the records in the segments below `folder`, by signal."""
    found: dict[str, int] = {}
    for signal, line in stored_lines(folder):
        orjson.loads(line)
        found[signal] = found.get(signal, 0) + records_in(signal, line)
    return found


def outcomes(delivery: Delivery) -> dict[tuple[str, str, str], int]:
    """Return the delivery's counts by signal, outcome and reason."""
    return {(tally.signal, tally.outcome, tally.reason): tally.records for tally in delivery.counts()}
