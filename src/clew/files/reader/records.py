"""What the reader gives back: spans, log records, metric points and lines that it could not understand.

A record is a view of one OTLP object in its JSON form. Fields are decoded when they are asked for, so that a question
which needs two fields does not pay for thirty; what was read can be written again without a loss. Plain and text logs
are brought into the same form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from clew import schema
from clew.files.reader import values

if TYPE_CHECKING:
    from pathlib import Path

    from clew.entry import Attributes, Value

Json: TypeAlias = "dict[str, Any]"

ERROR_SEVERITY: Final = 17
"""SeverityNumber from which a log record is an error: ERROR in the data model of logs."""

UNKNOWN_SERVICE: Final = "unknown_service"

KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES: Final = ("unset", "ok", "error")
SEVERITIES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


class Origin(NamedTuple):
    """What the records of one batch share: resource, scope, file. Records of one batch have the same object."""

    part: Json
    """The element of `resourceSpans` or the like without its scopes."""
    scope_part: Json
    """The element of `scopeSpans` or the like without its items."""
    path: Path
    form: str = "otlp"
    """How the records were written: `otlp`, `json` or `text`, or `raw` where that is not known."""

    @property
    def resource(self) -> Json:
        """The resource in OTLP's JSON form."""
        return values.mapping(self.part.get("resource"))

    @property
    def scope(self) -> Json:
        """The instrumentation scope in OTLP's JSON form."""
        return values.mapping(self.scope_part.get("scope"))

    @property
    def service(self) -> str:
        """service.name."""
        service = values.find_attribute(self.resource.get("attributes"), "service.name")
        return service if isinstance(service, str) and service else UNKNOWN_SERVICE

    @property
    def scope_name(self) -> str:
        """The instrumentation scope: for logs the logger's name."""
        return values.text(self.scope.get("name"))

    @property
    def resource_attributes(self) -> Attributes:
        """The resource's attributes."""
        return values.decode_attributes(self.resource.get("attributes"))


@dataclass(frozen=True)
class SpanEvent:
    """An event of a span; `exception` events carry what was raised."""

    time_ns: int
    name: str
    attributes: Attributes


class SpanRecord(NamedTuple):
    """One span. Times are Unix nanoseconds, IDs lowercase hex, empty where there is none."""

    raw: Json
    origin: Origin

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return values.identifier(self.raw.get("traceId"))

    @property
    def span_id(self) -> str:
        """16 hex digits."""
        return values.identifier(self.raw.get("spanId"))

    @property
    def parent_span_id(self) -> str:
        """16 hex digits, or empty for a root span."""
        return values.identifier(self.raw.get("parentSpanId"))

    @property
    def name(self) -> str:
        """The operation's name."""
        return values.text(self.raw.get("name"))

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return _enumerated(self.raw.get("kind"), KINDS, "SPAN_KIND_")

    @property
    def start_ns(self) -> int:
        """When the operation began."""
        return values.integer(self.raw.get("startTimeUnixNano"))

    @property
    def end_ns(self) -> int:
        """When the operation ended."""
        return values.integer(self.raw.get("endTimeUnixNano"))

    @property
    def time_ns(self) -> int:
        """When the operation began, under the name that all records have."""
        return values.integer(self.raw.get("startTimeUnixNano"))

    @property
    def duration_ns(self) -> int:
        """How long the operation took; never below 0."""
        return max(0, self.end_ns - self.start_ns)

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        status = self.raw.get("status")
        return _enumerated(status.get("code") if isinstance(status, dict) else 0, STATUSES, "STATUS_CODE_")

    @property
    def status_message(self) -> str:
        """What the status says about an error."""
        status = self.raw.get("status")
        return values.text(status.get("message")) if isinstance(status, dict) else ""

    @property
    def service(self) -> str:
        """service.name."""
        return self.origin.service

    @property
    def correlation_id(self) -> str:
        """The request's correlation ID, or empty."""
        return values.text(self.attribute(schema.CORRELATION_ID))

    @property
    def attributes(self) -> Attributes:
        """All attributes."""
        return values.decode_attributes(self.raw.get("attributes"))

    def attribute(self, key: str) -> Value:
        """Return one attribute, or None."""
        return values.find_attribute(self.raw.get("attributes"), key)

    @property
    def events(self) -> tuple[SpanEvent, ...]:
        """The span's events in the order of the file."""
        events = self.raw.get("events")
        if not isinstance(events, list):
            return ()
        return tuple(_event(event) for event in events if isinstance(event, dict))


