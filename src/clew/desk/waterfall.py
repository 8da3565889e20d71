"""Draws a timeline on a terminal: a bar for each span, log lines at their place, the failing span marked."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from rich.text import Text

from clew import schema
from clew.desk.query import counted
from clew.desk.terminal import clean
from clew.files.reader.records import ERROR_SEVERITY, LogRow, SpanEvent, SpanRecord
from clew.files.reader.timestamps import format_local

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from clew.desk.query import Trace
    from clew.desk.root_cause import RootCause
    from clew.desk.timeline import Timeline, TimelineRow

_PALETTE: Final = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
_ASCII_LINES: Final = str.maketrans("│├└", "||`")
_NARROWEST: Final = 60
_NAME_SHARE: Final = 0.46
_DURATION_WIDTH: Final = 10
_MARKS_WIDTH: Final = 10
"""Room for the gap before the bar and the marks behind the duration."""
_NOTED_SHIFT_NS: Final = 1_000_000
"""A clock that is less than this off is not worth a word."""


def draw_waterfall(console: Console, trace: Trace, timeline: Timeline, cause: RootCause | None) -> None:
    """Draw the header, each row, and the root cause if something failed."""
    is_unicode = (console.encoding or "").lower().startswith("utf")
    for line in waterfall(trace, timeline, cause, console.width, is_unicode=is_unicode):
        console.print(line, overflow="ellipsis", no_wrap=True)


def waterfall(
    trace: Trace, timeline: Timeline, cause: RootCause | None, width: int, *, is_unicode: bool = True
) -> Iterator[Text]:
    """Give the lines of the picture, one after the other, so that a long one begins at once."""
    yield from _header(trace, timeline)
    yield Text()
    pen = _Pen(width, timeline, cause.span_id if cause else "", is_unicode=is_unicode)
    for row in timeline.rows:
        yield pen.line(row)
    yield from _footer(trace, timeline, cause)


def format_duration(duration_ns: float) -> str:
    """Write a duration in the unit that suits it: `830 ns`, `12.3 µs`, `4.56 ms`, `1.23 s`, `3 min 20 s`."""
    for limit, unit, per in ((999.5, "ns", 1), (999_500, "µs", 1_000), (999_500_000, "ms", 1_000_000)):
        if duration_ns < limit:
            return f"{format_number(duration_ns / per) if per > 1 else f'{duration_ns:.0f}'} {unit}"
    seconds = duration_ns / 1_000_000_000
    if seconds < 59.95:  # noqa: PLR2004 - what three digits do not round to a minute
        return f"{format_number(seconds)} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s"


def format_number(number: float) -> str:
    """Write a number with three digits that count, never with an exponent: `0.0125`, `1.9`, `190`, `12,346`."""
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"  # noqa: PLR2004 - what three digits round to 1000


def service_colour(service: str) -> str:
    """Return a service's colour, the same one everywhere."""
    return _PALETTE[_place(service)]


def service_colours(services: Iterable[str]) -> dict[str, str]:
    """Return a colour for each service: its own, or where another one of them has that, the next that is free."""
    colours: dict[str, str] = {}
    for service in sorted(set(services)):
        own = [_PALETTE[(_place(service) + step) % len(_PALETTE)] for step in range(len(_PALETTE))]
        colours[service] = next((colour for colour in own if colour not in colours.values()), own[0])
    return colours


def _place(service: str) -> int:
    return zlib.crc32(service.encode("utf-8", "replace")) % len(_PALETTE)


def _header(trace: Trace, timeline: Timeline) -> list[Text]:
    correlation = ", ".join(trace.correlation_ids) or "none"
    services = dict.fromkeys(span.service for span in trace.spans)
    failed = sum(span.status == "error" for span in trace.spans)
    facts = [
        counted(len(services), "service"),
        counted(len(trace.spans), "span"),
        counted(len(trace.logs), "log"),
        format_duration(timeline.end_ns - timeline.start_ns),
        format_local(timeline.start_ns, digits=3),
    ]
    title = Text.assemble(("Correlation ID ", "dim"), (clean(correlation), "bold"))
    traces = Text.assemble(("Trace          ", "dim"), ", ".join(trace.trace_ids) or "none")
    summary = Text().append("  ".join(facts), "dim")
    if failed:
        summary.append(f"  {counted(failed, 'failed span')}", "bold red")
    return [title, traces, summary]


