"""One request as a waterfall: a bar for each span, log lines at their place, everything to open for its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clew import schema
from clew.desk.report.markup import Markup, join, tag
from clew.desk.report.sections import definitions
from clew.desk.waterfall import format_duration
from clew.files.reader.records import LogRow, SpanEvent, SpanRecord
from clew.files.reader.timestamps import format_timestamp

if TYPE_CHECKING:
    from clew.desk.report.requests import Story
    from clew.desk.root_cause import RootCause
    from clew.desk.timeline import Timeline, TimelineRow
    from clew.entry import Attributes

MAX_ATTRIBUTES: Final = 40
MAX_VALUE_CHARS: Final = 1000
MAX_STACKTRACE_CHARS: Final = 6000
_COLOURS: Final = 6


def story(one: Story) -> Markup:
    """Return a request: closed it is one line, open it is the waterfall."""
    trace, timeline = one.trace, one.timeline
    root = next((span for span in trace.spans if not span.parent_span_id), trace.spans[0] if trace.spans else None)
    services = dict.fromkeys([*(span.service for span in trace.spans), *(row.service for row in trace.logs)])
    colours = {service: number % _COLOURS for number, service in enumerate(services)}
    identifier = (trace.correlation_ids or trace.trace_ids or (trace.identifier,))[0]
    summary = tag(
        "summary",
        tag("span", tag("strong", root.name if root else "log records"), " ", tag("code", identifier), class_="grow"),
        *(tag("span", service, class_=f"chip service-{number}") for service, number in colours.items()),
        tag("span", format_duration(timeline.duration_ns), class_="count"),
    )
    return tag(
        "details",
        summary,
        _facts(one),
        tag("div", *(_row(row, timeline, colours, one.cause) for row in timeline.rows), class_="waterfall"),
        class_="card failed" if one.cause else "card",
        id=f"request-{one.number}",
    )


def _facts(one: Story) -> Markup:
    trace, cause = one.trace, one.cause
    facts: list[tuple[str, object]] = [
        ("Began", f"{_clock(one.timeline.start_ns)} UTC"),
        ("Trace", join(*(tag("code", item) for item in trace.trace_ids)) or "none"),
        ("Holds", f"{len(trace.spans)} spans, {len(trace.logs)} log records"),
    ]
    if cause:
        told = join(
            cause.service,
            " · ",
            tag("code", cause.operation),
            " · ",
            cause.type or "error",
            " ",
            _cut(cause.message, 300),
        )
        facts.append(("Root cause", told))
    if trace.omitted:
        facts.append(("Left out", f"{trace.omitted:,} shorter spans and later log records"))
    return definitions(facts)


def _row(row: TimelineRow, timeline: Timeline, colours: dict[str, int], cause: RootCause | None) -> Markup:
    item = row.item
    if isinstance(item, SpanRecord):
        return _span(
            row,
            item,
            timeline,
            colours.get(item.service, 0),
            is_cause=cause is not None and cause.span_id == item.span_id,
        )
    depth = f"--depth:{_depth(row)}"
    if isinstance(item, LogRow):
        return _log(item, _point(row, timeline, is_error=item.is_error), depth)
    if isinstance(item, SpanEvent):
        raised = _raised(item.attributes)
        name = tag("span", "◆ ", raised or item.name, class_="name", style=depth)
        return _opened("event", name, _point(row, timeline, is_error=bool(raised)), _attributes(item.attributes))
    return tag("div", tag("span", "(a span that no file holds)", class_="name", style=depth), class_="line missing")


def _span(row: TimelineRow, span: SpanRecord, timeline: Timeline, colour: int, *, is_cause: bool) -> Markup:
    left, width = (
        _percent(time_ns, timeline) for time_ns in (row.start_ns - timeline.start_ns, row.end_ns - row.start_ns)
    )
    is_failed = span.status == "error"
    mark = (
        tag("em", "root cause", class_="mark") if is_cause else tag("em", "failed", class_="mark") if is_failed else ""
    )
    name = tag(
        "span",
        mark,
        tag("b", span.name),
        " ",
        tag("small", span.service),
        class_="name",
        style=f"--depth:{_depth(row)}",
    )
    bar = tag("i", style=f"--left:{left};--width:{width}", class_="failed" if is_failed else f"service-{colour}")
    track = tag("span", bar, class_="track")
    facts: list[tuple[str, object]] = [
        ("Span", tag("code", span.span_id)),
        ("Kind", span.kind),
        ("Status", f"{span.status} {span.status_message}"),
    ]
    if row.shift_ns:
        facts.append(("Clock", f"moved by {format_duration(abs(row.shift_ns))} to fit its caller's"))
    took = tag("span", format_duration(span.duration_ns), class_="took")
    return _opened("span", name, join(track, took), join(definitions(facts), _attributes(span.attributes)))


def _point(row: TimelineRow, timeline: Timeline, *, is_error: bool) -> Markup:
    """Mark a moment, and say how long after the request's beginning it was."""
    after_ns = row.start_ns - timeline.start_ns
    point = tag("i", style=f"--left:{_percent(after_ns, timeline)}", class_="failed" if is_error else None)
    return join(tag("span", point, class_="track"), tag("span", f"+{format_duration(after_ns)}", class_="took quiet"))


