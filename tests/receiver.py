"""A real OTLP receiver for tests: HTTP (protobuf, JSON) and gRPC on loopback, well behaved or not as it is told.

`Receiver` runs in threads of the test's process. `ReceiverProcess` is the same in a process of its own, for tests that
time a program: `python tests/receiver.py --http 0 --grpc 0 --out FILE` prints `{"http": port, "grpc": port}`, appends
each request to FILE, takes orders on stdin (`{"call": "respond", "status": 503}`, one JSON object per line) and exits
when stdin closes or after `--limit` seconds.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from typing_extensions import Self

from telemetry import LogRecord, MetricPoint, Request, Span, parse, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

_SERVICES = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
}
_REJECTED_FIELD = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
_GRPC_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_OK = 200
POLL_S = 0.02


class Answer(NamedTuple):
    """How requests are answered: the first `times` of them if that is not None, all others with 200."""

    status: int = _OK
    retry_after_s: int | None = None
    rejected: int = 0
    message: str = ""
    times: int | None = None


class Identity(NamedTuple):
    """What a server shows and asks for by TLS: files in PEM."""

    certificate: Path
    key: Path
    clients: Path | None = None
    """Whose certificates clients must have; None asks for none."""

    def context(self) -> ssl.SSLContext:
        """Return it for HTTP."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if self.clients is not None:
            context.load_verify_locations(self.clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc(self) -> grpc.ServerCredentials:
        """Return it for gRPC."""
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        clients = None if self.clients is None else self.clients.read_bytes()
        return grpc.ssl_server_credentials([pair], clients, clients is not None)


class _Records:
    """The view of received requests that both receivers share; requests are decoded when somebody looks."""

    def __init__(self) -> None:
        self._decoded: list[Span | LogRecord | MetricPoint] = []
        self._decoded_count = 0

    @property
    def requests(self) -> Sequence[Request]:
        """Every request so far, in order of arrival, the refused ones too."""
        raise NotImplementedError

    @property
    def spans(self) -> list[Span]:
        """Every span of an accepted request."""
        return [record for record in self._decode() if isinstance(record, Span)]

    @property
    def logs(self) -> list[LogRecord]:
        """Every log record of an accepted request."""
        return [record for record in self._decode() if isinstance(record, LogRecord)]

    @property
    def metrics(self) -> list[MetricPoint]:
        """Every data point of an accepted request."""
        return [record for record in self._decode() if isinstance(record, MetricPoint)]

    def _decode(self) -> list[Span | LogRecord | MetricPoint]:
        arrived = self.requests[self._decoded_count :]
        for request in arrived:
            if request.status == _OK:
                self._decoded.extend(records(parse(request)))
        self._decoded_count += len(arrived)
        return self._decoded

    def wait_for(self, predicate: Callable[[Self], T], timeout_s: float = 15.0) -> T:
        """Return what `predicate(self)` returns as soon as it is true.

        Raises:
            TimeoutError: If it is not after `timeout_s`; the message says what was received.
        """
        deadline = time.monotonic() + timeout_s
        while not (result := predicate(self)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not received within {timeout_s} s; received {self.summary()}")
            time.sleep(POLL_S)
        return result

    def summary(self) -> str:
        """Return what was received, short enough for a failure message."""
        spans = ", ".join(f"{span.name}[{span.trace_id[:6]}]" for span in self.spans[-8:])
        logs = ", ".join(f"{str(record.body)[:60]!r}[{record.trace_id[:6]}]" for record in self.logs[-8:])
        return f"{len(self.requests)} requests; {len(self.spans)} spans ({spans}); {len(self.logs)} logs ({logs})"


class Receiver(_Records):
    """OTLP receiver in threads of this process, started on construction, stopped by `close` or the end of `with`."""

    def __init__(
        self,
        *,
        http_port: int = 0,
        grpc_port: int = 0,
        keep: Callable[[Request], None] | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Bind and start.

        Args:
            http_port: Port of OTLP/HTTP; 0 for a free one.
            grpc_port: Port of OTLP/gRPC; 0 for a free one.
            keep: Takes each request in place of the list behind `requests`.
            identity: With it, TLS is spoken on both ports.
        """
        super().__init__()
        self._requests: list[Request] = []
        self._keep = keep or self._requests.append
        self._identity = identity
        self.scheme = "http" if identity is None else "https"
        self._lock = threading.Lock()
        self._answer = Answer()
        self._hang_s = 0.0
        self._awake = threading.Event()
        # A bound socket that never listens keeps the port ours while an outage is played.
        self._places = [_reserve(http_port), _reserve(grpc_port)]
        self.http_port, self.grpc_port = (place.getsockname()[1] for place in self._places)
        self._http: _HttpServer | None = None
        self._grpc: grpc.Server | None = None
        self.start()

    @property
    def http_endpoint(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT for http/protobuf and http/json."""
        return f"{self.scheme}://127.0.0.1:{self.http_port}"

    @property
    def grpc_endpoint(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT for grpc."""
        return f"{self.scheme}://127.0.0.1:{self.grpc_port}"

    @property
    def requests(self) -> Sequence[Request]:
        """Every request so far, in order of arrival, the refused ones too."""
        return self._requests

    def start(self) -> None:
        """Listen, after `stop` on the same ports as before."""
        if self._http is not None:
            return
        self._awake = threading.Event()
        self._http = _HttpServer(self.http_port, self, self._identity)
        self._grpc = _grpc_server(self.grpc_port, self, self._identity)

    def stop(self) -> None:
        """Play an outage: connections are reset, new ones refused, requests under way are not answered."""
        server, self._http = self._http, None
        if server is None or self._grpc is None:
            return
        with self._lock:
            self._awake.set()
        server.stop()
        self._grpc.stop(None).wait(5)

    def respond(
        self,
        status: int = _OK,
        *,
        retry_after: int | None = None,
        rejected: int = 0,
        message: str = "",
        times: int | None = None,
    ) -> None:
        """Answer from now on with `status` (an HTTP one; gRPC gets the matching code), or accept but reject some.

        Args:
            status: 200 accepts.
            retry_after: Seconds, as Retry-After header or RetryInfo.
            rejected: With 200: how many records partial success says were rejected; the request counts as received.
            message: What the error or the partial success says.
            times: Only for this many requests, then 200.
        """
        self._answer = Answer(status, retry_after, rejected, message, times)

    def hang(self, seconds: float) -> None:
        """Answer only after `seconds`, 0 ends it for requests to come; what `stop` cuts short is not stored."""
        self._hang_s = seconds

    def close(self) -> None:
        """Stop for good and give the ports back."""
        self.stop()
        for place in self._places:
            place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, signal: str, protocol: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """Store a request and return its answer, or None if it gets none because `stop` came first."""
        awake = self._awake
        if awake.wait(self._hang_s) if self._hang_s else awake.is_set():
            return None
        with self._lock:
            if awake.is_set():
                return None
            answer = self._next_answer()
            self._keep(Request(signal, protocol, headers, body, time.time(), answer.status))
        return answer

    def _next_answer(self) -> Answer:
        answer = self._answer
        if answer.times is not None:
            left = answer.times - 1
            self._answer = answer._replace(times=left) if left > 0 else Answer()
        return answer


def _reserve(port: int) -> socket.socket:
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", port))
    return place


class _HttpServer(ThreadingHTTPServer):
    """OTLP/HTTP: one thread per connection, kept alive."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, receiver: Receiver, identity: Identity | None) -> None:
        self.receiver = receiver
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        if identity is not None:
            self.socket = identity.context().wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that is killed in the middle of a request is part of these tests."""

    def stop(self) -> None:
        """Stop accepting, then cut the connections that are kept alive."""
        self.shutdown()
        self.server_close()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer
    _content_types: ClassVar = {"application/json": "http/json", "application/x-protobuf": "http/protobuf"}

    def do_POST(self) -> None:
        """Take `/v1/traces`, `/v1/logs`, `/v1/metrics`, below any prefix or as a proxy; `:path` says which it was."""
        body = self._read_body()
        if self._is_gone():
            self.close_connection = True
            return
        signal = self.path.partition("?")[0].rpartition("/v1/")[2]
        headers = {name.lower(): text for name, text in self.headers.items()} | {":path": self.path}
        protocol = self._content_types.get(headers.get("content-type", ""))
        if signal not in _REJECTED_FIELD or protocol is None:
            self._reply(404 if protocol else 415, b"", {})
            return
        answer = self.server.receiver.take(signal, protocol, headers, body)
        if answer is None:
            self.close_connection = True
            return
        retry = {} if answer.retry_after_s is None else {"Retry-After": str(answer.retry_after_s)}
        self._reply(answer.status, _reply_body(signal, protocol, answer), retry)

    def _is_gone(self) -> bool:
        """Return whether the client has given up: what it will send again must not count as received."""
        if isinstance(self.connection, ssl.SSLSocket):
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the superclass's
        """Say nothing."""


def _reply_body(signal: str, protocol: str, answer: Answer) -> bytes:
    """Return the response message: empty, or a partial success (fields 1 and 2 of field 1 in all three signals)."""
    if protocol == "http/json":
        rejected = {_REJECTED_FIELD[signal]: str(answer.rejected), "errorMessage": answer.message}
        return json.dumps({"partialSuccess": rejected} if answer.rejected or answer.message else {}).encode()
    if answer.status != _OK or not (answer.rejected or answer.message):
        return b""
    message = answer.message.encode()
    inner = b"\x08" + _varint(answer.rejected) + b"\x12" + _varint(len(message)) + message
    return b"\x0a" + _varint(len(inner)) + inner


def _varint(number: int) -> bytes:
    text = bytearray()
    while number > 0x7F:
        text.append(number & 0x7F | 0x80)
        number >>= 7
    text.append(number)
    return bytes(text)


def _grpc_server(port: int, receiver: Receiver, identity: Identity | None) -> grpc.Server:
    # Without SO_REUSEPORT two receivers cannot end up on one port.
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(8, "otlp-grpc"), options=options)
    for service, signal in _SERVICES.items():
        method = grpc.unary_unary_rpc_method_handler(_export(signal, receiver))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, identity.grpc()) if identity else server.add_insecure_port(address)
    if bound != port:
        raise OSError(f"could not listen on port {port}")
    server.start()
    return server


def _export(signal: str, receiver: Receiver) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def export(body: bytes, context: grpc.ServicerContext) -> bytes:
        if not context.is_active():
            return b""  # to nobody: the client has given up, and will send it again
        headers = {name: str(text) for name, text in context.invocation_metadata()}
        answer = receiver.take(signal, "grpc", headers, body)
        if answer is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "stopped")
        if answer.status != _OK:
            if answer.retry_after_s is not None:
                retry = RetryInfo(retry_delay=Duration(seconds=answer.retry_after_s)).SerializeToString()
                context.set_trailing_metadata((("google.rpc.retryinfo-bin", retry),))
            context.abort(_GRPC_CODES.get(answer.status, grpc.StatusCode.UNKNOWN), answer.message)
        return _reply_body(signal, "grpc", answer)

    return export


class ReceiverProcess(_Records):
    """A receiver in a process of its own; the same interface, the requests come through a file."""

    scheme = "http"

    def __init__(self, out: Path, *, limit_s: float = 120.0) -> None:
        """Start it and wait for its ports.

        Args:
            out: File to append requests to.
            limit_s: When the process ends whatever happens.
        """
        super().__init__()
        self._out = out
        self._read: list[Request] = []
        self._offset = 0
        command = [sys.executable, __file__, "--out", str(out), "--limit", str(limit_s)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.http_port, self.grpc_port = ports["http"], ports["grpc"]

    http_endpoint = Receiver.http_endpoint
    grpc_endpoint = Receiver.grpc_endpoint

    @property
    def requests(self) -> Sequence[Request]:
        """Every request so far, in order of arrival, the refused ones too."""
        if self._out.exists():
            with self._out.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._offset += len(whole)
            self._read.extend(_request_from(line) for line in whole.splitlines())
        return self._read

    def respond(self, status: int = _OK, **options: Any) -> None:
        """Do as `Receiver.respond`."""
        self._order("respond", status=status, **options)

    def hang(self, seconds: float) -> None:
        """Do as `Receiver.hang`."""
        self._order("hang", seconds=seconds)

    def stop(self) -> None:
        """Do as `Receiver.stop`."""
        self._order("stop")

    def start(self) -> None:
        """Do as `Receiver.start`."""
        self._order("start")

    def _order(self, call: str, **options: Any) -> None:
        """Send an order and wait until it is carried out."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, **options}) + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _line_of(request: Request) -> bytes:
    fields = {**request._asdict(), "body": base64.b64encode(request.body).decode()}
    return json.dumps(fields).encode() + b"\n"


def _request_from(line: bytes) -> Request:
    fields = json.loads(line)
    return Request(**{**fields, "body": base64.b64decode(fields["body"])})


def _orders(limit_s: float) -> Iterator[dict[str, Any]]:
    """Return the orders on stdin until it closes; after `limit_s` end the process."""
    timer = threading.Timer(limit_s, os._exit, (0,))
    timer.daemon = True
    timer.start()
    for line in sys.stdin:
        yield json.loads(line)


def _say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run a receiver until stdin closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", type=int, default=0)
    parser.add_argument("--grpc", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=120.0)
    options = parser.parse_args()
    with options.out.open("ab", buffering=0) as out:
        receiver = Receiver(http_port=options.http, grpc_port=options.grpc, keep=lambda item: out.write(_line_of(item)))
        with receiver:
            _say({"http": receiver.http_port, "grpc": receiver.grpc_port})
            for order in _orders(options.limit):
                getattr(receiver, order.pop("call"))(**order)
                _say({"done": True})


if __name__ == "__main__":
    main()
