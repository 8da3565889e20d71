"""The SDK's spans and log records as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as encode_logs_upstream
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from otlp_strategies import SCOPES, entries, record_of, spans

from clew.delivery import protobuf, sdk
from clew.delivery.sdk import SpanFields, entry_from_sdk
from clew.entry import LogEntry, Scope

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

RESOURCE = Resource({"service.name": "shop"})


def listed(fields: tuple[Any, ...]) -> dict[str, Any]:
    """Return a span's fields by name, events and links as lists."""
    named = SpanFields(*fields)._asdict()
    return named | {name: list(named[name] or ()) for name in ("events", "links", "attributes")}


class TestReadSpan:
    """`read_span`."""

    @given(spans())
    def test_private_is_public(self, span: ReadableSpan) -> None:
        """What the private fields of a span say is what its public properties say."""
        assert listed(sdk._read_public(span)) == listed(sdk._read_private(span))

    @given(st.lists(spans(), max_size=3))
    def test_either_way_encodes_alike(self, batch: list[ReadableSpan]) -> None:
        """A version of the SDK without the private fields gets the same bytes."""
        encoder = protobuf.ProtobufEncoder(None)

        private = [encoder.span(sdk._read_private(span)) for span in batch]

        assert private == [encoder.span(sdk._read_public(span)) for span in batch]

    def test_private_is_chosen(self) -> None:
        """With the SDK that is installed the quick way is taken."""
        assert sdk._read_private is sdk.read_span


class TestEntryFromSdk:
    """`entry_from_sdk`."""

    @given(entries(), st.sampled_from(SCOPES))
    def test_keeps_everything(self, made: LogEntry, scope: Any) -> None:
        """A record made through the Logs API is sent as upstream sends it, its scope included."""
        record = ReadableLogRecord(record_of(made, RESOURCE).log_record, RESOURCE, scope)

        encoded = protobuf.encode_logs([entry_from_sdk(record)], RESOURCE)

        assert encode_logs_upstream([record]) == ExportLogsServiceRequest.FromString(encoded.payload)

    def test_takes_records_without_a_time(self) -> None:
        """A record whose time was not given has the time at which it was seen, as upstream has it."""
        record = ReadableLogRecord(LogRecord(observed_timestamp=7, body="x"), RESOURCE)

        entry = entry_from_sdk(record)

        assert (0, 7, 0, "") == (entry.time_ns, entry.observed_ns, entry.severity_number, entry.severity_text)
        expected = encode_logs_upstream([record])
        assert expected == ExportLogsServiceRequest.FromString(protobuf.encode_logs([entry], RESOURCE).payload)

    def test_is_detached(self) -> None:
        """What the caller does to the body afterwards does not reach the entry."""
        body: dict[str, Any] = {"items": [1, (2, 3)]}
        entry = entry_from_sdk(ReadableLogRecord(LogRecord(body=body), RESOURCE))

        body["items"].append(4)
        body["more"] = object()

        assert {"items": [1, [2, 3]]} == entry.body

    def test_shares_scopes(self) -> None:
        """Records of one logger have one scope, and a scope that is only a name is that name."""
        exporter = InMemoryLogRecordExporter()
        provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        for logger in (provider.get_logger("lib", "1.2", "https://example.org", {"a": 1}), provider.get_logger("app")):
            for _ in range(2):
                logger.emit(LogRecord(body="x", severity_number=SeverityNumber.INFO))

        first, second, *named = [entry_from_sdk(record).scope for record in exporter.get_finished_logs()]

        assert first is second
        assert isinstance(first, Scope)
        assert ("lib", "1.2", "https://example.org", {"a": 1}) == (
            first.name,
            first.version,
            first.schema_url,
            first.attributes,
        )
        assert ["app", "app"] == named
