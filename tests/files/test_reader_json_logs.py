"""JSON logs of several libraries: message, level, logger, time, IDs and exceptions land where they belong."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import loguru
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter

from clew.files.reader.json_logs import JsonLogs
from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, ReadStats
from clew.files.reader.sources import find_sources
from clew.logs.fingerprint import fingerprint_traceback_text

if TYPE_CHECKING:
    from pathlib import Path

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"


def _read_text(tmp_path: Path, *lines: str) -> list[LogRow]:
    path = tmp_path / "app.log"
    path.write_text("".join(line.rstrip("\n") + "\n" for line in lines))
    return [row for row in read(find_sources([path]), ReadStats()) if isinstance(row, LogRow)]


def _brief(row: LogRow) -> tuple[str, int, str, str]:
    return row.logger, row.severity_number, row.severity_text, row.message


def test_console_line(tmp_path: Path) -> None:
    """Clew's own console line is read whole: IDs, code, thread, exception and the caller's attributes."""
    line = {
        "timestamp": "2026-01-31T14:00:00.123456Z",
        "level": "ERROR",
        "logger": "shop.orders",
        "message": "order failed",
        "service": "shop",
        "correlation_id": "order-4711",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "trace_flags": "01",
        "code": {"file": "/srv/shop.py", "function": "place", "line": 7},
        "thread": "MainThread",
        "exception": {"type": "KeyError", "message": "'x'", "stacktrace": "Traceback ...", "fingerprint": "ab" * 16},
        "attributes": {"items": [1, 2], "amount": 1.5},
    }

    (row,) = _read_text(tmp_path, json.dumps(line))

    assert ("shop.orders", 17, "ERROR", "order failed") == _brief(row)
    assert (1769868000123456000, "shop", TRACE_ID, SPAN_ID, 1) == (
        row.time_ns,
        row.service,
        row.trace_id,
        row.span_id,
        row.trace_flags,
    )
    assert {
        "correlation.id": "order-4711",
        "exception.type": "KeyError",
        "exception.message": "'x'",
        "exception.stacktrace": "Traceback ...",
        "error.fingerprint": "ab" * 16,
        "code.file.path": "/srv/shop.py",
        "code.function.name": "place",
        "code.line.number": 7,
        "thread.name": "MainThread",
        "items": [1, 2],
        "amount": 1.5,
    } == row.attributes


def test_python_json_logger(tmp_path: Path) -> None:
    """python-json-logger's lines: renamed or plain fields, extras as attributes, exceptions split."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.Logger("shop.pay")  # noqa: LOG001 - not in the tree, so no other test hears it
    logger.addHandler(handler)
    logger.warning("card %s is old", 3, extra={"card": "visa"})
    try:
        raise ValueError("no money")  # noqa: TRY301 - a traceback to log
    except ValueError:
        logger.exception("charge failed")

    first, second = _read_text(tmp_path, *stream.getvalue().splitlines())

    assert ("shop.pay", 13, "WARNING", "card 3 is old") == _brief(first)
    assert {"card": "visa"} == first.attributes
    assert first.time_ns > 0
    assert ("shop.pay", 17, "ERROR", "charge failed") == _brief(second)
    assert ("ValueError", "no money") == (second.attribute("exception.type"), second.attribute("exception.message"))


def test_structlog(tmp_path: Path) -> None:
    """Structlog's JSON renderer: the event is the message, key-values are attributes."""
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    logger.info("order placed", order=17, correlation_id="order-17", trace_id=TRACE_ID)
    try:
        raise KeyError("x")  # noqa: TRY301 - a traceback to log
    except KeyError:
        logger.exception("broken")

    first, second = _read_text(tmp_path, *stream.getvalue().splitlines())

    assert ("", 9, "info", "order placed") == _brief(first)
    assert ({"correlation.id": "order-17", "order": 17}, TRACE_ID) == (first.attributes, first.trace_id)
    assert (17, "KeyError", "'x'") == (
        second.severity_number,
        second.attribute("exception.type"),
        second.attribute("exception.message"),
    )


