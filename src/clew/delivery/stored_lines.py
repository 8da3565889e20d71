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


_SCOPES: Final = {"traces": "scopeSpans", "metrics": "scopeMetrics", "logs": "scopeLogs"}
_RECORDS: Final = {"traces": "spans", "metrics": "metrics", "logs": "logRecords"}


def halve_line(signal: str, line: bytes) -> tuple[bytes, bytes] | None:
    """Return a stored line as two with half of its records each, or None if there is but one, or none to be read."""
    try:
        parts = [
            (resource, scope, record)
            for resource in orjson.loads(line)[_RESOURCES[signal]]
            for scope in resource[_SCOPES[signal]]
            for record in scope[_RECORDS[signal]]
        ]
    except (ValueError, LookupError, TypeError):
        return None
    middle = len(parts) // 2
    return (_line(signal, parts[:middle]), _line(signal, parts[middle:])) if middle else None


def _line(signal: str, parts: Sequence[tuple[dict[str, Any], dict[str, Any], Any]]) -> bytes:
    """Write records, each under a resource and a scope of its own, as a line."""
    resources = [
        {**resource, _SCOPES[signal]: [{**scope, _RECORDS[signal]: [record]}]} for resource, scope, record in parts
    ]
    return orjson.dumps({_RESOURCES[signal]: resources}) + b"\n"


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
