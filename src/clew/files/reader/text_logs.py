"""Text logs: each line by its form, continuation lines and tracebacks joined to their record."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

import orjson

from clew import schema
from clew.files.reader import json_logs, timestamps, tracebacks, values
from clew.files.reader.records import LogRow, RawLine
from clew.files.reader.severities import LEVEL_PATTERN, severity_of

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
_FRACTION: Final = re.compile(r"[.,]\d{3}")
_NOT_WRITER: Final = frozenset({"time", "message", "request"})
"""Groups of a head that may differ between lines of one writer; OpenStack leaves the request out of a traceback's."""
_TRACEBACK_WITHIN_NS: Final = 1_000_000_000
"""How long after a record its traceback may begin, where each line of it has a head of its own."""
_LEADING_LEVEL: Final = re.compile(rf"\[({LEVEL_PATTERN})\]|({LEVEL_PATTERN}):")
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
        self._traceback = tracebacks.TracebackLines()
        self._head = ""

    def feed(self, line: str, received_ns: int | None = None) -> list[LogRow | RawLine]:
        """Take one line; give the record that it completes, and the line itself if it belongs to none."""
        line = _COLOUR.sub("", line)
        for form in self._forms:
            match = form.pattern.fullmatch(line)
            if match is not None:
                if self._is_of_traceback(form, match):
                    return self._add(_message(match))
                complete = self.flush()
                self._match, self._form, self._received_ns = match, form, received_ns
                self._traceback.begin(_message(match))
                return complete
        if self._continues(line):
            return self._add(line)
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
        text = _unescaped(self._form, "\n".join([_message(match), *self._lines]))
        self._lines, self._collected = [], 0
        return [self._record(match, text)]

    def _add(self, line: str) -> list[LogRow | RawLine]:
        """Add a line to the record under way."""
        self._lines.append(line)
        self._collected += len(line)
        return []

    def _is_of_traceback(self, form: TextFormat, match: re.Match[str]) -> bool:
        """Tell whether a line with a head of its own is one of a traceback that belongs to the record under way."""
        before, message = self._match, _message(match)
        if before is None or form is not self._form or self._collected > MAX_CONTINUATION_BYTES:
            return False
        if not self._traceback.is_under_way and message.rstrip() != tracebacks.HEADER:
            return False
        head = match.string[: match.start("message")]
        is_same_moment = head == self._head and _FRACTION.search(head) is not None
        self._head = head
        return (
            _writer(before) == _writer(match)
            and (self._traceback.is_under_way or self._is_soon(before, match))
            and self._traceback.goes_on(message, is_same_moment=is_same_moment)
        )

    @staticmethod
    def _is_soon(before: re.Match[str], match: re.Match[str]) -> bool:
        """Tell whether a line was written right after another one."""
        times = (line.groupdict().get("time") or "" for line in (before, match))
        first, second = (timestamps.parse_timestamp(time) or 0 for time in times)
        return 0 <= second - first <= _TRACEBACK_WITHIN_NS

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
        if "level" not in groups:
            row = self._json_record(text, groups)
            if row is not None:
                return row
            _take_level(text, groups)
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

    def _json_record(self, text: str, groups: dict[str, str]) -> LogRow | None:
        """Make a record of a JSON log line behind a head of syslog or of a container's runtime; None if it is none."""
        if not text.startswith("{"):
            return None
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        received_ns = timestamps.parse_timestamp(groups.get("time", ""), self._reference) or self._received_ns
        told = {name.replace("__", "."): value for name, value in groups.items() if name != "time"}
        if any(name in document for name in json_logs.LOGGER_KEYS):
            told.pop("logger", None)
        return self._logs.record({**told, **document}, received_ns)


def _message(match: re.Match[str]) -> str:
    return match.groupdict().get("message") or ""


def _unescaped(form: TextFormat | None, text: str) -> str:
    """Undo what rsyslog does to the line breaks of a message, so that a traceback is one again."""
    if form is None or not form.name.startswith("syslog") or "#012" not in text:
        return text
    return text.replace("#012", "\n").replace("#011", "\t")


def _writer(match: re.Match[str]) -> dict[str, str | None]:
    """Return what a head says of who wrote the line."""
    return {name: value for name, value in match.groupdict().items() if name not in _NOT_WRITER}


def _take_level(text: str, groups: dict[str, str]) -> None:
    """Take the level from the message's first word: so it comes where standard output goes to syslog."""
    found = _LEADING_LEVEL.match(text)
    if found is not None and "priority" not in groups:
        groups["level"] = found[1] or found[2]


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
