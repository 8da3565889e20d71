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
    from collections.abc import Callable, Container, Iterable, Iterator
    from pathlib import Path

    from clew.files.reader.records import ReadStats, Record

Row: TypeAlias = SpanRecord | LogRow | MetricRow
"""A record that can be written again."""

DOCUMENTS: Final = {"resourceSpans": "traces", "resourceLogs": "logs", "resourceMetrics": "metrics"}
"""The key that a document of each signal has."""

ALL_SIGNALS: Final = frozenset(schema.SIGNALS)

_POINTS: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def records(document: Json, path: Path, stats: ReadStats, signals: Container[str] = ALL_SIGNALS) -> list[Record]:
    """Give all records of one document in its order; parts that are not what the protocol says are counted as foreign.

    The document is taken apart, so that a record which somebody keeps does not keep its whole batch in memory.
    """
    rows: list[Record] = []
    for key in document:
        if DOCUMENTS.get(key) not in signals:
            continue
        scopes_key, items_key, make = _SHAPES[key]
        for part in _objects(document[key], stats):
            for scope_part in _objects(part.pop(scopes_key, None), stats):
                items = _objects(scope_part.pop(items_key, None), stats)
                rows += make(items, Origin(part, scope_part, path), stats)
    return rows


def _spans(items: list[Json], origin: Origin, _stats: ReadStats) -> list[SpanRecord]:
    return [SpanRecord(item, origin) for item in items]


def _logs(items: list[Json], origin: Origin, _stats: ReadStats) -> list[LogRow]:
    return [LogRow(item, origin) for item in items]


def _metrics(items: list[Json], origin: Origin, stats: ReadStats) -> list[MetricRow]:
    rows = []
    for metric in items:
        kind = next((kind for kind in _POINTS if kind in metric), _POINTS[0])
        points = _objects(values.mapping(metric.get(kind)).pop("dataPoints", None), stats)
        rows += [MetricRow(point, origin, metric, kind) for point in points]
    return rows


_SHAPES: Final[dict[str, tuple[str, str, Callable[[list[Json], Origin, ReadStats], list[Any]]]]] = {
    "resourceSpans": ("scopeSpans", "spans", _spans),
    "resourceLogs": ("scopeLogs", "logRecords", _logs),
    "resourceMetrics": ("scopeMetrics", "metrics", _metrics),
}
"""For each document: the key of its scopes, of their items, and what makes records of those."""


def lines(rows: Iterable[Row]) -> Iterator[tuple[str, bytes, int]]:
    """Write records as documents: signal, line with its newline, number of records.

    Neighbours that share an origin come into one document, so what one line held becomes one line again for each of
    its scopes. Values that the reader does not know are kept, since a record is a view of what was read.
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


def _objects(items: Any, stats: ReadStats) -> list[Json]:
    """Return the objects of a list and count what else it holds."""
    if type(items) is not list:
        stats.foreign += items is not None
        return []
    kept = [item for item in items if type(item) is dict]
    if len(kept) != len(items):
        stats.foreign += len(items) - len(kept)
    return kept
