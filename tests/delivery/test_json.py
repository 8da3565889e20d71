"""The JSON encoder: the same meaning as the protobuf one, in the form that OTLP's specification gives."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.common._log_encoder import encode_logs as encode_logs_upstream
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans as encode_spans_upstream
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as encode_metrics_upstream
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind
from otlp_strategies import awkward, entries, record_of, resources, spans

from clew.delivery import json as otlp_json
from clew.delivery import protobuf
from clew.delivery.transcode import count_in_line, payload_from_line
from clew.entry import LogEntry

RESOURCE = Resource({"service.name": "shop"})


def with_base64_ids(tree: Any) -> Any:
    """Return OTLP JSON as protobuf's own JSON mapping has it."""
    if isinstance(tree, list):
        return [with_base64_ids(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        key: b64encode(bytes.fromhex(value)).decode() if key in ids else with_base64_ids(value)
        for key, value in tree.items()
    }


def parse_by_protobuf(line: bytes, message: Any) -> Any:
    """Parse a line by protobuf's own JSON parser, which refuses what it does not know."""
    return ParseDict(with_base64_ids(json.loads(line)), message())


def parse(signal: str, line: bytes) -> Any:
    """Parse a line by way of replay, which leaves out what only one side writes, such as empty IDs."""
    message = {"logs": ExportLogsServiceRequest, "traces": ExportTraceServiceRequest}[signal]
    return message.FromString(payload_from_line(signal, line))


class TestLogs:
    """`encode_logs`."""

    @given(st.lists(entries(), max_size=4), resources)
    def test_equals_protobuf(self, batch: list[LogEntry], resource: Resource) -> None:
        """Any entries mean the same as a line and as protobuf bytes."""
        expected = ExportLogsServiceRequest.FromString(protobuf.encode_logs(batch, resource).payload)

        encoded = otlp_json.encode_logs(batch, resource)

        assert expected == parse_by_protobuf(encoded.payload, ExportLogsServiceRequest)
        assert (len(batch), 0) == (encoded.count, encoded.rejected)

    @given(st.lists(entries(), max_size=3), resources)
    def test_equals_upstream(self, batch: list[LogEntry], resource: Resource) -> None:
        """A line means what the line of upstream's JSON exporter means."""
        expected = encode_logs_upstream([record_of(item, resource) for item in batch]).to_dict()

        line = otlp_json.encode_logs(batch, resource).payload

        assert parse("logs", json.dumps(expected).encode()) == parse("logs", line)

    @given(st.lists(entries(awkward), max_size=4))
    def test_replays(self, batch: list[LogEntry]) -> None:
        """A stored line becomes the payload that the entries would have been sent as, whatever they hold."""
        expected = protobuf.encode_logs(batch, RESOURCE).payload

        line = otlp_json.encode_logs(batch, RESOURCE).payload

        assert repr(ExportLogsServiceRequest.FromString(expected)) == repr(
            ExportLogsServiceRequest.FromString(payload_from_line("logs", line))
        )
        assert len(batch) == count_in_line("logs", line)

    @given(st.lists(entries(awkward), max_size=3))
    def test_is_one_line(self, batch: list[LogEntry]) -> None:
        """Whatever entries hold, a batch is one line of JSON that ends in its only newline."""
        line = otlp_json.encode_logs(batch, RESOURCE).payload

        assert line.endswith(b"\n")
        assert 1 == line.count(b"\n")
        assert isinstance(json.loads(line), dict)

    def test_writes_the_specified_form(self) -> None:
        """Field names are lowerCamelCase, IDs hex, 64-bit numbers strings, bytes base64, other doubles texts."""
        attributes: Any = {"i": 2**53 + 1, "nan": float("nan"), "inf": -float("inf"), "raw": b"\x00\xff", "n": [None]}
        made = LogEntry(
            1, 17, "ERROR", "app", {"a": 1.5}, "boot", 0xAB, 0xCD, 1, "c-1", attributes, None, None, None, "uid-1"
        )

        line = otlp_json.encode_logs([made], RESOURCE).payload

        assert {
            "resourceLogs": [
                {
                    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                    "scopeLogs": [
                        {
                            "scope": {"name": "app"},
                            "logRecords": [
                                {
                                    "timeUnixNano": "1",
                                    "observedTimeUnixNano": "1",
                                    "severityNumber": 17,
                                    "severityText": "ERROR",
                                    "body": {"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": 1.5}}]}},
                                    "attributes": [
                                        {"key": "i", "value": {"intValue": "9007199254740993"}},
                                        {"key": "nan", "value": {"doubleValue": "NaN"}},
                                        {"key": "inf", "value": {"doubleValue": "-Infinity"}},
                                        {"key": "raw", "value": {"bytesValue": "AP8="}},
                                        {"key": "n", "value": {"arrayValue": {"values": [{}]}}},
                                        {"key": "correlation.id", "value": {"stringValue": "c-1"}},
                                        {"key": "log.record.uid", "value": {"stringValue": "uid-1"}},
                                    ],
                                    "flags": 1,
                                    "traceId": "000000000000000000000000000000ab",
                                    "spanId": "00000000000000cd",
                                    "eventName": "boot",
                                }
                            ],
                        }
                    ],
                }
            ]
        } == json.loads(line)

    def test_rejects_alone(self) -> None:
        """A record that cannot be is left out and counted, as in protobuf."""
        good = LogEntry(1, 9, "INFO", "app", "hi", None, 0, 0, 0, None, None, None, None, None, None)
        batch = [good, good._replace(time_ns=2**64), good._replace(span_id=-1), good]

        encoded = otlp_json.encode_logs(batch, RESOURCE)

        assert (2, 2) == (encoded.count, encoded.rejected)
        assert 2 == count_in_line("logs", encoded.payload)


