"""The receiver of these tests stores what upstream's exporters send, and misbehaves when told."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from receiver import Receiver, ReceiverProcess

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace.export import SpanExporter

_LOGS_JSON = json.dumps(
    {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}, "traceId": "ab" * 16}]}]}]}
).encode()


def _exporter(protocol: str, receiver: Receiver | ReceiverProcess) -> SpanExporter:
    if protocol == "grpc":
        return GrpcSpanExporter(receiver.grpc_endpoint, insecure=True)
    return HttpSpanExporter(receiver.http_endpoint + "/v1/traces", compression=Compression.Gzip)


def _export_one_span(protocol: str, receiver: Receiver | ReceiverProcess) -> str:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(_exporter(protocol, receiver)))
    with provider.get_tracer("scope").start_as_current_span("work", attributes={"n": 1}) as span:
        pass
    provider.shutdown()
    return f"{span.get_span_context().trace_id:032x}"


def _post(receiver: Receiver, body: bytes = _LOGS_JSON, content_type: str = "application/json") -> tuple[int, bytes]:
    request = urllib.request.Request(receiver.http_endpoint + "/v1/logs", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Retry-After", "").encode()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("kind", ["threads", "process"])
def test_receives_upstreams_spans(protocol: str, kind: str, tmp_path: Path) -> None:
    """A span of upstream's exporter arrives with its IDs, attributes and scope."""
    with Receiver() if kind == "threads" else ReceiverProcess(tmp_path / "requests.jsonl") as receiver:
        trace_id = _export_one_span(protocol, receiver)
        span = receiver.wait_for(lambda got: got.spans)[0]

    assert (trace_id, "", "work", {"n": 1}, "scope") == (
        span.trace_id,
        span.parent_span_id,
        span.name,
        span.attributes,
        span.scope,
    )


def test_receives_json(receiver: Receiver) -> None:
    """OTLP JSON with hex IDs is decoded like protobuf."""
    status, _ = _post(receiver)

    assert (200, "hello", "ab" * 16) == (status, receiver.logs[0].body, receiver.logs[0].trace_id)


def test_refuses_then_accepts(receiver: Receiver) -> None:
    """A refused request is kept as a request but gives no records."""
    receiver.respond(status=503, retry_after=7, times=1)

    answers = [_post(receiver)[0], _post(receiver)[0]]

    assert ([503, 200], [503, 200], 1) == (answers, [item.status for item in receiver.requests], len(receiver.logs))


def test_names_the_time_to_wait(receiver: Receiver) -> None:
    """Retry-After is the number of seconds that was asked for."""
    receiver.respond(status=429, retry_after=7)

    assert (429, b"7") == _post(receiver)


def test_reports_partial_success(receiver: Receiver) -> None:
    """A partial success is the message that the protocol's own classes would write."""
    receiver.respond(rejected=300, message="too old")
    expected = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=300, error_message="too old")
    )

    _, body = _post(receiver, b"", "application/x-protobuf")

    assert expected.SerializeToString() == body


def test_is_out_and_comes_back(receiver: Receiver) -> None:
    """Stopped, it refuses connections; started again, it has the same port."""
    receiver.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        _post(receiver)
    receiver.start()

    assert 200 == _post(receiver)[0]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_comes_back_for_both_protocols(receiver: Receiver, protocol: str) -> None:
    """After an outage a new client of either protocol is served."""
    receiver.stop()
    receiver.start()
    _export_one_span(protocol, receiver)

    assert ["work"] == [span.name for span in receiver.spans]


def test_hangs(receiver: Receiver) -> None:
    """A hanging receiver answers when its time is over, not before."""
    receiver.hang(0.3)
    began = time.monotonic()

    assert 200 == _post(receiver)[0]
    assert time.monotonic() - began >= 0.3


def test_process_takes_orders(tmp_path: Path) -> None:
    """The process carries out an order before the call that gave it returns."""
    with ReceiverProcess(tmp_path / "requests.jsonl") as receiver:
        receiver.stop()
        with pytest.raises(urllib.error.URLError, match="refused"):
            _post(receiver)
        receiver.start()
        receiver.respond(status=429)

        assert 429 == _post(receiver)[0]


def test_tells_what_came_instead(receiver: Receiver) -> None:
    """A wait in vain says what was received."""
    _post(receiver)

    with pytest.raises(TimeoutError, match=r"1 requests; 0 spans \(\); 1 logs \('hello'\[ababab\]\)"):
        receiver.wait_for(lambda got: got.spans, timeout_s=0.05)