def _footer(trace: Trace, timeline: Timeline, cause: RootCause | None) -> list[Text]:
    lines = []
    if cause is not None:
        what = ": ".join(part for part in (cause.type, cause.message.split("\n")[0]) if part) or "failed"
        text = Text.assemble(("Root cause  ", "bold red"), (cause.service, service_colour(cause.service)), "  ")
        lines.append(text.append(f"{clean(cause.operation)}  ").append(clean(what), "red"))
    shifts = {row.item.service: row.shift_ns for row in timeline.rows if isinstance(row.item, SpanRecord)}
    lines += [
        Text(f"The clock of {clean(service)} was corrected by {'-' * (shift < 0)}{format_duration(abs(shift))}", "dim")
        for service, shift in shifts.items()
        if abs(shift) >= _NOTED_SHIFT_NS
    ]
    if trace.omitted:
        lines.append(Text(f"{trace.omitted} more records of this request are not shown", "yellow"))
    return [Text(), *lines] if lines else []


class _Pen:
    """Draws one row after the other on a console of a certain width."""

    def __init__(self, width: int, timeline: Timeline, cause_span_id: str, *, is_unicode: bool) -> None:
        width = max(_NARROWEST, width)
        self._name_width = int(width * _NAME_SHARE)
        self._bar_width = width - self._name_width - _DURATION_WIDTH - _MARKS_WIDTH
        self._timeline = timeline
        items = (row.item for row in timeline.rows)
        self._colours = service_colours(item.service for item in items if isinstance(item, SpanRecord))
        self._cause_span_id = cause_span_id
        self._full, self._cross, self._dot = ("━", "✗", "·") if is_unicode else ("=", "x", ".")
        self._is_unicode = is_unicode

    def line(self, row: TimelineRow) -> Text:
        """Draw one row."""
        indent = row.indent if self._is_unicode else row.indent.translate(_ASCII_LINES)
        text = Text().append(indent, "dim")
        if isinstance(row.item, SpanRecord):
            return self._span(text, row, row.item)
        if isinstance(row.item, LogRow):
            return self._log(text, row, row.item)
        if isinstance(row.item, SpanEvent):
            return self._event(text, row, row.item)
        return text.append(f"(span {row.span_id} is in no file)", "dim italic")

    def _span(self, text: Text, row: TimelineRow, span: SpanRecord) -> Text:
        is_failed = span.status == "error"
        text.append(clean(span.service), self._colours[span.service]).append("  ")
        text.append(clean(span.name).replace("\n", " "), "bold red" if is_failed else "bold")
        text.truncate(self._name_width, overflow="ellipsis", pad=True)
        text.append("  ").append_text(self._bar(row, "red" if is_failed else self._colours[span.service]))
        text.append(f"{format_duration(span.duration_ns):>{_DURATION_WIDTH}}")
        if is_failed:
            text.append(f" {self._cross}", "bold red")
        if span.span_id == self._cause_span_id:
            text.append(" cause", "bold red")
        return text

    def _bar(self, row: TimelineRow, colour: str) -> Text:
        begin, total = self._timeline.start_ns, self._timeline.duration_ns
        start = min(self._bar_width - 1, int((row.start_ns - begin) * self._bar_width / total))
        end = min(self._bar_width, max(start + 1, round((row.end_ns - begin) * self._bar_width / total)))
        bar = Text(" " * start).append(self._full * (end - start), colour)
        return bar.append(" " * (self._bar_width - end))

    def _log(self, text: Text, row: TimelineRow, log: LogRow) -> Text:
        text.append(f"{self._dot} {self._offset(row)} ", "dim")
        text.append(f"{log.severity_text:<7} ", level_colour(log.severity_number))
        if log.logger:
            text.append(f"{clean(log.logger)}  ", "dim")
        text.append(clean(log.message).partition("\n")[0])
        kind = log.attribute(schema.EXCEPTION_TYPE)
        if kind:
            message = str(log.attribute(schema.EXCEPTION_MESSAGE) or "").partition("\n")[0]
            text.append(f"  {clean(str(kind))}: {clean(message)}", "red")
        return text

    def _event(self, text: Text, row: TimelineRow, event: SpanEvent) -> Text:
        text.append(f"{self._dot} {self._offset(row)} ", "dim")
        kind = event.attributes.get(schema.EXCEPTION_TYPE)
        if not kind:
            return text.append(clean(event.name), "dim")
        message = str(event.attributes.get(schema.EXCEPTION_MESSAGE) or "").partition("\n")[0]
        return text.append(f"{clean(str(kind))}: {clean(message)}", "red")

    def _offset(self, row: TimelineRow) -> str:
        return f"+{format_duration(max(0, row.start_ns - self._timeline.start_ns)):<8}"


def level_colour(severity_number: int) -> str:
    """Return the colour of a level."""
    if severity_number >= ERROR_SEVERITY:
        return "bold red"
    if severity_number >= ERROR_SEVERITY - 4:
        return "yellow"
    return "green" if severity_number >= ERROR_SEVERITY - 8 else "dim"