def test_structlog_with_tracebacks_as_objects(tmp_path: Path) -> None:
    """An exception that structlog's `dict_tracebacks` took apart is a traceback again, and in the group of its text."""
    stream = io.StringIO()
    for processor in (structlog.processors.dict_tracebacks, structlog.processors.format_exc_info):
        logger = structlog.wrap_logger(
            structlog.PrintLogger(stream), processors=[processor, structlog.processors.JSONRenderer()]
        )
        try:
            try:
                raise KeyError("x")  # noqa: TRY301 - a traceback to log
            except KeyError as error:
                raise ValueError("no such order") from error
        except ValueError:
            logger.exception("broken")

    first, second = _read_text(tmp_path, *stream.getvalue().splitlines())

    assert ("ValueError", "no such order") == (first.attribute("exception.type"), first.attribute("exception.message"))
    stacktraces = [str(row.attribute("exception.stacktrace")) for row in (first, second)]
    assert "\nThe above exception was the direct cause of the following exception:\n\n" in stacktraces[0]
    assert fingerprint_traceback_text(stacktraces[0]) == fingerprint_traceback_text(stacktraces[1])


def test_journal(tmp_path: Path) -> None:
    """`journalctl -o json`: times in microseconds, syslog's priorities, the program as the logger."""
    entry = {
        "__REALTIME_TIMESTAMP": "1769868000500000", "PRIORITY": "3", "MESSAGE": "sold out",
        "SYSLOG_IDENTIFIER": "shop", "_PID": "12", "_HOSTNAME": "web1",
    }  # fmt: skip

    (row,) = _read_text(tmp_path, json.dumps(entry))

    assert ("shop", 17, "err", "sold out") == _brief(row)
    assert (1769868000500000000, {"process.pid": "12", "host.name": "web1"}) == (row.time_ns, row.attributes)


def test_loguru_serialize(tmp_path: Path) -> None:
    """Loguru's serialized records: level, time, logger and extra are found inside `record`."""
    stream = io.StringIO()
    logger = loguru.logger
    handler = logger.add(stream, serialize=True, format="{message}")
    logger.bind(order=17).success("order placed")
    try:
        raise KeyError("x")  # noqa: TRY301 - a traceback to log
    except KeyError:
        logger.exception("broken")
    logger.remove(handler)

    first, second = _read_text(tmp_path, *stream.getvalue().splitlines())

    assert (__name__, 10, "SUCCESS", "order placed") == _brief(first)
    assert (17, "test_loguru_serialize") == (first.attribute("order"), first.attribute("code.function.name"))
    assert first.time_ns > 0
    assert (17, "broken", "KeyError") == (second.severity_number, second.message, second.attribute("exception.type"))
    assert "KeyError: 'x'" in str(second.attribute("exception.stacktrace"))


@pytest.mark.parametrize("is_nested", [False, True])
def test_elastic_common_schema(tmp_path: Path, is_nested: bool) -> None:
    """ECS lines, dotted or nested: the same record."""
    line: dict[str, Any] = {"@timestamp": "2026-01-31T14:00:00.123Z", "message": "order failed", "ecs.version": "1.6.0"}
    if is_nested:
        line |= {
            "log": {"level": "error", "logger": "shop"},
            "trace": {"id": TRACE_ID},
            "service": {"name": "shop-api"},
            "error": {"type": "KeyError", "message": "'x'", "stack_trace": "Traceback..."},
        }
    else:
        line |= {
            "log.level": "error",
            "log.logger": "shop",
            "trace.id": TRACE_ID,
            "service.name": "shop-api",
            "error.type": "KeyError",
            "error.message": "'x'",
            "error.stack_trace": "Traceback...",
        }

    (row,) = _read_text(tmp_path, json.dumps(line))

    assert ("shop", 17, "error", "order failed") == _brief(row)
    assert ("shop-api", TRACE_ID, 1769868000123000000) == (row.service, row.trace_id, row.time_ns)
    assert {
        "exception.type": "KeyError",
        "exception.message": "'x'",
        "exception.stacktrace": "Traceback...",
        "ecs.version": "1.6.0",
    } == row.attributes


