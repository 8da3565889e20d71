"""The protobuf encoder against upstream's, and against what upstream cannot encode."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as encode_logs_upstream
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as encode_spans_upstream
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext
from otlp_strategies import RESOURCES, awkward, entries, record_of, resources, spans

from clew.delivery import protobuf
from clew.delivery.attributes import MAX_PAIRS
from clew.delivery.encoding import MAX_HEADERS, MAX_NAMES
from clew.delivery.value import MAX_DEPTH, TOO_DEEP
from clew.entry import LogEntry

RESOURCE = Resource({"service.name": "shop"})


def entry(**fields: Any) -> LogEntry:
    """Return a plain entry with `fields` replaced."""
    plain = LogEntry(1, 9, "INFO", "app", "hello", None, 0, 0, 0, None, None, None, None, None, None)
    return plain._replace(**fields)


def parse_logs(payload: bytes) -> ExportLogsServiceRequest:
    """Parse a request of logs."""
    return ExportLogsServiceRequest.FromString(payload)


def parse_spans(payload: bytes) -> ExportTraceServiceRequest:
    """Parse a request of traces."""
    return ExportTraceServiceRequest.FromString(payload)


def records_of(payload: bytes) -> list[Any]:
    """Return the log records of a request of one resource and one scope."""
    (of_resource,) = parse_logs(payload).resource_logs
    (of_scope,) = of_resource.scope_logs
    return list(of_scope.log_records)


class TestLogs:
    """`encode_logs`."""

    @given(st.lists(entries(), max_size=4), resources)
    def test_equals_upstream(self, batch: list[LogEntry], resource: Resource) -> None:
        """Any entries parse to the message that upstream makes of the same records."""
        expected = encode_logs_upstream([record_of(item, resource) for item in batch])

        encoded = protobuf.encode_logs(batch, resource)

        assert expected == parse_logs(encoded.payload)
        assert (len(batch), 0) == (encoded.count, encoded.rejected)

    @given(st.lists(entries(awkward), min_size=1, max_size=4))
    def test_takes_anything(self, batch: list[LogEntry]) -> None:
        """Whatever values entries hold, each becomes a record that parses."""
        encoded = protobuf.encode_logs(batch, RESOURCE)

        parsed = parse_logs(encoded.payload)
        assert len(batch) == sum(len(scope.log_records) for scope in parsed.resource_logs[0].scope_logs)
        assert 0 == encoded.rejected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("caf\udce9", "caf\\udce9"),
            (2**63, "9223372036854775808"),
            (-(2**70), "-1180591620717411303424"),
            (2**9000, "<integer of 9001 bits>"),
            (object(), "<builtins.object>"),
            (range(10**12), "<builtins.range>"),
        ],
    )
    def test_replaces_values(self, value: object, expected: str) -> None:
        """A value that OTLP has no place for becomes a text that says what it was."""
        encoded = protobuf.encode_logs([entry(attributes={"a": 1, "bad": value, "b": 2})], RESOURCE)

        (record,) = records_of(encoded.payload)
        values = {pair.key: pair.value.string_value or pair.value.int_value for pair in record.attributes}
        assert {"a": 1, "bad": expected, "b": 2} == values

    def test_cuts_deep_nesting(self) -> None:
        """A value nested without end is cut where parsers would refuse it."""
        deep: list[Any] = []
        deep.append(deep)

        (record,) = records_of(protobuf.encode_logs([entry(body=deep)], RESOURCE).payload)

        value = record.body
        for _ in range(MAX_DEPTH):
            (value,) = value.array_value.values
        assert TOO_DEEP == value.string_value

    def test_rejects_alone(self) -> None:
        """A record whose IDs or times cannot be are left out and counted, its neighbours are not."""
        bad = [entry(trace_id=2**128), entry(time_ns=-1), entry(severity_number="x")]

        encoded = protobuf.encode_logs([entry(body="first"), *bad, entry(body="last")], RESOURCE)

        assert ["first", "last"] == [record.body.string_value for record in records_of(encoded.payload)]
        assert (2, 3) == (encoded.count, encoded.rejected)

    def test_keeps_types_apart(self) -> None:
        """Values that Python calls equal keep their types, however often they were encoded."""
        values = [True, 1, 1.0, False, 0, 0.0, -0.0]

        batch = [entry(attributes={"key": value}) for value in values * 2]
        records = records_of(protobuf.encode_logs(batch, RESOURCE).payload)

        kinds = [record.attributes[0].value.WhichOneof("value") for record in records]
        assert ["bool_value", "int_value", "double_value"] * 2 == kinds[:3] + kinds[7:10]
        assert "-0.0" == str(records[6].attributes[0].value.double_value)

    def test_sets_each_key_once(self) -> None:
        """Where the caller's key is one that the entry sets, the entry's value stands alone."""
        made = entry(attributes={"correlation.id": "forged", "user": "u1"}, correlation_id="real")

        (record,) = records_of(protobuf.encode_logs([made], RESOURCE).payload)

        pairs = [(pair.key, pair.value.string_value) for pair in record.attributes]
        assert [("user", "u1"), ("correlation.id", "real")] == pairs


class TestSpans:
    """`encode_spans`."""

    @given(st.lists(spans(), max_size=5))
    def test_equals_upstream(self, batch: list[ReadableSpan]) -> None:
        """Any spans of any resources and scopes parse to the message that upstream makes."""
        encoded = protobuf.encode_spans(batch)

        assert encode_spans_upstream(batch) == parse_spans(encoded.payload)
        assert (len(batch), 0) == (encoded.count, encoded.rejected)

    def test_takes_one_resource(self) -> None:
        """A resource that is given stands for all spans, whatever each one's own is."""
        context = SpanContext(1, 2, is_remote=False)
        batch = [ReadableSpan("work", context, resource=resource) for resource in RESOURCES]

        parsed = parse_spans(protobuf.encode_spans(batch, RESOURCE).payload)

        (of_resource,) = parsed.resource_spans
        assert "shop" == of_resource.resource.attributes[0].value.string_value
        assert 2 == sum(len(scope.spans) for scope in of_resource.scope_spans)

    def test_remembers_no_more_than_its_bounds(self) -> None:
        """Attributes, names and scopes without end do not make the encoder's memory grow without end."""
        encoder = protobuf.ProtobufEncoder(None)
        for number in range(3 * MAX_PAIRS):
            attributes = {"user": f"u{number}", "number": number, "long": "x" * 1000}
            context = SpanContext(1, number + 1, is_remote=False)
            scope = InstrumentationScope(f"lib{number}")
            span = ReadableSpan(
                f"name {number}", context, resource=RESOURCE, attributes=attributes, instrumentation_scope=scope
            )
            encoder.encode_spans([span])

        assert len(encoder.pairs._known) <= MAX_PAIRS
        assert len(encoder._names) <= MAX_NAMES
        assert len(encoder._headers) <= MAX_HEADERS
        assert not any("long" in key for key in encoder.pairs._known)

    def test_rejects_alone(self) -> None:
        """A span without a context is left out and counted, its neighbours are not."""
        good = ReadableSpan("good", SpanContext(1, 2, is_remote=False))

        encoded = protobuf.encode_spans([good, ReadableSpan("bad"), good], RESOURCE)

        assert (2, 1) == (encoded.count, encoded.rejected)
        assert encode_spans_upstream([good, good]).resource_spans[0].scope_spans[0].spans == (
            parse_spans(encoded.payload).resource_spans[0].scope_spans[0].spans
        )
