"""OTLP JSON lines: what the reader gives back is what was written, whatever else stands in the file."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.files.reader import otlp
from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, MetricRow, RawLine, ReadStats, SpanRecord
from clew.files.reader.sources import find_sources
from otlp_lines import TRACE_ID, counter, log, logs_line, metrics_line, span, spans_line, write

if TYPE_CHECKING:
    from pathlib import Path

    from clew.files.reader.records import Record


def _read_all(path: Path, stats: ReadStats | None = None, **options: Any) -> list[Record]:
    return list(read(find_sources([path]), stats or ReadStats(), **options))


hex_ids = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
span_ids = st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}")
times = st.integers(1, 2**63 - 1).map(str)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
any_values = st.recursive(
    st.one_of(
        st.builds(lambda text: {"stringValue": text}, texts),
        st.builds(lambda value: {"boolValue": value}, st.booleans()),
        st.builds(lambda number: {"intValue": str(number)}, st.integers(-(2**63), 2**63 - 1)),
        st.builds(lambda number: {"doubleValue": number}, st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(
            lambda data: {"bytesValue": data.hex()}, st.binary(max_size=6).filter(lambda data: len(data) % 2 == 0)
        ),
    ),
    lambda inner: st.one_of(
        st.builds(lambda values: {"arrayValue": {"values": values}}, st.lists(inner, max_size=3)),
        st.builds(
            lambda values: {"kvlistValue": {"values": [{"key": key, "value": value} for key, value in values.items()]}},
            st.dictionaries(texts, inner, max_size=3),
        ),
    ),
    max_leaves=5,
)
attributes = st.dictionaries(texts, any_values, max_size=4).map(
    lambda found: [{"key": key, "value": value} for key, value in found.items()]
)
log_records = st.fixed_dictionaries(
    {"timeUnixNano": times, "body": any_values},
    optional={
        "severityNumber": st.integers(0, 24),
        "attributes": attributes,
        "traceId": hex_ids,
        "spanId": span_ids,
        "eventName": texts,
    },
)
spans = st.fixed_dictionaries(
    {"traceId": hex_ids, "spanId": span_ids, "name": texts, "startTimeUnixNano": times, "endTimeUnixNano": times},
    optional={
        "parentSpanId": span_ids,
        "kind": st.integers(0, 5),
        "attributes": attributes,
        "status": st.just({"code": 2}),
    },
)


def _documents_of(outer: str, scopes: str, items: str, item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    scope = st.fixed_dictionaries(
        {"scope": st.builds(lambda name: {"name": name}, texts), items: st.lists(item, max_size=3)}
    )
    resource = st.fixed_dictionaries(
        {"resource": st.builds(lambda found: {"attributes": found}, attributes), scopes: st.lists(scope, max_size=2)},
        optional={"schemaUrl": texts},
    )
    return st.builds(lambda parts: {outer: parts}, st.lists(resource, max_size=2))


documents = st.one_of(
    _documents_of("resourceLogs", "scopeLogs", "logRecords", log_records),
    _documents_of("resourceSpans", "scopeSpans", "spans", spans),
)


def flat(document: dict[str, Any]) -> list[Any]:
    """Return each item of a document with its resource and scope."""
    return [
        (part.get("resource"), scope.get("scope"), item)
        for key, (scopes, items, _) in otlp._SHAPES.items()
        for part in document.get(key, [])
        for scope in part[scopes]
        for item in scope[items]
    ]


@given(st.lists(documents, max_size=4))
def test_read_and_written_is_the_same(tmp_path_factory: pytest.TempPathFactory, parts: list[Any]) -> None:
    """What the reader gives back, written again and read again, holds the same resources, scopes and items."""
    path = tmp_path_factory.mktemp("otlp") / "logs.jsonl"
    path.write_bytes(b"".join(orjson.dumps(part) + b"\n" for part in parts))
    expected = [item for part in json.loads(json.dumps(parts)) for item in flat(part)]

    rows = [row for row in _read_all(path) if not isinstance(row, RawLine)]
    written = [orjson.loads(line) for _, line, _ in otlp.lines(rows)]

    assert expected == [item for document in written for item in flat(document)]


@given(st.lists(documents, min_size=1, max_size=3), st.integers(0, 10**6))
def test_torn_file_keeps_earlier_lines(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Any], torn_at: int
) -> None:
    """A file that ends at any byte gives all records of the lines before."""
    path = tmp_path_factory.mktemp("torn") / "logs.jsonl"
    lines = [orjson.dumps(part) + b"\n" for part in parts]
    data = b"".join(lines)
    path.write_bytes(data[: torn_at % (len(data) + 1)])
    whole = path.read_bytes().count(b"\n")
    expected = [item for line in lines[:whole] for item in flat(orjson.loads(line))]

    rows = [row.raw for row in _read_all(path) if not isinstance(row, RawLine)]

    assert [item for _, _, item in expected] == rows[: len(expected)]


@given(st.data())
@settings(max_examples=60)
def test_lookup_by_bytes_equals_full_parse(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Looking for IDs by bytes first finds the same records as parsing every line."""
    ids = data.draw(st.lists(hex_ids, min_size=1, max_size=4))
    made = data.draw(st.lists(st.lists(st.sampled_from(ids), max_size=5), max_size=8))
    path = tmp_path_factory.mktemp("lookup") / "logs.jsonl"
    write(path, *(logs_line("shop", *(log(trace_id=one, uid="u") for one in line)) for line in made))
    wanted = set(data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3)))

    def of_wanted(rows: list[Record]) -> list[Any]:
        return [row.raw for row in rows if isinstance(row, LogRow) and row.trace_id in wanted]

    found = _read_all(path, needles=[one.encode() for one in wanted])

    assert of_wanted(_read_all(path)) == of_wanted(found)