def test_pino_levels(tmp_path: Path) -> None:
    """In pino's lines 30 is INFO and time is milliseconds; in Python's numbers 30 is WARNING."""
    pino = {"level": 30, "time": 1769868000123, "pid": 1, "hostname": "a", "msg": "hello"}
    python = {"levelno": 30, "created": 1, "message": "hello"}

    first, second = _read_text(tmp_path, json.dumps(pino), json.dumps(python))

    assert (9, 1769868000123000000) == (first.severity_number, first.time_ns)
    assert 13 == second.severity_number


def test_docker_lines(tmp_path: Path) -> None:
    """Docker's wrapping is taken off: JSON and text inside, long lines put together again, tracebacks joined."""

    def wrap(text: str) -> str:
        return json.dumps({"log": text, "stream": "stderr", "time": "2026-01-31T14:00:00.5Z"})

    rows = _read_text(
        tmp_path,
        wrap('{"level": "INFO", "message": "json inside"}\n'),
        wrap("WARNING:shop:a long "),
        wrap("line\n"),
        wrap("ERROR:shop:failed\n"),
        wrap("Traceback (most recent call last):\n"),
        wrap('  File "a.py", line 1, in f\n'),
        wrap("KeyError: 'x'\n"),
    )

    assert [
        ("", 9, "INFO", "json inside"),
        ("shop", 13, "WARNING", "a long line"),
        ("shop", 17, "ERROR", "failed"),
    ] == [_brief(row) for row in rows]
    assert [1769868000500000000] * 3 == [row.time_ns for row in rows]
    assert "KeyError" == rows[2].attribute("exception.type")


def test_kubernetes_lines(tmp_path: Path) -> None:
    """The CRI prefix is taken off and partial lines are put together."""
    time = "2026-01-31T14:00:00.500000000Z"

    rows = _read_text(
        tmp_path,
        f'{time} stdout F {{"level": "INFO", "msg": "whole"}}',
        f'{time} stdout P {{"level": "INFO", ',
        f'{time} stdout F "msg": "in parts"}}',
        f"{time} stderr F ERROR:shop:failed",
    )

    assert ["whole", "in parts", "failed"] == [row.message for row in rows]
    assert [1769868000500000000] * 3 == [row.time_ns for row in rows]


def test_lines_with_the_time_that_they_were_received(tmp_path: Path) -> None:
    """The times of `kubectl logs --timestamps` and `docker logs -t` are taken off: what is inside counts."""
    time = "2026-01-31T14:00:00.500000000Z"
    lines = ("ERROR:shop:failed", "Traceback (most recent call last):", '  File "a.py", line 1, in f', "KeyError: 'x'")

    (row,) = _read_text(tmp_path, *(f"{time} {line}" for line in lines))

    assert ("shop", 17, "ERROR", "failed") == _brief(row)
    assert (1769868000500000000, "KeyError") == (row.time_ns, row.attribute("exception.type"))


def test_otlp_inside_a_container(tmp_path: Path) -> None:
    """OTLP lines that a container printed are read as what they are."""
    inner = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "inside"}}]}]}]}

    rows = _read_text(tmp_path, f"2026-01-31T14:00:00Z stdout F {json.dumps(inner)}")

    assert ["inside"] == [row.message for row in rows]


def test_no_log_line_stays_raw(tmp_path: Path) -> None:
    """An object that is no log line is counted as foreign."""
    path = tmp_path / "app.log"
    path.write_text('{"a": 1}\n{"message": "b"}\n')
    stats = ReadStats()

    rows = list(read(find_sources([path]), stats))

    assert ["RawLine", "LogRow"] == [type(row).__name__ for row in rows]
    assert 1 == stats.foreign


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
known_names = st.sampled_from(
    ["message", "msg", "level", "time", "timestamp", "logger", "service", "exception", "error", "trace_id", "record",
     "text", "code", "thread", "attributes", "log", "exc_info", "trace_flags", "correlation_id", "hostname"]
)  # fmt: skip


@given(st.dictionaries(known_names | st.text(max_size=5), json_values, max_size=8))
def test_any_object_is_taken_or_left(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    """Whatever stands under the known names, an object becomes a record whose fields can be read, or none."""
    row = JsonLogs(tmp_path_factory.getbasetemp()).record(dict(document))

    if row is not None:
        assert isinstance(row.message, str)
        assert isinstance(row.severity_number, int)
        assert isinstance(row.attributes, dict)
        assert 0 <= row.time_ns < 2**64
