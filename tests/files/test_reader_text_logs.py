"""Text logs: lines of labelled samples, made here in the forms of real programs, are understood as they were meant."""

from __future__ import annotations

import logging
import random
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import SettingsError
from clew.files.reader import formats
from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, RawLine, ReadStats
from clew.files.reader.severities import severity_of
from clew.files.reader.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clew.files.reader.formats import TextFormat

START: Final = datetime(2026, 1, 31, 14, 0, tzinfo=timezone.utc)
LOGGERS: Final = ("shop", "shop.orders", "nova.compute.manager", "django.db.backends", "__main__")
MESSAGES: Final = (
    "checkout for customer 17",
    "reserved 3 items: [1, 2, 3]",
    "slow query (1.2 s): SELECT * FROM orders WHERE id = 5",
    "GET /api/v1/orders?id=5 HTTP/1.1 - 200 - ok",
    "user 'ann' said \"hello: world\"",
    "retry in 5s - attempt 2/3",
    "ERROR is only a word here",
    "10.0.0.1:8080 connected | tls=on",
    "[worker-1] picked up job 17",
    "key=value other=thing",
)
TRACEBACK: Final = (
    "Traceback (most recent call last):",
    '  File "/srv/shop/orders.py", line 7, in place',
    "    raise OrderError(order)",
    "shop.orders.OrderError: order 17: sold out",
)


class Label(NamedTuple):
    """What a line means; of a line that goes on with the one before only `message` counts."""

    time_ns: int
    severity: int
    logger: str
    message: str
    raised: str = ""


class Sample(NamedTuple):
    """A text log and what each of its records means, with how many lines it has."""

    lines: list[str]
    labels: list[tuple[Label, int]]


def make_sample(
    seed: int, head: Callable[[random.Random, datetime], tuple[str, Label]], *, multiline: bool = True
) -> Sample:
    """Make 300 records; some go on over several lines or carry a traceback."""
    chance = random.Random(seed)
    lines, labels, time = [], [], START
    for _ in range(300):
        time += timedelta(milliseconds=chance.randrange(1, 5000))
        line, label = head(chance, time)
        more: tuple[str, ...] = ()
        if multiline and chance.random() < 0.1:
            more, label = TRACEBACK, label._replace(raised="shop.orders.OrderError")
        elif multiline and chance.random() < 0.05:
            more = ("second line of it", "  and a third: 5")
            label = label._replace(message="\n".join([label.message, *more]))
        told = [*line.split("\n"), *more]
        lines += told
        labels.append((label, len(told)))
    return Sample(lines, labels)


def _ns(time: datetime, *, per: int = 1_000_000) -> int:
    """Return the time in nanoseconds as exactly as the form writes it."""
    whole = int(time.timestamp()) * 10**9 + time.microsecond * 1000
    return whole // per * per


def _python(
    template: str, *, datefmt: str | None = None, per: int = 1_000_000
) -> Callable[[random.Random, datetime], tuple[str, Label]]:
    """Make lines with `logging` itself, by a format."""
    formatter = logging.Formatter(template, datefmt, style="{" if "{message}" in template else "%")

    def head(chance: random.Random, time: datetime) -> tuple[str, Label]:
        level = chance.choice([10, 20, 20, 30, 40, 50])
        name, message = chance.choice(LOGGERS), chance.choice(MESSAGES)
        record = logging.LogRecord(name, level, "/srv/shop/orders.py", 7, message, (), None, "place")
        record.created = time.timestamp()
        record.msecs = time.microsecond // 1000
        has_time, has_name = "asctime" in template, "name}" in template or "(name)" in template
        label = Label(
            _ns(time, per=per) if has_time else 0,
            severity_of(logging.getLevelName(level)),
            name if has_name else "",
            message,
        )
        return formatter.format(record), label

    return head


def _pick(chance: random.Random, levels: str) -> str:
    return chance.choice(levels.split())


def _openstack(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level, name, message = (
        _pick(chance, "INFO INFO WARNING ERROR DEBUG"),
        chance.choice(LOGGERS[1:4]),
        chance.choice(MESSAGES[:4]),
    )
    request = f"req-{chance.getrandbits(32):08x}-2096-447d-96ea-a692162415ae 113d3a99c3da 54fadb412c4e - - -"
    stamp = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}"
    return f"{stamp} 25746 {level} {name} [{request}] {message}", Label(_ns(time), severity_of(level), name, message)


