"""Forms of text log lines: the well-known ones, and those that a user names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from clew.errors import SettingsError
from clew.files.reader.severities import LEVEL_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class TextFormat:
    """One form of a line.

    Groups `time`, `level`, `logger`, `message`, `service`, `trace_id`, `span_id`, `correlation_id` have their place in
    a record; any other group becomes an attribute, its `__` read as a dot.
    """

    name: str
    source: str
    """The regular expression."""
    multiline: bool = True
    """Whether any line that does not match goes on with the record before it, or only an indented or a traceback's."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression, compiled when a text log is first read: together they take longer than many an answer."""
        return re.compile(self.source, re.DOTALL)


_TIME: Final = r"\d{4}[-/]\d\d[-/]\d\d[T _]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_CLF_TIME: Final = r"\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: [+-]\d{4})?"
_CTIME: Final = r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)? \d{4}"
_SYSLOG_TIME: Final = rf"(?:[A-Z][a-z]{{2}} +\d{{1,2}} \d\d:\d\d:\d\d|{_TIME})"
_GAP: Final = r"(?: +[|-])? +"
"""What stands between time, level and logger: spaces, with a bar or a dash in between."""
_LEVEL: Final = rf"(?P<level>{LEVEL_PATTERN})"
_LOGGER: Final = r"(?P<logger>[\w.$/-]+)"
_REQUEST: Final = (
    r'"(?P<message>(?:[^"\\]|\\.)*)" (?P<http__response__status_code>\d{3}|-)'
    r"(?: (?P<http__response__body__size>\d+|-))?"
)
_OF_TRACEBACK: Final = r"\s|$|Traceback \(most|The above exception|During handling|[A-Za-z_][\w.]*(?:: |$)"
"""How a line of a traceback begins; OpenStack writes each with a head, and without the request in brackets."""


