"""OTLP's JSON documents (TracesData, LogsData, MetricsData) to records, and records to lines again.

Source: opentelemetry-specification, "OpenTelemetry Protocol File Exporter": JSON lines, one document each.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from clew import schema
from clew.files.reader import values
from clew.files.reader.records import Json, LogRow, MetricRow, Origin, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator
    from pathlib import Path

    from clew.files.reader.records import ReadStats, Record

Row: TypeAlias = SpanRecord | LogRow | MetricRow
"""A record that can be written again."""

DOCUMENTS: Final = {"resourceSpans": "traces", "resourceLogs": "logs", "resourceMetrics": "metrics"}
"""The key that a document of each signal has."""

ALL_SIGNALS: Final = frozenset(schema.SIGNALS)

_POINTS: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def records(document: Json, path: Path, stats: ReadStats, keys: Container[str] = tuple(DOCUMENTS)) -> list[Record]:
    """Give all records of one document in its order; parts that are not what the protocol says are counted as foreign.

    Documents under other keys than `keys` are left out. The document is taken apart, so that a record which somebody
    keeps does not keep its whole batch in memory.
    """
    rows: list[Record] = []
    for key, parts in document.items():
        if key not in keys:
            continue
        scopes_key, items_key, make = _SHAPES[key]
        for part in parts if type(parts) is list else _foreign(parts, stats):
            scopes = part.pop(scopes_key, ()) if type(part) is dict else _ALIEN
            for scope_part in scopes if type(scopes) is list else _foreign(scopes, stats):
                items = scope_part.pop(items_key, ()) if type(scope_part) is dict else _ALIEN
                if type(items) is list:
                    make(items, _new(Origin, (part, scope_part, path, "otlp")), rows, stats)
                else:
                    _foreign(items, stats)
    return rows


def keys_of(signals: Collection[str]) -> frozenset[str]:
    """Return the keys of the documents that hold these signals."""
    return frozenset(key for key, signal in DOCUMENTS.items() if signal in signals)


def _foreign(value: Any, stats: ReadStats) -> tuple[()]:
    """Count what stands where a list of objects should; nothing at all is no list that is empty."""
    stats.foreign += value not in ((), None)
    return ()


_ALIEN: Final = object()
"""Stands for what is no object where one should be."""

_new: Final = tuple.__new__
"""Makes a record in a third of the time that its class takes: a full parse makes millions."""


def _spans(items: list[Any], origin: Origin, rows: list[Record], stats: ReadStats) -> None:
    for item in items:
        if type(item) is dict:
            rows.append(_new(SpanRecord, (item, origin)))
        else:
            stats.foreign += 1


def _logs(items: list[Any], origin: Origin, rows: list[Record], stats: ReadStats) -> None:
    for item in items:
        if type(item) is dict:
            rows.append(_new(LogRow, (item, origin)))
        else:
            stats.foreign += 1


def _metrics(items: list[Any], origin: Origin, rows: list[Record], stats: ReadStats) -> None:
    for metric in items:
        kind = next((kind for kind in _POINTS if kind in metric), _POINTS[0]) if type(metric) is dict else ""
        data = metric.get(kind, {}) if kind else _ALIEN
        points = data.pop("dataPoints", ()) if type(data) is dict else _ALIEN
        for point in points if type(points) is list else _foreign(points, stats):
            if type(point) is dict:
                rows.append(MetricRow(point, origin, metric, kind))
            else:
                stats.foreign += 1


_SHAPES: Final[dict[str, tuple[str, str, Callable[[list[Any], Origin, list[Record], ReadStats], None]]]] = {
    "resourceSpans": ("scopeSpans", "spans", _spans),
    "resourceLogs": ("scopeLogs", "logRecords", _logs),
    "resourceMetrics": ("scopeMetrics", "metrics", _metrics),
}
"""For each document: the key of its scopes, of their items, and what makes records of those."""


def lines(rows: Iterable[Row]) -> Iterator[tuple[str, bytes, int]]:
    """Write records as documents: signal, line with its newline, number of records.

    Neighbours of one origin come into one document, so what one line held becomes one line again for each of its
    scopes. Values that the reader does not know are kept, since a record is a view of what was read.
    """
    for key, part, count in _parts(rows):
        yield DOCUMENTS[key], orjson.dumps({key: [part]}) + b"\n", count


def requests(rows: Iterable[Row]) -> Iterator[tuple[str, bytes, int]]:
    """Write records as bodies of export requests, one for each signal among them: signal, body, number of records."""
    documents: dict[str, list[Json]] = {}
    counts: Counter[str] = Counter()
    for key, part, count in _parts(rows):
        documents.setdefault(key, []).append(part)
        counts[key] += count
    for key, parts in documents.items():
        yield DOCUMENTS[key], orjson.dumps({key: parts}), counts[key]


def _parts(rows: Iterable[Row]) -> Iterator[tuple[str, Json, int]]:
    """Put neighbours of one origin into one element of a document: its key, the element, number of records."""
    for (kind, origin), group in groupby(rows, key=lambda row: (type(row), row.origin)):
        batch = list(group)
        key = _KEYS[kind]
        scopes_key, items_key, _ = _SHAPES[key]
        items = _joined(batch) if kind is MetricRow else [row.raw for row in batch]
        yield key, {**origin.part, scopes_key: [{**origin.scope_part, items_key: items}]}, len(batch)


_KEYS: Final[dict[type, str]] = {SpanRecord: "resourceSpans", LogRow: "resourceLogs", MetricRow: "resourceMetrics"}


def _joined(rows: list[Any]) -> list[Json]:
    """Put the points of one metric together again."""
    metrics = []
    for _, group in groupby(rows, key=lambda row: id(row.metric)):
        points = list(group)
        metric, kind = points[0].metric, points[0].kind
        data = {**values.mapping(metric.get(kind)), "dataPoints": [point.raw for point in points]}
        metrics.append({**metric, kind: data})
    return metrics