def test_body_that_is_an_object(tmp_path: Path) -> None:
    """A body that is an object, as an event's is, reads as JSON."""
    values = [{"key": "page", "value": {"stringValue": "é"}}, {"key": "n", "value": {"intValue": "2"}}]
    write(tmp_path / "logs.jsonl", logs_line("a", {**log(), "body": {"kvlistValue": {"values": values}}}))

    (row,) = _read_all(tmp_path)

    assert isinstance(row, LogRow)
    assert ({"page": "é", "n": 2}, '{"page": "é", "n": 2}') == (row.body, row.message)


def test_examples_of_all_signals(tmp_path: Path) -> None:
    """Documents of all signals, written over several lines as people format them, are read with all their values."""
    metric = {
        "name": "http.server.request.duration",
        "unit": "s",
        "histogram": {
            "aggregationTemporality": 1,
            "dataPoints": [
                {"timeUnixNano": "2", "count": "2", "sum": 2.5, "bucketCounts": ["1", "1"], "explicitBounds": [1]},
            ],
        },
    }
    for name, line in {
        "trace.json": spans_line("my.service", span("eee19b7ec3c1b174", "I'm a server span", kind=2)),
        "logs.json": logs_line("my.service", log("Example log record", severity=10, level="Information")),
        "metrics.json": metrics_line("my.service", counter("my.counter", 5), metric),
    }.items():
        (tmp_path / name).write_text(json.dumps(json.loads(line), indent=2))

    found = {type(row).__name__: row for row in _read_all(tmp_path)}

    span_row, log_row, metric_row = found["SpanRecord"], found["LogRow"], found["MetricRow"]
    assert isinstance(span_row, SpanRecord)
    assert isinstance(log_row, LogRow)
    assert isinstance(metric_row, MetricRow)
    assert ("my.service", "I'm a server span", "server", 10_000_000) == (
        span_row.service,
        span_row.name,
        span_row.kind,
        span_row.duration_ns,
    )
    assert ("Example log record", "Information", 10) == (
        log_row.message,
        log_row.severity_text,
        log_row.severity_number,
    )
    assert ("http.server.request.duration", "s", True, 2, 2.5) == (
        metric_row.name,
        metric_row.unit,
        metric_row.is_delta,
        metric_row.count,
        metric_row.value,
    )