def _raised(attributes: Attributes) -> Markup | str:
    """Return type and message of what attributes say was raised, empty if nothing was."""
    kind, message = (str(attributes.get(name) or "") for name in (schema.EXCEPTION_TYPE, schema.EXCEPTION_MESSAGE))
    told = ": ".join(part for part in (kind, message.partition("\n")[0]) if part)
    return tag("span", _cut(told, 300), class_="bad") if kind else ""


def _log(row: LogRow, point: Markup, depth: str) -> Markup:
    level = tag("em", row.severity_text or "LOG", class_="level error" if row.is_error else "level")
    text = _cut(row.message.partition("\n")[0], 300)
    name = tag("span", level, " ", text, "  ", _raised(row.attributes), class_="name", style=depth)
    facts: list[tuple[str, object]] = [
        ("At", f"{_clock(row.time_ns)} UTC"),
        ("Logger", f"{row.service} · {row.logger}"),
    ]
    message = tag("pre", _cut(row.message, MAX_VALUE_CHARS), tabindex=0) if "\n" in row.message else ""
    return _opened(
        "log",
        name,
        point,
        join(definitions(facts), message, _attributes(row.attributes)),
    )


def _opened(kind: str, name: Markup, right: Markup, inside: Markup) -> Markup:
    return tag("details", tag("summary", name, right), tag("div", inside, class_="inside"), class_=f"line {kind}")


def _attributes(attributes: Attributes) -> Markup:
    """Return attributes as a list, a traceback as it is printed."""
    shown: dict[str, Any] = dict(list(attributes.items())[:MAX_ATTRIBUTES])
    stacktrace = shown.pop(schema.EXCEPTION_STACKTRACE, None)
    facts: list[tuple[str, object]] = [(key, _cut(str(value), MAX_VALUE_CHARS)) for key, value in shown.items()]
    trace = tag("pre", _tail(str(stacktrace)), tabindex=0) if stacktrace else ""
    return join(definitions(facts), trace)


def _tail(text: str) -> str:
    return text if len(text) <= MAX_STACKTRACE_CHARS else "…\n" + text[-MAX_STACKTRACE_CHARS:]


def _depth(row: TimelineRow) -> int:
    return len(row.indent) // 2


def _percent(time_ns: int, timeline: Timeline) -> str:
    return f"{100 * time_ns / timeline.duration_ns:.3f}%"


def _clock(time_ns: int) -> str:
    return format_timestamp(time_ns)[:23].replace("T", " ")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