class LogRow(NamedTuple):
    """One log record. Times are Unix nanoseconds, IDs lowercase hex, empty where there is none."""

    raw: Json
    origin: Origin

    @property
    def time_ns(self) -> int:
        """When it happened, or when it was seen where the record does not say; 0 is unknown."""
        raw = self.raw
        return values.integer(raw.get("timeUnixNano")) or values.integer(raw.get("observedTimeUnixNano"))

    @property
    def severity_number(self) -> int:
        """1 to 24 as the data model has it, 0 where unknown."""
        number = self.raw.get("severityNumber")
        if isinstance(number, str) and number.startswith("SEVERITY_NUMBER_"):
            return _severity_of_name(number.removeprefix("SEVERITY_NUMBER_"))
        return values.integer(number)

    @property
    def severity_text(self) -> str:
        """The level's name as its source had it, else the name of the number's range."""
        name = values.text(self.raw.get("severityText"))
        return name or severity_name(self.severity_number)

    @property
    def is_error(self) -> bool:
        """Whether its severity is ERROR or above."""
        return self.severity_number >= ERROR_SEVERITY

    @property
    def body(self) -> Value:
        """What was logged: mostly text, but any value may stand here."""
        return values.decode(self.raw.get("body"))

    @property
    def message(self) -> str:
        """The body as text, an object or a list as JSON; an event without one shows its name."""
        body = self.body
        if isinstance(body, str):
            return body
        if isinstance(body, (dict, list)):
            return json.dumps(body, ensure_ascii=False, default=str)
        return self.event_name if body is None else str(body)

    @property
    def event_name(self) -> str:
        """The event's name, or empty."""
        return values.text(self.raw.get("eventName"))

    @property
    def trace_id(self) -> str:
        """32 hex digits, or empty."""
        return values.identifier(self.raw.get("traceId"))

    @property
    def span_id(self) -> str:
        """16 hex digits, or empty."""
        return values.identifier(self.raw.get("spanId"))

    @property
    def trace_flags(self) -> int:
        """The W3C trace flags."""
        return values.integer(self.raw.get("flags")) & 0xFF

    @property
    def logger(self) -> str:
        """The logger's name."""
        return self.origin.scope_name

    @property
    def service(self) -> str:
        """service.name."""
        return self.origin.service

    @property
    def correlation_id(self) -> str:
        """The request's correlation ID, or empty."""
        return values.text(self.attribute(schema.CORRELATION_ID))

    @property
    def uid(self) -> str:
        """The record's own ID, or empty; equal for a repeat after a replay."""
        return values.text(self.attribute(schema.LOG_RECORD_UID))

    @property
    def attributes(self) -> Attributes:
        """All attributes."""
        return values.decode_attributes(self.raw.get("attributes"))

    def attribute(self, key: str) -> Value:
        """Return one attribute, or None."""
        return values.find_attribute(self.raw.get("attributes"), key)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One data point of a metric. `metric` is the metric without its points, `kind` the key that holds them."""

    raw: Json
    origin: Origin
    metric: Json
    kind: str
    """`gauge`, `sum`, `histogram`, `exponentialHistogram` or `summary`."""

    @property
    def name(self) -> str:
        """The metric's name."""
        return values.text(self.metric.get("name"))

    @property
    def unit(self) -> str:
        """The metric's unit as UCUM has it."""
        return values.text(self.metric.get("unit"))

    @property
    def is_delta(self) -> bool:
        """Whether each point stands for itself, not for all since the start."""
        data = self.metric.get(self.kind)
        temporality = data.get("aggregationTemporality") if isinstance(data, dict) else 0
        return temporality in {1, "AGGREGATION_TEMPORALITY_DELTA"}

    @property
    def time_ns(self) -> int:
        """When the point was taken."""
        return values.integer(self.raw.get("timeUnixNano"))

    @property
    def start_ns(self) -> int:
        """Since when it counts."""
        return values.integer(self.raw.get("startTimeUnixNano"))

    @property
    def value(self) -> float:
        """The number of a gauge or a sum, the sum of a histogram or summary."""
        raw = self.raw
        if "asInt" in raw:
            return values.integer(raw["asInt"])
        return values.number(raw.get("asDouble", raw.get("sum", 0)))

    @property
    def count(self) -> int:
        """How many values a histogram or summary holds."""
        return values.integer(self.raw.get("count"))

    @property
    def service(self) -> str:
        """service.name."""
        return self.origin.service

    @property
    def attributes(self) -> Attributes:
        """All attributes of the point."""
        return values.decode_attributes(self.raw.get("attributes"))


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that is neither telemetry nor a log line in a form that was named or detected."""

    text: str
    path: Path
    line: int
    """Counted from 1; 0 where lines were skipped unread."""

    def as_log(self) -> LogRow:
        """Return a log record of which nothing is known but its text."""
        return LogRow({"body": values.encode(self.text)}, Origin({}, {}, self.path, "raw"))


Record: TypeAlias = SpanRecord | LogRow | MetricRow | RawLine


@dataclass
class ReadStats:
    """What the reader met, counted while it reads; the numbers are final when the iteration has ended."""

    files: int = 0
    bytes: int = 0
    lines: int = 0
    records: int = 0
    """Spans, log records and metric points."""
    raw: int = 0
    """Lines that were kept as they are."""
    blank: int = 0
    torn: int = 0
    """Lines that end in the middle: a crash, a full disk, or a writer at work."""
    foreign: int = 0
    """Lines, or objects inside one, that are in no form the reader knows."""
    overlong: int = 0
    """Lines longer than `lines.MAX_LINE_BYTES`, of which only the head was kept."""
    binary: list[Path] = field(default_factory=list)
    """Files that are no text at all, or OTLP in protobuf form."""
    damaged: list[Path] = field(default_factory=list)
    """Compressed files that end early or do not decompress; what came before was read."""
    unreadable: list[Path] = field(default_factory=list)
    """Files that the operating system did not let us read."""


def severity_name(number: int) -> str:
    """Return the name of the range that a SeverityNumber is in, or an empty string for 0 and beyond 24."""
    return SEVERITIES[(number - 1) // 4] if 1 <= number <= 4 * len(SEVERITIES) else ""


def _severity_of_name(name: str) -> int:
    """Return the number of an enum name such as `INFO` or `WARN2`."""
    base = name.rstrip("234")
    return 4 * SEVERITIES.index(base) + int(name[len(base) :] or 1) if base in SEVERITIES else 0


def _enumerated(value: Any, names: tuple[str, ...], prefix: str) -> str:
    """Return an enum's short name from its number or its protobuf name; the first one where it is neither."""
    if isinstance(value, str) and value.startswith(prefix):
        short = value.removeprefix(prefix).lower()
        return short if short in names else names[0]
    index = values.integer(value)
    return names[index] if 0 <= index < len(names) else names[0]


def _event(event: Json) -> SpanEvent:
    return SpanEvent(
        values.integer(event.get("timeUnixNano")),
        values.text(event.get("name")),
        values.decode_attributes(event.get("attributes")),
    )