def test_ids_in_any_form(tmp_path: Path) -> None:
    """IDs in upper case, in base64 and enums by name, as some writers print them, come out alike."""
    upper = span("EEE19B7EC3C1B174", trace_id=TRACE_ID.upper())
    base64 = {
        **span("7uGbfsPBsXQ="),
        "traceId": "S/kvNXezTaajzpKdDg5HNg==",
        "kind": "SPAN_KIND_SERVER",
        "status": {"code": "STATUS_CODE_ERROR"},
    }
    path = write(tmp_path / "traces.jsonl", spans_line("a", upper, base64))

    rows = [row for row in _read_all(path) if isinstance(row, SpanRecord)]

    assert [(TRACE_ID, "eee19b7ec3c1b174")] * 2 == [(row.trace_id, row.span_id) for row in rows]
    assert [("internal", "unset"), ("server", "error")] == [(row.kind, row.status) for row in rows]


def test_values_are_decoded(tmp_path: Path) -> None:
    """Attributes come out as plain values: 64-bit integers, doubles, bytes, lists and maps."""
    values = {
        "text": {"stringValue": "a"},
        "int": {"intValue": "9223372036854775807"},
        "nan": {"doubleValue": "NaN"},
        "bytes": {"bytesValue": "AAE="},
        "list": {"arrayValue": {"values": [{"intValue": 1}, {"boolValue": True}]}},
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}},
        "empty": {},
    }
    record = {**log(), "attributes": [{"key": key, "value": value} for key, value in values.items()]}
    path = write(tmp_path / "logs.jsonl", logs_line("a", record))

    (row,) = _read_all(path)

    assert isinstance(row, LogRow)
    found = row.attributes
    assert "nan" == str(found.pop("nan"))
    assert {
        "text": "a",
        "int": 2**63 - 1,
        "bytes": b"\x00\x01",
        "list": [1, True],
        "map": {"k": 0.5},
        "empty": None,
    } == found


@pytest.mark.parametrize(
    "document",
    [
        {"resourceLogs": 5},
        {"resourceLogs": [[{"logRecords": [{}]}]]},
        {"resourceLogs": [{"scopeLogs": [[{}]]}]},
        {"resourceMetrics": [{"scopeMetrics": [{"metrics": [[{}], {"sum": [{}]}]}]}]},
        {"resourceLogs": [5, None]},
        {"resourceLogs": [{"scopeLogs": {"a": 1}}]},
        {"resourceLogs": [{"resource": 3, "scopeLogs": [{"scope": [], "logRecords": [1, "x", []]}]}]},
        {
            "resourceSpans": [
                {"scopeSpans": [{"spans": [{"attributes": {"a": 1}, "events": 7, "status": [], "kind": {}}]}]}
            ]
        },
        {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 3, "sum": []}, 4]}]}]},
        {
            "resourceLogs": [
                {"scopeLogs": [{"logRecords": [{"timeUnixNano": {}, "body": [], "attributes": [3, {"key": 1}]}]}]}
            ]
        },
    ],
)
def test_foreign_shapes_never_raise(tmp_path: Path, document: dict[str, Any]) -> None:
    """An object that is not what the protocol says gives empty values or is counted, and never an error."""
    path = write(tmp_path / "logs.jsonl", orjson.dumps(document) + b"\n", logs_line("a", log("after")))

    rows = _read_all(path)
    for row in rows:
        names = [name for name in dir(type(row)) if not name.startswith("_") and name != "attribute"]
        assert [name for name in names if not hasattr(row, name)] == []

    assert isinstance(rows[-1], LogRow)
    assert "after" == rows[-1].message


