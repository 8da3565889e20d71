"""What a gRPC server says of a request, in the words of its language, is told for what it means."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from pipelines import make_span

from clew.delivery.encode import encode
from clew.delivery.endpoints import make_transport
from clew.delivery.transport import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clew.delivery.transport import Transport

PAYLOAD = encode("traces", "protobuf", [make_span("one")], None).payload
DELAY = RetryInfo(retry_delay=Duration(seconds=7, nanos=500_000_000))
SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


@contextlib.contextmanager
def serving(export: Callable[[bytes, Any], bytes], *options: tuple[str, int]) -> Iterator[Transport]:
    """Run a server and yield a transport to it."""
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    method = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    transport = connect(f"http://127.0.0.1:{port}")
    yield transport
    transport.close()
    server.stop(None).wait(5)


def connect(endpoint: str) -> Transport:
    """Make the transport that an exporter to `endpoint` stands for."""
    transport = make_transport(OTLPSpanExporter(endpoint), "traces")
    assert transport is not None
    return transport


def refusing(code: grpc.StatusCode, text: str = "", **metadata: bytes) -> Callable[[bytes, Any], bytes]:
    """Return a method that ends with `code`; underscores in the names of `metadata` stand for hyphens."""

    def export(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(tuple((name.replace("_", "-"), value) for name, value in metadata.items()))
        context.abort(code, text)

    return export


def details(*messages: Any) -> bytes:
    """Return a status with details as servers in Go, Java and C++ send it."""
    packed = [AnyMessage() for _ in messages]
    for target, message in zip(packed, messages, strict=True):
        target.Pack(message)
    return Status(code=14, details=packed).SerializeToString()


@pytest.mark.parametrize(
    ("metadata", "retry_after_s"),
    [
        ({"grpc_status_details_bin": details(DebugInfo(detail="full"), DELAY)}, 7.5),
        ({"google.rpc.retryinfo_bin": DELAY.SerializeToString()}, 7.5),
        ({"grpc_status_details_bin": details(RetryInfo(retry_delay=Duration(seconds=-5)))}, 0.0),
        ({"grpc_status_details_bin": details(DebugInfo(detail="full"))}, None),
        ({"grpc_status_details_bin": b"no status"}, None),
        ({"google.rpc.retryinfo_bin": b"no delay"}, None),
    ],
)
@pytest.mark.parametrize(
    ("code", "kind"), [(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy"), (grpc.StatusCode.UNAVAILABLE, "unreachable")]
)
def test_retry_info(code: grpc.StatusCode, kind: str, metadata: dict[str, bytes], retry_after_s: float | None) -> None:
    """How long the server wants to be left alone is read from wherever it says it; nonsense there says nothing."""
    with serving(refusing(code, **metadata)) as transport:
        outcome = transport.send(PAYLOAD, 5)

    assert (kind, retry_after_s) == (outcome.kind, outcome.retry_after_s)


def test_larger_than_the_server_takes() -> None:
    """A message that is larger than the server's bound is too large, not one to come again with."""
    with serving(lambda _body, _context: b"", ("grpc.max_receive_message_length", 1000)) as transport:
        outcomes = [transport.send(PAYLOAD * count, 5).kind for count in (1, 100)]

    assert ["accepted", "too_large"] == outcomes


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (8000000 vs. 4194304)"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message after decompression larger than max 4194304"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size 4194304: 8000000"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size."),
        (grpc.StatusCode.OUT_OF_RANGE, "Error, decoded message length too large: found 8000000 bytes, the limit is 4"),
    ],
)
def test_too_large_in_other_words(code: grpc.StatusCode, text: str) -> None:
    """So it is where the server is written in Go, Java, C# or Rust."""
    with serving(refusing(code, text)) as transport:
        assert "too_large" == transport.send(PAYLOAD, 5).kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RESOURCE_EXHAUSTED", "busy"),
        ("ABORTED", "busy"),
        ("CANCELLED", "busy"),
        ("OUT_OF_RANGE", "busy"),
        ("DATA_LOSS", "busy"),
        ("UNAVAILABLE", "unreachable"),
        ("DEADLINE_EXCEEDED", "unreachable"),
        ("INVALID_ARGUMENT", "invalid"),
        ("UNAUTHENTICATED", "refused"),
        ("PERMISSION_DENIED", "refused"),
        ("UNIMPLEMENTED", "refused"),
        ("NOT_FOUND", "refused"),
        ("INTERNAL", "refused"),
        ("UNKNOWN", "refused"),
        ("FAILED_PRECONDITION", "refused"),
    ],
)
def test_codes(code: str, kind: str) -> None:
    """Each code says whether to come again, to send less, or to give up (OTLP specification, "OTLP/gRPC Response")."""
    with serving(refusing(grpc.StatusCode[code], "secret")) as transport:
        outcome = transport.send(PAYLOAD, 5)

    assert kind == outcome.kind
    assert code in outcome.detail


def test_codes_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream's variable says with which codes to come again."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES", "INTERNAL, unavailable")
    kinds = []
    for code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED):
        with serving(refusing(code)) as transport:
            kinds.append(transport.send(PAYLOAD, 5).kind)

    assert ["busy", "refused"] == kinds


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "refused"),
        ({"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip"}, "refused"),
        ({"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip"}, "accepted"),
    ],
)
def test_compression(variables: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_COMPRESSION holds, as a server that takes nothing compressed can tell."""
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with serving(lambda _body, _context: b"", ("grpc.compression_enabled_algorithms_bitset", 1)) as transport:
        assert kind == transport.send(PAYLOAD * 10, 5).kind


def test_unknown_service() -> None:
    """A server that takes no traces refuses them."""
    with serving(lambda _body, _context: b"") as other:
        transport = make_transport(OTLPSpanExporter(other.endpoint.replace("grpc", "http")), "logs")
        assert transport is not None

        assert Outcome("refused", detail="UNIMPLEMENTED") == transport.send(PAYLOAD, 5)
        transport.close()


def test_nonsense_is_taken_for_success() -> None:
    """An answer to a call that went well takes nothing back, whatever is in it."""
    with serving(lambda _body, _context: b"no message") as transport:
        assert Outcome("accepted") == transport.send(PAYLOAD, 5)


def test_no_grpc() -> None:
    """A server that does not speak gRPC is away: the records wait."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = connect(f"http://127.0.0.1:{listening.getsockname()[1]}")
        outcome = transport.send(PAYLOAD, 0.3)
        transport.close()

    assert "unreachable" == outcome.kind
