"""Text logs: each line by its form, continuation lines and tracebacks joined to their record."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from clew import schema
from clew.files.reader import timestamps, tracebacks, values
from clew.files.reader.records import LogRow, RawLine
from clew.files.reader.severities import severity_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clew.files.reader.formats import TextFormat
    from clew.files.reader.json_logs import JsonLogs
    from clew.files.reader.records import Json, ReadStats

MAX_CONTINUATION_BYTES: Final = 1024**2
"""How much text one record may collect; a file in no known form would otherwise become one record."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_TRACE: Final = re.compile(r"\b(?:trace_?id|otelTraceID)[\"']?[=:]\s?[\"']?([0-9a-f]{32})\b", re.IGNORECASE)
_SPAN: Final = re.compile(r"\b(?:span_?id|otelSpanID)[\"']?[=:]\s?[\"']?([0-9a-f]{16})\b", re.IGNORECASE)
_CORRELATION: Final = re.compile(
    r"\b(?:correlation[_.]?id|request_?id)[\"']?[=:]\s?[\"']?([A-Za-z0-9][\w.:/+=@~-]{0,127})", re.IGNORECASE
)
_SYSLOG_SEVERITIES: Final = (24, 22, 21, 17, 13, 10, 9, 5)
"""SeverityNumber of syslog's severities 0 (emergency) to 7 (debug), as the data model of logs maps them."""

_DEFAULT_SEVERITY: Final = 9


class TextLogs:
    """Joins the text lines of one file into records.

    A record is complete when the next one begins, so `feed` gives the record before, and `flush` the last one.
    """

    def __init__(
        self, path: Path, forms: Sequence[TextFormat], logs: JsonLogs, stats: ReadStats, year_of: float
    ) -> None:
        """Make an empty one; `year_of` is the file's last change, from which a time without a year gets its year."""
        self._path, self._forms, self._logs, self._stats = path, tuple(forms), logs, stats
        self._reference = datetime.fromtimestamp(year_of, tz=timezone.utc)
        self._match: re.Match[str] | None = None
        self._form: TextFormat | None = None
        self._received_ns: int | None = None
        self._lines: list[str] = []
        self._collected = 0

    def feed(self, line: str, received_ns: int | None = None) -> list[LogRow | RawLine]:
        """Take one line; give the record that it completes, and the line itself if it belongs to none."""
        line = _COLOUR.sub("", line)
        for form in self._forms:
            match = form.pattern.fullmatch(line)
            if match is not None:
                complete = self.flush()
                self._match, self._form, self._received_ns = match, form, received_ns
                return complete
        if self._continues(line):
            self._lines.append(line)
            self._collected += len(line)
            return []
        if not line.strip():
            self._stats.blank += 1
            return self.flush()
        self._stats.foreign += 1
        self._stats.raw += 1
        return [*self.flush(), RawLine(line, self._path, self._stats.lines)]

    def flush(self) -> list[LogRow | RawLine]:
        """Give the record under way, if there is one."""
        match, self._match = self._match, None
        if match is None:
            return []
        while self._lines and not self._lines[-1].strip():
            self._lines.pop()
        text = "\n".join([match.groupdict().get("message") or "", *self._lines])
        self._lines, self._collected = [], 0
        return [self._record(match, text)]

    def _continues(self, line: str) -> bool:
        """Tell whether a line without a head of its own belongs to the record under way."""
        if self._match is None or self._form is None or self._collected > MAX_CONTINUATION_BYTES:
            return False
        in_traceback = bool(self._lines) and bool(line.strip())
        return self._form.multiline or in_traceback or tracebacks.looks_continued(line)

    def _record(self, match: re.Match[str], text: str) -> LogRow:
        """Make a record of a matched head and the text of all its lines."""
        groups = {name: value for name, value in match.groupdict().items() if value is not None and value != "-"}
        groups.pop("message", None)
        raw: Json = {}
        _add_time(raw, groups, self._reference, self._received_ns)
        _add_severity(raw, groups)
        origin = self._logs.origin(groups.pop("service", ""), groups.pop("logger", ""), form="text")
        attributes = _ids(raw, groups, match[0])
        attributes.update({name.replace("__", "."): value for name, value in groups.items() if value})
        message, raised = tracebacks.split_traceback(text)
        if raised is not None:
            attributes[schema.EXCEPTION_TYPE] = raised.type
            attributes[schema.EXCEPTION_MESSAGE] = raised.message
            attributes[schema.EXCEPTION_STACKTRACE] = raised.stacktrace
        raw["body"] = values.encode(message)
        raw["attributes"] = values.encode_attributes(attributes)
        return LogRow(raw, origin)


def _add_time(raw: Json, groups: dict[str, str], reference: datetime, received_ns: int | None) -> None:
    """Set the record's time; one that cannot be read stays an attribute."""
    time_ns = timestamps.parse_timestamp(groups.get("time", ""), reference) or timestamps.parse_any(groups.get("time"))
    if time_ns is not None:
        del groups["time"]
        milliseconds = groups.pop("milliseconds", None)
        time_ns += int(float(milliseconds) * 1_000_000) if milliseconds and time_ns % 1_000_000_000 == 0 else 0
    if time_ns or received_ns:
        raw["timeUnixNano"] = str(time_ns or received_ns)


def _add_severity(raw: Json, groups: dict[str, str]) -> None:
    """Set the severity from the level's name, else from syslog's priority, else INFO."""
    level, priority = groups.pop("level", ""), groups.get("priority")
    if level:
        raw["severityText"] = level
    by_priority = _SYSLOG_SEVERITIES[int(priority) % 8] if priority else _DEFAULT_SEVERITY
    raw["severityNumber"] = severity_of(level) or by_priority


def _ids(raw: Json, groups: dict[str, str], head: str) -> Json:
    """Take the IDs out of the groups, or out of the line's text where a format wrote `trace_id=...` or the like."""
    for key, group, pattern, width in (("traceId", "trace_id", _TRACE, 32), ("spanId", "span_id", _SPAN, 16)):
        found = pattern.search(head)
        value = groups.pop(group, "") or (found[1] if found else "")
        if len(value) == width:
            raw[key] = value
    found = _CORRELATION.search(head)
    correlation_id = groups.pop("correlation_id", "") or (found[1] if found else "")
    return {schema.CORRELATION_ID: correlation_id} if correlation_id else {}