class TestSpans:
    """`encode_spans`."""

    @given(st.lists(spans(), max_size=4))
    def test_equals_protobuf(self, batch: list[ReadableSpan]) -> None:
        """Any spans mean the same as a line, as protobuf bytes, and as a line turned into those."""
        expected = ExportTraceServiceRequest.FromString(protobuf.encode_spans(batch).payload)

        line = otlp_json.encode_spans(batch).payload

        assert expected == parse_by_protobuf(line, ExportTraceServiceRequest)
        assert expected == ExportTraceServiceRequest.FromString(payload_from_line("traces", line))
        assert len(batch) == count_in_line("traces", line)

    @given(st.lists(spans(), max_size=3))
    def test_equals_upstream(self, batch: list[ReadableSpan]) -> None:
        """A line means what the line of upstream's JSON exporter means."""
        expected = encode_spans_upstream(batch).to_dict()

        line = otlp_json.encode_spans(batch).payload

        assert parse("traces", json.dumps(expected).encode()) == parse("traces", line)

    def test_writes_the_specified_form(self) -> None:
        """Kinds, codes and flags are numbers."""
        span = ReadableSpan(
            "GET /",
            SpanContext(1, 2, is_remote=False),
            parent=SpanContext(1, 3, is_remote=True),
            kind=SpanKind.SERVER,
            start_time=1,
            end_time=2,
        )

        (of_resource,) = json.loads(otlp_json.encode_spans([span], RESOURCE).payload)["resourceSpans"]

        assert [
            {
                "scope": {"name": ""},
                "spans": [
                    {
                        "traceId": "0" * 31 + "1",
                        "spanId": "0" * 15 + "2",
                        "parentSpanId": "0" * 15 + "3",
                        "flags": 768,
                        "name": "GET /",
                        "kind": 2,
                        "startTimeUnixNano": "1",
                        "endTimeUnixNano": "2",
                        "status": {},
                    }
                ],
            }
        ] == of_resource["scopeSpans"]


def measured() -> MetricsData:
    """Return metrics of every kind, one with an exemplar."""
    reader = InMemoryMetricReader()
    views = [View(instrument_name="sizes", aggregation=ExponentialBucketHistogramAggregation())]
    meter = MeterProvider([reader], RESOURCE, views=views, shutdown_on_exit=False).get_meter("app", "1", None, {"a": 1})
    meter.create_counter("requests").add(3, {"route": "/", "ok": True})
    meter.create_up_down_counter("active").add(-2)
    meter.create_gauge("temperature").set(21.5)
    with TracerProvider(shutdown_on_exit=False).get_tracer("app").start_as_current_span("work"):
        meter.create_histogram("duration", "s").record(0.25, {"route": "/"})
    for size in (0, 1, 1000):
        meter.create_histogram("sizes").record(size)
    data = reader.get_metrics_data()
    assert data is not None
    return data


class TestMetrics:
    """`encode_metrics`."""

    def test_equals_upstream(self) -> None:
        """Sums, gauges, histograms of both kinds and exemplars mean the same in each encoding, and after replay."""
        data = measured()
        expected = encode_metrics_upstream(data)

        encoded = otlp_json.encode_metrics(data)

        assert expected == parse_by_protobuf(encoded.payload, ExportMetricsServiceRequest)
        replayed = payload_from_line("metrics", encoded.payload)
        assert expected == ExportMetricsServiceRequest.FromString(replayed)
        assert expected == ExportMetricsServiceRequest.FromString(protobuf.encode_metrics(data).payload)
        assert 5 == encoded.count == count_in_line("metrics", encoded.payload)

    def test_writes_hex_ids(self) -> None:
        """The trace ID of an exemplar is hex, as everywhere in OTLP JSON."""
        line = otlp_json.encode_metrics(measured()).payload

        found = [
            exemplar
            for metric in json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
            for point in metric.get("histogram", {}).get("dataPoints", [])
            for exemplar in point.get("exemplars", [])
        ]
        assert [(32, 16)] == [(len(exemplar["traceId"]), len(exemplar["spanId"])) for exemplar in found]


class TestReplay:
    """`payload_from_line`."""

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b'{"resourceLogs":[{"scopeLogs":[{"logRec',
            b"[1]",
            b'{"resourceLogs":[3]}',
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}',
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"-1"}]}]}]}',
        ],
    )
    def test_refuses(self, line: bytes) -> None:
        """A torn line, and one that is no such request, is a ValueError and nothing else."""
        with pytest.raises(ValueError, match=r"."):
            payload_from_line("logs", line)

    def test_leaves_out_unknown_fields(self) -> None:
        """A field of a later version of OTLP does not keep a line from being replayed."""
        line = b'{"resourceLogs":[{"later":1,"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"new":[]}]}]}]}\n'

        parsed = ExportLogsServiceRequest.FromString(payload_from_line("logs", line))

        assert "x" == parsed.resource_logs[0].scope_logs[0].log_records[0].body.string_value