def test_torn_line_continued_by_a_whole_one(tmp_path: Path) -> None:
    """After a full disk the next record stands behind the torn one, on its line: it is not lost with it."""
    torn = logs_line("a", log("lost"))[:60]
    path = write(tmp_path / "logs.jsonl", logs_line("a", log("first")), torn + logs_line("a", log("second")), b"\n\n")
    stats = ReadStats()

    rows = _read_all(path, stats)

    assert ["first", "second"] == [row.message for row in rows if isinstance(row, LogRow)]
    assert (1, 0, 2) == (stats.torn, stats.foreign, stats.blank)


def test_foreign_lines_are_kept_and_counted(tmp_path: Path) -> None:
    """Lines in no known form between OTLP lines come as raw lines, in their place."""
    path = write(tmp_path / "logs.jsonl", logs_line("a", log("one")), b"what is this\n", logs_line("a", log("two")))
    stats = ReadStats()

    rows = _read_all(path, stats)

    assert ["LogRow", "RawLine", "LogRow"] == [type(row).__name__ for row in rows]
    assert (1, 1, 3, 2) == (stats.foreign, stats.raw, stats.lines, stats.records)


@pytest.mark.parametrize("form", ["gzip", "gzip members", "zstd", "zstd frames", "zstd messages"])
def test_compressed_forms(tmp_path: Path, form: str) -> None:
    """Each compression is told by its first bytes: one stream, several, the Collector's length-prefixed one."""
    one, two = logs_line("a", log("one")), logs_line("a", log("two"))
    compress = zstandard.ZstdCompressor().compress
    data = {
        "gzip": gzip.compress(one + two),
        "gzip members": gzip.compress(one) + gzip.compress(two),
        "zstd": compress(one + two),
        "zstd frames": compress(one) + compress(two),
        "zstd messages": b"".join(
            len(message).to_bytes(4, "big") + message for message in (compress(one.rstrip()), compress(two.rstrip()))
        ),
    }[form]
    path = tmp_path / "logs.jsonl.any"
    path.write_bytes(data)

    assert ["one", "two"] == [row.message for row in _read_all(path) if isinstance(row, LogRow)]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_damaged_compression_gives_what_came_before(tmp_path: Path, suffix: str) -> None:
    """A compressed file that ends early gives the lines before its end."""
    lines = b"".join(logs_line("a", log(f"{number} {number * 7919 % 10007}")) for number in range(3000))
    data = gzip.compress(lines) if suffix == "gz" else zstandard.ZstdCompressor().compress(lines)
    path = tmp_path / f"logs.jsonl.{suffix}"
    path.write_bytes(data[: len(data) * 2 // 3])
    stats = ReadStats()

    rows = [row for row in _read_all(path, stats) if isinstance(row, LogRow)]

    assert 500 < len(rows) < 3000
    assert [f"{number} {number * 7919 % 10007}" for number in range(len(rows))] == [row.message for row in rows]


def test_signals_are_chosen(tmp_path: Path) -> None:
    """Records of signals that are not asked for are left out, also in a file that mixes them."""
    path = write(
        tmp_path / "all.jsonl",
        spans_line("a", span("1" * 16)),
        logs_line("a", log()),
        metrics_line("a", counter("c", 1)),
    )

    assert ["LogRow"] == [type(row).__name__ for row in _read_all(path, signals=("logs",))]


def test_kept_record_does_not_keep_its_batch(tmp_path: Path) -> None:
    """A record refers to its resource and scope, not to its neighbours, which would stay in memory with it."""
    path = write(tmp_path / "logs.jsonl", logs_line("a", log("one"), log("two")))

    row = _read_all(path)[0]

    assert isinstance(row, LogRow)
    assert b"two" not in orjson.dumps([row.origin.part, row.origin.scope_part, row.raw])