KNOWN: Final = (
    TextFormat(
        "openstack",
        rf"(?:\S+\.log\S* +)?(?P<time>{_TIME}) (?P<process__pid>\d+) {_LEVEL} (?P<logger>[\w.-]+)"
        rf"(?: \[(?P<request>[^\]]*)\] ?| (?={_OF_TRACEBACK})|(?=$))(?P<message>.*)",
    ),
    TextFormat("celery", rf"\[(?P<time>{_TIME}): {_LEVEL}/(?P<process>[^\]]+)\] ?(?P<message>.*)"),
    TextFormat("gunicorn", rf"\[(?P<time>{_TIME})\] \[(?P<process__pid>\d+)\] \[{_LEVEL}\] ?(?P<message>.*)"),
    TextFormat("flask", rf"\[(?P<time>{_TIME})\] {_LEVEL} in (?P<logger>[\w.]+): ?(?P<message>.*)"),
    TextFormat(
        "loguru",
        rf"(?P<time>{_TIME}) \| {_LEVEL} *\| (?P<logger>[\w.<>]+):(?P<code__function__name>[\w.<>]+)"
        r":(?P<code__line__number>\d+) - (?P<message>.*)",
    ),
    TextFormat(
        "nginx-error",
        rf"(?P<time>\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d) \[{_LEVEL}\] (?P<process__pid>\d+)#\d+: (?P<message>.*)",
    ),
    TextFormat("python-dashes", rf"(?P<time>{_TIME}) - {_LOGGER} - {_LEVEL} - (?P<message>.*)"),
    TextFormat("python-dashes-level-first", rf"(?P<time>{_TIME}) - {_LEVEL} - (?:{_LOGGER} - )?(?P<message>.*)"),
    TextFormat(
        "java",
        rf"(?P<time>{_TIME}) +{_LEVEL} +(?P<process__pid>\d+) +--- \[ *(?P<thread__name>[^\]]*)\]"
        rf" {_LOGGER} *: (?P<message>.*)",
    ),
    TextFormat(
        "log4j",
        rf"(?P<time>{_TIME}) +{_LEVEL} +\[(?P<thread__name>.*?)\]"
        r" (?P<logger>[\w$]+(?:\.[\w$]+)+)(?: -|:) (?P<message>.*)",
    ),
    TextFormat("scrapy", rf"(?P<time>{_TIME}) \[(?P<logger>[\w.-]+)\] {_LEVEL}: ?(?P<message>.*)"),
    TextFormat(
        "time-level-logger-colon",
        rf"\[?(?P<time>{_TIME})\]?{_GAP}[\[(]?{_LEVEL}[\])]?(?: *[:|])? +\[?{_LOGGER}\]? *(?::| -|\|) (?P<message>.*)",
    ),
    TextFormat(
        "time-level-logger-bracket",
        rf"\[?(?P<time>{_TIME})\]?{_GAP}[\[(]?{_LEVEL}[\])]?(?: *[:|])? +\[(?P<logger>[\w.-]+)\] (?P<message>.*)",
    ),
    TextFormat(
        "time-logger-level",
        rf"\[?(?P<time>{_TIME})\]?{_GAP}(?!{LEVEL_PATTERN}\b|\d+\b){_LOGGER}(?: *[:|])?"
        rf" +\[?{_LEVEL}\]?(?: *[:|-])? +(?P<message>.*)",
    ),
    TextFormat(
        "time-pid-level",
        rf"\[?(?P<time>{_TIME})\]?{_GAP}[\[(]?(?P<process__pid>\d+)[\])]?{_GAP}[\[(]?{_LEVEL}\b[\])]? *[:|-]? *"
        r"(?P<message>.*)",
    ),
    TextFormat("time-level", rf"\[?(?P<time>{_TIME})\]?{_GAP}[\[(]?{_LEVEL}\b[\])]? *[:|-]? *(?P<message>.*)"),
    TextFormat(
        "tornado",
        rf"\[(?P<level>[DIWEC]) (?P<time>(?:{_TIME}|\d{{6}} \d\d:\d\d:\d\d)) {_LOGGER}"
        r"(?::(?P<code__line__number>\d+))?\] ?(?P<message>.*)",
    ),
    TextFormat("python-basic", rf"{_LEVEL}:(?P<logger>[\w.-]+):(?P<message>.*)"),
    TextFormat("uvicorn", rf"{_LEVEL}: +(?P<message>.*)"),
    TextFormat(
        "apache-access",
        rf"(?P<client__address>\S+) (?:\S+) (?P<user__name>\S+) \[(?P<time>{_CLF_TIME})\] {_REQUEST}"
        r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<user_agent__original>(?:[^"\\]|\\.)*)")?(?P<rest>.*)',
        multiline=False,
    ),
    TextFormat("django-server", rf"\[(?P<time>{_CLF_TIME})\] {_REQUEST}"),
    TextFormat(
        "apache-error",
        rf"\[(?P<time>{_CTIME})\] \[(?:(?P<logger>[\w-]*):)?{_LEVEL}\]"
        r"(?: \[pid (?P<process__pid>\d+)(?::tid (?P<thread__id>\d+))?\])?"
        r"(?: \[client (?P<client__address>[^\]]+)\])? ?(?P<message>.*)",
        multiline=False,
    ),
    TextFormat(
        "syslog-5424",
        rf"<(?P<priority>\d{{1,3}})>1 (?P<time>{_TIME}|-) (?P<host__name>\S+) (?P<logger>\S+)"
        r" (?P<process__pid>\S+) (?P<message_id>\S+)"
        r' (?:-|(?P<structured_data>(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)) ?(?P<message>.*)',
        multiline=False,
    ),
    TextFormat(
        "syslog",
        rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<time>{_SYSLOG_TIME}) (?P<host__name>[\w.:-]+) (?P<logger>[^\s\[:][^\[:]*?)"
        r"(?:\[(?P<process__pid>\d+)\])?: ?(?P<message>.*)",
        multiline=False,
    ),
    TextFormat("time-only", rf"\[?(?P<time>{_TIME})\]? *[:|-]? *(?P<message>.*)"),
)
"""The forms that detection tries, the more telling before the less."""

_STANDARD: Final = {
    "asctime": rf"(?P<time>{_TIME}|(?=\S*\d)\S.*?)",
    "created": r"(?P<time>\d+(?:\.\d+)?)",
    "levelname": rf"(?P<level>{LEVEL_PATTERN}|[A-Z][A-Z0-9_]*)",
    "levelno": r"(?P<level>\d+)",
    "name": r"(?P<logger>\S+)",
    "message": r"(?P<message>.*)",
    "lineno": r"(?P<code__line__number>\d+)",
    "funcName": r"(?P<code__function__name>\S+)",
    "pathname": r"(?P<code__file__path>.+?)",
    "process": r"(?P<process__pid>\d+)",
    "thread": r"(?P<thread__id>\d+)",
    "threadName": r"(?P<thread__name>.+?)",
    "msecs": r"(?P<milliseconds>\d+(?:\.\d+)?)",
    "trace_id": r"(?P<trace_id>[0-9a-fA-F]*|-|None)",
    "otelTraceID": r"(?P<trace_id>[0-9a-fA-F]*)",
    "span_id": r"(?P<span_id>[0-9a-fA-F]*|-|None)",
    "otelSpanID": r"(?P<span_id>[0-9a-fA-F]*)",
    "correlation_id": r"(?P<correlation_id>\S*)",
    "otelServiceName": r"(?P<service>\S*)",
}
"""What each field of a `logging` format looks like in a line."""

_FIELD: Final = re.compile(r"%\((\w+)\)[#0+ -]*(\d*)(?:\.\d+)?[sdifrx]|\{(\w+)(?:![rsa])?(?::([^}]*))?\}|\$\{(\w+)\}")
"""A field of the three styles; the second and fourth group hold a width or what else follows the name."""
_FAMILY: Final = (
    "time-level-logger-colon",
    "time-level-logger-bracket",
    "time-level",
)
"""Forms of which the last one matches whatever the others do."""
_FAMILY_SHARE: Final = 0.8
_MIN_SHARE: Final = 0.02
"""Share of a sample's recognised lines below which a form is taken for an accident."""


def format_named(text: str) -> TextFormat:
    """Read the form that a user names: a known name, a `logging` format, or an expression with named groups.

    Raises:
        SettingsError: If it is none of them.
    """
    known = {item.name: item for item in KNOWN}
    if text in known:
        return known[text]
    if "(?P<" in text:
        return _compiled(text, text)
    if _FIELD.search(text):
        return _compiled(text, _from_logging(text))
    raise SettingsError(
        f"the format {text!r} is neither a logging format such as '%(asctime)s %(levelname)s %(message)s', "
        f"nor a regular expression with named groups, nor one of {', '.join(known)}"
    )


def _compiled(text: str, source: str) -> TextFormat:
    """Make the form of an expression that a user wrote, or of one made from what a user wrote."""
    try:
        re.compile(source)
    except re.error as error:
        raise SettingsError(f"the format {text!r} is no regular expression: {error}") from None
    return TextFormat(text, source)


def detect(sample: Iterable[str]) -> tuple[TextFormat, ...]:
    """Tell which of the known forms the lines of a sample have, the more telling before the less."""
    matches = [{form.name for form in KNOWN if form.pattern.fullmatch(line)} for line in sample]
    passed = _accidental(matches)
    firsts = Counter(next((form.name for form in KNOWN if form.name in names - passed), "") for names in matches)
    del firsts[""]
    least = _MIN_SHARE * sum(firsts.values())
    return tuple(form for form in KNOWN if firsts[form.name] > least)


def _accidental(matches: list[set[str]]) -> set[str]:
    """Return the forms with a logger's name that only some of the lines have: there, a message began like one."""
    of_family = [names for names in matches if _FAMILY[-1] in names]
    counts = Counter(name for names in of_family for name in names)
    return {name for name in _FAMILY[:-1] if counts[name] < _FAMILY_SHARE * len(of_family)}


def _from_logging(text: str) -> str:
    """Turn a `logging` format into a pattern; a field that comes twice is matched once."""
    pattern, end, seen = "", 0, set[str]()
    for match in _FIELD.finditer(text):
        name = match[1] or match[3] or match[5]
        field = _STANDARD.get(name, rf"(?P<{name}>.*?)")
        group = field[4 : field.index(">")]
        pattern += _literal(text[end : match.start()]) + (field if group not in seen else ".*?")
        pattern = rf"{pattern} *" if match[2] or match[4] else pattern
        seen.add(group)
        end = match.end()
    return pattern + _literal(text[end:])


def _literal(text: str) -> str:
    """Match what stands between fields; how many spaces there are does not matter, since fields may be padded."""
    return re.sub(r"(?:\\ )+", " +", re.escape(text))
