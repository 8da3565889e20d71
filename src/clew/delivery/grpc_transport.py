"""OTLP over gRPC: one call out, an `Outcome` back."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

from clew.delivery.transport import Encoding, Outcome, abandoned, accepted

if TYPE_CHECKING:
    from collections.abc import Callable

_METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_TOO_LARGE_CODES: Final = frozenset({"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"})
_TOO_LARGE: Final = re.compile(r"larger than max|exceeds (?:the )?max|too large")
"""How servers in C++ and Go, in Java and .NET, and in Rust say that a message is; no code says it alone."""

_BARE: Final = "google.rpc.retryinfo-bin"
_DETAILS: Final = "grpc-status-details-bin"


class GrpcTransport:
    """One endpoint of one signal; the channel is made at the first `send`, in the process that sends."""

    encoding: Encoding = "protobuf"

    def __init__(
        self,
        signal: str,
        *,
        endpoint: str,
        make_channel: Callable[[], Any],
        metadata: tuple[tuple[str, str], ...],
        retryable: frozenset[Any],
        timeout_s: float,
    ) -> None:
        self.endpoint, self.timeout_s = endpoint, timeout_s
        self._signal, self._make_channel, self._metadata, self._retryable = signal, make_channel, metadata, retryable
        self._channel: Any = None
        self._call: Any = None

    def send(self, payload: bytes, timeout_s: float) -> Outcome:
        """Call Export once; never raises."""
        try:
            body = self._export()(payload, timeout=timeout_s, metadata=self._metadata)
        except Exception as error:  # noqa: BLE001 - grpc.RpcError, or anything that a channel's credentials raise
            return self._failed(error)
        return accepted(self._signal, "protobuf", body)

    def _export(self) -> Any:
        if self._call is None:
            self._channel = self._make_channel()
            self._call = self._channel.unary_unary(_METHODS[self._signal])
        return self._call

    def _failed(self, error: Any) -> Outcome:
        code = error.code() if callable(getattr(error, "code", None)) else None
        name = getattr(code, "name", None)
        if name is None:
            self.close()
            return Outcome("unreachable", detail=f"{type(error).__name__}: {error}")
        text = str(error.details() or "")
        if name in _TOO_LARGE_CODES and _TOO_LARGE.search(text):
            return Outcome("too_large", detail=name)
        if code not in self._retryable:
            return Outcome("invalid" if name == "INVALID_ARGUMENT" else "refused", detail=name)
        if name in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
            # A channel that lost its peer waits longer and longer before it looks again; a new one looks at once.
            self.close()
            return Outcome("unreachable", 0, f"{name}: {text}", _retry_delay_s(error))
        return Outcome("busy", 0, name, _retry_delay_s(error))

    def close(self) -> None:
        """Close the channel."""
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            with contextlib.suppress(Exception):
                channel.close()

    def abandon(self) -> None:
        """Forget the parent's channel: its threads are not in this process, so it cannot be closed."""
        abandoned.append((self._channel, self._call))
        self._channel = self._call = None


def _retry_delay_s(error: Any) -> float | None:
    """Return what RetryInfo in the trailing metadata says: among a status's details, as a Collector has it, or bare."""
    from google.rpc.error_details_pb2 import RetryInfo  # noqa: PLC0415 - read only after a failure
    from google.rpc.status_pb2 import Status  # noqa: PLC0415 - likewise

    try:
        metadata = dict(error.trailing_metadata() or ())
        details = Status.FromString(metadata.get(_DETAILS, b"")).details
        packed = [detail.value for detail in details if detail.Is(RetryInfo.DESCRIPTOR)]
        packed += [metadata[_BARE]] if _BARE in metadata else []
        delay = RetryInfo.FromString(packed[0]).retry_delay if packed else None
    except Exception:  # noqa: BLE001 - what a proxy puts there is no reason to fail
        return None
    return None if delay is None else max(0.0, float(delay.seconds) + float(delay.nanos) / 1e9)
