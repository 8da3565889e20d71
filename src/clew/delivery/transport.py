"""One try at an endpoint: bytes out, an `Outcome` back. Which bytes, when, and how often is decided elsewhere.

A plain endpoint is spoken to by `PlainExchange`; one with TLS, a proxy or credentials of its own by upstream's
transport, and gRPC by `GrpcTransport`.
"""

from __future__ import annotations

import gzip
import time
import zlib
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Encoding = Literal["protobuf", "json"]

_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_REFUSALS: Final[dict[int, Literal["invalid", "too_large"]]] = {400: "invalid", 413: "too_large", 422: "invalid"}
CONTENT_TYPES: Final = {"protobuf": "application/x-protobuf", "json": "application/json"}
_MAX_TOLD: Final = 500
"""Characters of a server's message that a person is told at most."""

_RESPONSES: Final[dict[str, tuple[Any, str, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
}


class Outcome(NamedTuple):
    """What became of one try.

    `unreachable`: nobody answered. `busy`: asked to come again, after `retry_after_s` if that was said. `refused`:
    nothing of it will ever be taken. `invalid` and `too_large`: may be taken in part, or in parts. `rejected` counts
    records of an accepted request that were not taken. `detail` is for a person and holds no secrets.
    """

    kind: Literal["accepted", "busy", "unreachable", "refused", "invalid", "too_large"]
    rejected: int = 0
    detail: str = ""
    retry_after_s: float | None = None


class Transport(Protocol):
    """One endpoint of one signal; used by one thread at a time."""

    endpoint: str
    encoding: Encoding
    timeout_s: float

    def send(self, payload: bytes, timeout_s: float) -> Outcome:
        """Try once; never raises."""

    def close(self) -> None:
        """Give the connection up; a later `send` makes a new one."""

    def abandon(self) -> None:
        """Forget the parent's connection in a forked child without a word to the other side."""


abandoned: Final[list[Any]] = []
"""Connections of a parent process, kept: to collect one would run what needs threads that a child does not have."""


class Exchange(Protocol):
    """One POST: what a transport of upstream's does for `HttpTransport`."""

    def post(self, body: bytes, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body.

        Raises:
            Exception: If nobody answered.
        """

    def close(self) -> None:
        """Give the connection up."""

    def abandon(self) -> None:
        """Forget the connection."""


class HttpTransport:
    """OTLP over HTTP."""

    def __init__(
        self, signal: str, exchange: Exchange, *, endpoint: str, encoding: Encoding, compression: str, timeout_s: float
    ) -> None:
        self.endpoint, self.encoding, self.timeout_s = endpoint, encoding, timeout_s
        self._signal = signal
        self._exchange = exchange
        self._compress = COMPRESSIONS[compression]

    def send(self, payload: bytes, timeout_s: float) -> Outcome:
        """Post once; never raises."""
        try:
            status, headers, body = self._exchange.post(self._compress(payload), timeout_s)
        except Exception as error:  # noqa: BLE001 - each transport has errors of its own; all mean that nobody answered
            return Outcome("unreachable", detail=f"{type(error).__name__}: {error}")
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes
            return accepted(self._signal, self.encoding, body)
        if status in _RETRYABLE:
            return Outcome("busy", 0, f"HTTP {status}", retry_after_s(_header(headers, "retry-after")))
        return Outcome(_REFUSALS.get(status, "refused"), detail=f"HTTP {status}")

    def close(self) -> None:
        """Close the connection."""
        self._exchange.close()

    def abandon(self) -> None:
        """Forget the parent's connection."""
        self._exchange.abandon()


def accepted(signal: str, encoding: Encoding, body: bytes) -> Outcome:
    """Return the outcome of an accepted request; partial success says how many records were not taken."""
    if not body:
        return Outcome("accepted")
    message, field, json_field = _RESPONSES[signal]
    try:
        if encoding == "json":
            partial = orjson.loads(body).get("partialSuccess") or {}
            rejected, told = int(partial.get(json_field) or 0), str(partial.get("errorMessage") or "")
        else:
            partial = message.FromString(body).partial_success
            rejected, told = int(getattr(partial, field)), partial.error_message
        return Outcome("accepted", max(0, rejected), told[:_MAX_TOLD])
    except Exception:  # noqa: BLE001 - a body in another form, as some servers send, takes nothing back
        return Outcome("accepted")


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header by its name in lowercase, whatever its case on the wire."""
    return next((text for key, text in headers.items() if key.lower() == name), None)


def retry_after_s(text: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Parse a Retry-After header: seconds, or an HTTP date."""
    if text is None:
        return None
    try:
        return max(0.0, float(text)) if float(text) < float("inf") else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text.strip())
        # One without a zone is in UTC, as all HTTP dates are.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now())
    except (TypeError, ValueError, OverflowError):
        return None


def _gzip(payload: bytes) -> bytes:
    """Compress at level 1: a third of the CPU of the default for a tenth more bytes."""
    return gzip.compress(payload, 1)


def _deflate(payload: bytes) -> bytes:
    return zlib.compress(payload, 1)


COMPRESSIONS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"none": bytes, "gzip": _gzip, "deflate": _deflate}
"""What each value of OTEL_EXPORTER_OTLP_COMPRESSION does."""
