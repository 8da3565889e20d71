"""Spans, log records and metric points as a receiver sees them: plain values out of OTLP protobuf or OTLP JSON."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId"})


class Request(NamedTuple):
    """One request as it came off the wire; `body` is still compressed, `status` is what it was answered with."""

    signal: str
    protocol: str
    headers: dict[str, str]
    body: bytes
    received_s: float
    status: int


class Event(NamedTuple):
    """An event of a span."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


class Link(NamedTuple):
    """A link of a span."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


class Span(NamedTuple):
    """A span; IDs are hex, `parent_span_id` of a root is empty, `kind` and `status` are names such as SERVER, ERROR."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    status: str
    status_message: str
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    flags: int
    trace_state: str
    resource: dict[str, Any]
    scope: str


class LogRecord(NamedTuple):
    """A log record; IDs are hex, or empty where there are none."""

    time_ns: int
    observed_ns: int
    severity_number: int
    severity_text: str
    body: Any
    event_name: str
    attributes: dict[str, Any]
    trace_id: str
    span_id: str
    flags: int
    resource: dict[str, Any]
    scope: str


class Exemplar(NamedTuple):
    """An exemplar of a metric point."""

    trace_id: str
    span_id: str
    value: float
    attributes: dict[str, Any]


class MetricPoint(NamedTuple):
    """One data point; `value` is a number for sums and gauges, the sum of the values for histograms."""

    name: str
    unit: str
    kind: str
    attributes: dict[str, Any]
    value: float
    count: int
    bounds: tuple[float, ...]
    bucket_counts: tuple[int, ...]
    exemplars: tuple[Exemplar, ...]
    time_ns: int
    resource: dict[str, Any]
    scope: str


def parse(request: Request) -> Any:
    """Return the protobuf message of `request`, whatever its compression and encoding."""
    body = decompress(request.body, request.headers.get("content-encoding", ""))
    message = REQUESTS[request.signal]()
    if request.protocol == "http/json":
        json_format.ParseDict(_with_base64_ids(json.loads(body)), message)
    else:
        message.ParseFromString(body)
    return message


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo gzip or deflate."""
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    return body


def _with_base64_ids(value: Any) -> Any:
    """Turn the hex IDs of OTLP JSON into the base64 that protobuf's own JSON form has."""
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in _ID_FIELDS else _with_base64_ids(item)
        for key, item in value.items()
    }


def records(message: Any) -> Iterator[Span | LogRecord | MetricPoint]:
    """Return the records of one parsed request, in order."""
    if isinstance(message, ExportTraceServiceRequest):
        for resource, scope, span in _walk(message.resource_spans, "scope_spans", "spans"):
            yield _span(span, resource, scope)
    elif isinstance(message, ExportLogsServiceRequest):
        for resource, scope, record in _walk(message.resource_logs, "scope_logs", "log_records"):
            yield _log_record(record, resource, scope)
    else:
        for resource, scope, metric in _walk(message.resource_metrics, "scope_metrics", "metrics"):
            yield from _points(metric, resource, scope)


def _walk(groups: Iterable[Any], scopes: str, items: str) -> Iterator[tuple[dict[str, Any], str, Any]]:
    for group in groups:
        resource = attributes(group.resource.attributes)
        for scoped in getattr(group, scopes):
            for item in getattr(scoped, items):
                yield resource, scoped.scope.name, item


def attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    """Return KeyValue messages as a dict of Python values."""
    return {pair.key: value(pair.value) for pair in pairs}


def value(any_value: Any) -> Any:
    """Return an AnyValue message as a Python value; None if it holds nothing."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(any_value, kind)
    if kind == "array_value":
        return [value(item) for item in held.values]
    if kind == "kvlist_value":
        return attributes(held.values)
    return held


def _span(span: Any, resource: dict[str, Any], scope: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name,
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=attributes(span.attributes),
        status=span.status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        events=tuple(Event(event.name, event.time_unix_nano, attributes(event.attributes)) for event in span.events),
        links=tuple(Link(link.trace_id.hex(), link.span_id.hex(), attributes(link.attributes)) for link in span.links),
        flags=span.flags,
        trace_state=span.trace_state,
        resource=resource,
        scope=scope,
    )


def _log_record(record: Any, resource: dict[str, Any], scope: str) -> LogRecord:
    return LogRecord(
        time_ns=record.time_unix_nano,
        observed_ns=record.observed_time_unix_nano,
        severity_number=record.severity_number,
        severity_text=record.severity_text,
        body=value(record.body),
        event_name=record.event_name,
        attributes=attributes(record.attributes),
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        flags=record.flags,
        resource=resource,
        scope=scope,
    )


def _points(metric: Any, resource: dict[str, Any], scope: str) -> Iterator[MetricPoint]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points if kind else ():
        is_number = kind in {"sum", "gauge"}
        yield MetricPoint(
            name=metric.name,
            unit=metric.unit,
            kind=kind,
            attributes=attributes(point.attributes),
            value=_number(point) if is_number else point.sum,
            count=1 if is_number else point.count,
            bounds=tuple(getattr(point, "explicit_bounds", ())),
            bucket_counts=tuple(getattr(point, "bucket_counts", ())),
            exemplars=tuple(_exemplar(item) for item in getattr(point, "exemplars", ())),
            time_ns=point.time_unix_nano,
            resource=resource,
            scope=scope,
        )


def _exemplar(exemplar: Any) -> Exemplar:
    return Exemplar(
        exemplar.trace_id.hex(), exemplar.span_id.hex(), _number(exemplar), attributes(exemplar.filtered_attributes)
    )


def _number(holder: Any) -> float:
    return float(getattr(holder, holder.WhichOneof("value") or "as_double"))
