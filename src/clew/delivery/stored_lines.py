"""Stored lines back into requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from clew.delivery.transcode import count_in_line, payload_from_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.delivery.transport import Encoding

_RESOURCES: Final = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}


def join_lines(signal: str, lines: Sequence[bytes], encoding: Encoding) -> bytes:
    """Return one request with the records of all `lines`, in order.

    Raises:
        ValueError: If one of them is no request of `signal`.
    """
    if encoding == "protobuf":
        # Requests joined are the request with all their resources: field 1 is repeated.
        return b"".join([payload_from_line(signal, line) for line in lines])
    resources: list[Any] = []
    for line in lines:
        payload_from_line(signal, line)
        resources.extend(orjson.loads(line)[_RESOURCES[signal]])
    return orjson.dumps({_RESOURCES[signal]: resources})


_MARKS: Final = {"traces": b'"startTimeUnixNano":', "logs": b'"observedTimeUnixNano":'}
"""A key that Clew writes once for each record; a quote inside a string is escaped, so nothing else looks like it."""


def records_in(signal: str, line: bytes) -> int:
    """Count the records of a stored line; one that cannot be read counts as one."""
    mark = _MARKS.get(signal)
    if mark is not None:
        return line.count(mark) or 1
    try:
        return count_in_line(signal, line)
    except ValueError:
        return 1