def _apache_error(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level = _pick(chance, "notice error warn info crit")
    message = chance.choice(
        [
            "workerEnv.init() ok /etc/httpd/workers2.properties",
            "mod_jk child init 1 -2",
            "Directory index forbidden: /srv/",
        ]
    )
    client = f"[client {chance.randrange(255)}.17.2.{chance.randrange(255)}] " if chance.random() < 0.3 else ""
    return f"[{time:%a %b %d %H:%M:%S %Y}] [{level}] {client}{message}", Label(
        _ns(time, per=10**9), severity_of(level), "", message
    )


def _apache_error_24(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level, module = _pick(chance, "notice error warn info"), _pick(chance, "core ssl proxy_http mpm_event")
    message = chance.choice(["AH00094: Command line: 'httpd'", "AH01630: client denied by server configuration: /srv"])
    client = f" [client 10.0.0.{chance.randrange(255)}:5{chance.randrange(1000)}]" if chance.random() < 0.5 else ""
    stamp = f"{time:%a %b %d %H:%M:%S}.{time.microsecond:06} {time:%Y}"
    line = f"[{stamp}] [{module}:{level}] [pid 35708:tid 4328636416]{client} {message}"
    return line, Label(_ns(time, per=1000), severity_of(level), module, message)


def _apache_access(chance: random.Random, time: datetime) -> tuple[str, Label]:
    message = f"{_pick(chance, 'GET POST HEAD')} /orders/{chance.randrange(100)}?q=a%20b HTTP/1.1"
    size = chance.choice(["-", "512", "18023"])
    rest = ' "http://shop.example/" "Mozilla/5.0 (X11; Linux x86_64) \\"quoted\\""' if chance.random() < 0.7 else ""
    user = chance.choice(["-", "ann"])
    head = f"10.0.0.{chance.randrange(255)} - {user} [{time:%d/%b/%Y:%H:%M:%S} +0000]"
    line = f'{head} "{message}" {chance.choice([200, 404, 500])} {size}{rest}'
    return line, Label(_ns(time, per=10**9), 9, "", message)


def _linux(chance: random.Random, time: datetime) -> tuple[str, Label]:
    program = _pick(chance, "sshd(pam_unix) kernel su(pam_unix) ftpd systemd cups gpm logrotate")
    pid = f"[{chance.randrange(1, 32000)}]" if chance.random() < 0.7 else ""
    message = chance.choice(
        [
            "authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=218.188.2.4",
            "session opened for user cyrus by (uid=0)",
            "ALERT exited abnormally with [1]",
            "connection from 24.54.76.216 (24-54-76-216.example) at Fri Jun 17 07:07:00 2005",
            "CPU0: Intel Pentium III stepping 01",
            "Started Session 5 of user root.",
        ]
    )
    stamp = f"{time:%b} {time.day:2d} {time:%H:%M:%S}"
    return f"{stamp} combo {program}{pid}: {message}", Label(_ns(time, per=10**9), 9, program, message)


def _syslog_5424(chance: random.Random, time: datetime) -> tuple[str, Label]:
    severity = chance.randrange(8)
    message = chance.choice(MESSAGES[:4])
    data = chance.choice(["-", '[meta sequenceId="5"][a b="x \\] y"]'])
    expected = (24, 22, 21, 17, 13, 10, 9, 5)[severity]
    line = f"<{16 * 8 + severity}>1 {time:%Y-%m-%dT%H:%M:%S.%f}Z host1 app 4711 ID47 {data} {message}"
    return line, Label(_ns(time, per=1000), expected, "app", message)


def _gunicorn(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level, message = (
        _pick(chance, "INFO INFO WARNING ERROR"),
        chance.choice(["Booting worker with pid: 17", "Handling signal: term"]),
    )
    return f"[{time:%Y-%m-%d %H:%M:%S} +0000] [4711] [{level}] {message}", Label(
        _ns(time, per=10**9), severity_of(level), "", message
    )


def _celery(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level, message = _pick(chance, "INFO INFO WARNING ERROR"), chance.choice(MESSAGES)
    stamp = f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03}"
    return f"[{stamp}: {level}/ForkPoolWorker-2] {message}", Label(_ns(time), severity_of(level), "", message)


def _loguru(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level, name, message = (
        _pick(chance, "INFO SUCCESS WARNING ERROR TRACE"),
        chance.choice(LOGGERS),
        chance.choice(MESSAGES),
    )
    stamp = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}"
    return f"{stamp} | {level: <8} | {name}:place:7 - {message}", Label(_ns(time), severity_of(level), name, message)


def _with_traceback(chance: random.Random, head: str) -> tuple[tuple[str, ...], str]:
    """Make the further lines of a record, each behind a head of its own, and what they say was raised."""
    if chance.random() < 0.8:
        return (), ""
    chained = ("", "During handling of the above exception, another exception occurred:", "", *TRACEBACK)
    lines = (*TRACEBACK, *(chained if chance.random() < 0.3 else ()))
    return tuple(head + line for line in lines), "shop.orders.OrderError"


def _openstack_failing(chance: random.Random, time: datetime) -> tuple[str, Label]:
    stamp = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}"
    name, message = chance.choice(LOGGERS[1:4]), chance.choice(MESSAGES[:4])
    more, raised = _with_traceback(chance, f"{stamp} 25746 ERROR {name} ")
    line = f"{stamp} 25746 ERROR {name} [req-{chance.getrandbits(32):08x} - - - - -] {message}"
    return "\n".join([line, *more]), Label(_ns(time), 17, name, message, raised)


def _apache_wsgi(chance: random.Random, time: datetime) -> tuple[str, Label]:
    head = (
        f"[{time:%a %b %d %H:%M:%S}.{time.microsecond:06} {time:%Y}] [wsgi:error] [pid 1235:tid 140012345678]"
        f" [client 10.0.0.{chance.randrange(255)}:51000] "
    )
    message = "mod_wsgi (pid=1235): Exception occurred processing WSGI script '/srv/app.wsgi'."
    more, raised = _with_traceback(chance, head)
    return "\n".join([head + message, *more]), Label(_ns(time, per=1000), 17, "wsgi", message, raised)


def _syslog_failing(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level, text = _pick(chance, "INFO WARNING ERROR"), chance.choice(MESSAGES[:4])
    head = f"{time:%b} {time.day:2d} {time:%H:%M:%S} combo shop[{chance.randrange(1, 32000)}]: "
    message = f"{level}:shop.orders:{text}"
    more, raised = _with_traceback(chance, head)
    label = Label(_ns(time, per=10**9), severity_of(level), "shop", message, raised)
    return "\n".join([head + message, *more]), label


def _nginx(chance: random.Random, time: datetime) -> tuple[str, Label]:
    level = _pick(chance, "error warn notice crit")
    message = f'*{chance.randrange(99)} open() "/srv/a" failed (2: No such file or directory), client: 10.0.0.1'
    return f"{time:%Y/%m/%d %H:%M:%S} [{level}] 123#123: {message}", Label(
        _ns(time, per=10**9), severity_of(level), "", message
    )


SAMPLES: Final = {
    "python dashes": _python("%(asctime)s - %(name)s - %(levelname)s - %(message)s"),
    "python level name colon": _python("%(asctime)s %(levelname)s %(name)s: %(message)s"),
    "python padded": _python("%(asctime)s %(levelname)-8s %(name)s: %(message)s"),
    "python brackets": _python("%(asctime)s [%(levelname)s] %(name)s: %(message)s"),
    "python name level": _python("%(asctime)s %(name)s %(levelname)s %(message)s"),
    "python name brackets": _python("%(asctime)s [%(name)s] %(levelname)s: %(message)s"),
    "python level only": _python("%(asctime)s %(levelname)s %(message)s"),
    "python basic": _python("%(levelname)s:%(name)s:%(message)s"),
    "python iso": _python("%(asctime)s %(levelname)s [%(name)s] %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z", per=10**9),
    "python process level": _python("%(asctime)s %(process)d %(levelname)s %(message)s"),
    "python flask": _python("[%(asctime)s] %(levelname)s in %(name)s: %(message)s"),
    "python pipes": _python("{asctime} | {levelname:<8} | {name} | {message}"),
    "openstack": _openstack,
    "gunicorn": _gunicorn,
    "celery": _celery,
    "loguru": _loguru,
}  # fmt: skip
SINGLE: Final = {
    "apache error": _apache_error,
    "apache error 2.4": _apache_error_24,
    "apache access": _apache_access,
    "linux": _linux,
    "syslog 5424": _syslog_5424,
    "nginx": _nginx,
    "openstack with tracebacks": _openstack_failing,
    "apache with tracebacks": _apache_wsgi,
    "syslog with tracebacks": _syslog_failing,
}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read times without an offset as UTC, as the samples write them."""
    import time  # noqa: PLC0415 - one fixture needs it

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def _read_rows(
    path: Path, lines: list[str], form: TextFormat | None = None, stats: ReadStats | None = None
) -> list[object]:
    path.write_text("\n".join(lines) + "\n")
    import os  # noqa: PLC0415 - one function needs it

    os.utime(path, (START.timestamp() + 86400, START.timestamp() + 86400))
    return list(read(find_sources([path]), stats or ReadStats(), form=form))


def share_right(sample: Sample, rows: list[object]) -> float:
    """Return the share of lines whose record says what was meant."""
    meant: dict[Label, list[int]] = {}
    for label, lines in sample.labels:
        meant.setdefault(label, []).append(lines)
    right = 0
    for row in rows:
        if isinstance(row, LogRow):
            raised = str(row.attribute("exception.type") or "")
            waiting = meant.get(Label(row.time_ns, row.severity_number, row.logger, row.message, raised))
            right += waiting.pop() if waiting else 0
    return right / len(sample.lines)


@pytest.mark.parametrize("name", [*SAMPLES, *SINGLE])
@pytest.mark.parametrize("seed", [1, 2])
def test_labelled_samples(tmp_path: Path, name: str, seed: int) -> None:
    """At least 95 % of the lines of each sample are understood by a form that is detected, not named."""
    sample = make_sample(seed, {**SAMPLES, **SINGLE}[name], multiline=name in SAMPLES)

    share = share_right(sample, _read_rows(tmp_path / "app.log", sample.lines))

    assert share >= 0.95


@pytest.mark.parametrize(
    "template",
    [
        "%(asctime)s %(levelname)-8s [%(filename)s:%(lineno)d] %(name)s - %(message)s",
        "%(levelname)s|%(name)s|%(process)d|%(threadName)s|%(asctime)s|%(message)s",
        "{asctime} {levelname} {name} {message}",
    ],
)
def test_named_format(tmp_path: Path, template: str) -> None:
    """Lines of a `logging` format that the user names are all understood."""
    sample = make_sample(3, _python(template))

    rows = _read_rows(tmp_path / "app.log", sample.lines, formats.format_named(template))

    assert share_right(sample, rows) >= 0.95


def test_named_expression(tmp_path: Path) -> None:
    """A regular expression with named groups: known groups have their place, others are attributes, `__` is a dot."""
    form = formats.format_named(r"<(?P<level>\w+)> (?P<user__name>\w+) (?P<correlation_id>\S+) (?P<message>.*)")

    (row,) = _read_rows(tmp_path / "app.log", ["<warn> ann order-1 it is late"], form)

    assert isinstance(row, LogRow)
    assert (13, "it is late", "order-1", "ann") == (
        row.severity_number,
        row.message,
        row.correlation_id,
        row.attribute("user.name"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [("no fields", "is neither a logging format"), ("(?P<a>[", "is no regular expression")],
)
def test_bad_format(text: str, says: str) -> None:
    """A format that is none is refused with what one looks like."""
    with pytest.raises(SettingsError, match=re.escape(says)):
        formats.format_named(text)


def test_ids_in_the_words_of_a_line(tmp_path: Path) -> None:
    """IDs that a format string wrote as `trace_id=...` are found."""
    trace_id, span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    line = f"2026-01-31 14:00:00,000 INFO shop: [trace_id={trace_id} span_id={span_id} correlation_id=order-1] hello"

    (row,) = _read_rows(tmp_path / "app.log", [line])

    assert isinstance(row, LogRow)
    assert (trace_id, span_id, "order-1") == (row.trace_id, row.span_id, row.correlation_id)


@pytest.mark.parametrize("header", ["Traceback", "  + Exception Group Traceback"])
def test_torn_traceback_is_kept(header: str, tmp_path: Path) -> None:
    """A traceback of which a log has only the first line is its record's, and says of no exception what it was."""
    lines = ["ERROR:shop:failed", f"{header} (most recent call last):"]

    (row,) = _read_rows(tmp_path / "app.log", lines)

    assert isinstance(row, LogRow)
    assert ("failed", "ERROR") == (row.message, row.severity_text)


def test_chained_traceback_is_one_record(tmp_path: Path) -> None:
    """A traceback with causes belongs to its record; the last exception is what was raised."""
    lines = [
        "ERROR:shop:failed",
        *TRACEBACK,
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "/srv/shop/api.py", line 3, in post',
        "    place()",
        "shop.api.ApiError: could not place",
        "of two lines",
        "INFO:shop:next",
    ]

    first, second = _read_rows(tmp_path / "app.log", lines)

    assert isinstance(first, LogRow)
    assert isinstance(second, LogRow)
    assert ("failed", "shop.api.ApiError", "could not place\nof two lines", "next") == (
        first.message,
        first.attribute("exception.type"),
        first.attribute("exception.message"),
        second.message,
    )
    assert "\n".join(lines[1:-1]) == first.attribute("exception.stacktrace")


def test_traceback_of_another_process(tmp_path: Path) -> None:
    """Where each line has a head, a traceback ends with what was raised, and is never joined to another process's."""
    head, other = "Jan 31 14:00:00 combo shop[7]: ", "Jan 31 14:00:00 combo mail[8]: "
    lines = [f"{other}sent", *(head + line for line in TRACEBACK), f"{head}next", f"{other}sent"]

    rows = [row for row in _read_rows(tmp_path / "app.log", lines) if isinstance(row, LogRow)]

    assert [
        ("mail", "sent", None),
        ("shop", "", "shop.orders.OrderError"),
        ("shop", "next", None),
        ("mail", "sent", None),
    ] == [(row.logger, row.message, row.attribute("exception.type")) for row in rows]
    assert "\n".join(TRACEBACK) == rows[1].attribute("exception.stacktrace")


def test_line_breaks_that_rsyslog_escaped(tmp_path: Path) -> None:
    """A traceback that rsyslog made one line of is a traceback again."""
    (row,) = _read_rows(tmp_path / "app.log", ["Jan 31 14:00:00 combo shop[7]: failed#012" + "#012".join(TRACEBACK)])

    assert isinstance(row, LogRow)
    assert ("failed", "\n".join(TRACEBACK)) == (row.message, row.attribute("exception.stacktrace"))


def test_json_behind_a_head(tmp_path: Path) -> None:
    """A JSON log line in syslog is that record; the head tells what the object does not."""
    line = '{"timestamp": "2026-01-31T13:59:59.5Z", "level": "ERROR", "message": "sold out", "order": 17}'

    (row,) = _read_rows(tmp_path / "app.log", [f"Jan 31 14:00:00 combo shop[7]: {line}"])

    assert isinstance(row, LogRow)
    assert ("sold out", 17, "shop", {"order": 17, "host.name": "combo", "process.pid": "7"}) == (
        row.message,
        row.severity_number,
        row.logger,
        row.attributes,
    )


def test_lines_that_belong_to_no_record(tmp_path: Path) -> None:
    """In a form of one line per record, other lines stay raw and are counted; tracebacks are still joined."""
    access = '10.0.0.1 - - [31/Jan/2026:14:00:00 +0000] "GET / HTTP/1.1" 200 5'
    stats = ReadStats()

    rows = _read_rows(tmp_path / "app.log", [access, "garbage", access, "  indented", access], stats=stats)

    assert ["LogRow", "RawLine", "LogRow", "LogRow"] == [type(row).__name__ for row in rows]
    assert 1 == stats.foreign


def test_no_form_at_all(tmp_path: Path) -> None:
    """A text in no known form comes line by line as raw."""
    rows = _read_rows(tmp_path / "app.log", ["once upon", "a time"])

    assert ["once upon", "a time"] == [row.text for row in rows if isinstance(row, RawLine)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("head", ["", "2026-01-31 14:00:00 INFO ", "[2026-01-31 14:00:00] ", "Jan 31 14:00:00 combo "])
@pytest.mark.parametrize("part", [" ", "a ", "[", "- ", '"', "a.b:", "a | "])
def test_long_lines_of_one_kind(tmp_path: Path, head: str, part: str) -> None:
    """No form takes more than a line's length in time: a megabyte of anything is read, not pondered for hours."""
    rows = _read_rows(tmp_path / "app.log", [head + part * (1_000_000 // len(part))])

    assert len(rows) <= 1


def test_syslog_year(tmp_path: Path) -> None:
    """A time without a year is the last such day before the file's change."""
    rows = _read_rows(tmp_path / "messages.log", ["Dec 31 23:59:59 host app: old", "Jan 31 14:00:00 host app: new"])

    times = [datetime.fromtimestamp(row.time_ns / 1e9, timezone.utc).year for row in rows if isinstance(row, LogRow)]
    assert [2025, 2026] == times


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=("Cs",)), max_size=30), max_size=10)
)
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """Whatever a text log holds, each line ends up in a record, in a raw line, or is blank."""
    path = tmp_path_factory.mktemp("text") / "app.log"
    path.write_text("ERROR:a:first\n" + "\n".join(lines))
    stats = ReadStats()

    rows = list(read(find_sources([path]), stats))

    text = "\n".join(
        str(row.body) if isinstance(row, LogRow) else row.text for row in rows if isinstance(row, (LogRow, RawLine))
    )
    missing = [
        line for line in lines if line.strip() and "\x00" not in line and not line.isspace() and line not in text
    ]
    assert [line for line in missing if not line.startswith(("{", "\x1b")) and "\x1b" not in line] == [] or stats.binary
