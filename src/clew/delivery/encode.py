"""A batch of any signal to the bytes of one request, in either encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import _logs
from opentelemetry.sdk.resources import Resource

from clew.delivery import json, protobuf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.delivery.attributes import Redactor
    from clew.delivery.encoding import Encoded, Rest
    from clew.delivery.transport import Encoding

_EMPTY = Resource.get_empty()


def current_resource() -> Resource:
    """Return the resource of log records that come past the SDK: the logger provider's."""
    resource = getattr(_logs.get_logger_provider(), "resource", None)
    return resource if isinstance(resource, Resource) else _EMPTY


def service_name() -> str:
    """Return the service's name for file names."""
    return str(current_resource().attributes.get("service.name") or "")


def encode(
    signal: str, encoding: Encoding, items: Sequence[Any], redact: Redactor | None, rest: Rest | None = None
) -> Encoded:
    """Encode the items of one batch.

    Args:
        signal: logs takes LogEntry, traces ReadableSpan or what `sdk.read_span` made of it, metrics one MetricsData.
        encoding: protobuf, or json for one line with its newline.
        items: The batch.
        redact: What takes secrets out.
        rest: Called after each slice of the batch, to let other threads run.
    """
    codec: Any = protobuf if encoding == "protobuf" else json
    encoded: Encoded
    if signal == "logs":
        encoded = codec.encode_logs(items, current_resource(), redact=redact, rest=rest)
    elif signal == "traces":
        encoded = codec.encode_spans(items, redact=redact, rest=rest)
    else:
        encoded = codec.encode_metrics(items[0], redact=redact)
    return encoded
