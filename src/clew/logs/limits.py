"""OpenTelemetry's limits of a log record's attributes: how many, and how long their strings.

The caller's own attributes count; those that Clew adds, such as the place in the source, are never the ones left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.entry import LogEntry, Value
    from clew.otel_variables import AttributeLimits


def bound(entry: LogEntry, limits: AttributeLimits) -> LogEntry:
    """Return `entry` within `limits`; what is left out is counted in `dropped_attributes`."""
    attributes = entry.attributes
    if not attributes or (limits.length is None and (limits.count is None or len(attributes) <= limits.count)):
        return entry
    kept = list(attributes.items())[: limits.count]
    return entry._replace(
        attributes={key: _cut(value, limits.length) for key, value in kept} or None,
        dropped_attributes=entry.dropped_attributes + len(attributes) - len(kept),
    )


def _cut(value: Value, length: int | None) -> Value:
    """Return `value` with no string in it longer than `length`."""
    if length is None:
        return value
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, (list, tuple)):
        return [_cut(item, length) for item in value]
    if isinstance(value, dict):
        return {key: _cut(item, length) for key, item in value.items()}
    return value
