"""Any record becomes an entry with its own values, in the order of the entry's fields."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.correlation.origin import NO_IDS, CurrentIds
from clew.entry import LogEntry
from clew.logs.record import describe_exception, severity_number, translate
from clew.logs.values import MAX_DEPTH, Sanitizer

IDS = CurrentIds(1, 2, 3, "req")


def _record(message: Any = "said %s", *args: Any, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("app", logging.INFO, "/app.py", 7, message, args, None, "run")
    record.__dict__.update(created=2.5, thread=9, threadName="T", **extra)
    return record


def test_every_field_stands_where_the_entry_has_it() -> None:
    """The entry that is made without its constructor equals one made with it."""
    expected = LogEntry(
        time_ns=2_500_000_000,
        severity_number=9,
        severity_text="INFO",
        scope="app",
        body="said hi",
        event_name="greeting",
        trace_id=1,
        span_id=2,
        trace_flags=3,
        correlation_id="req",
        attributes={"a": 1, "b": [None, 1.5]},
        code=("/app.py", "run", 7),
        thread=(9, "T"),
        exception=None,
        uid=None,
    )

    assert expected == translate(_record("said %s", "hi", a=1, b=(None, 1.5), **{"otel.event.name": "greeting"}), IDS)


def test_misplaced_keys_are_found() -> None:
    """What a caller added is found wherever it stands among what every record has."""
    record = _record("m", early=1)
    name = record.__dict__.pop("processName")
    record.processName = name
    record.late = 2

    assert {"early": 1, "late": 2} == translate(record, NO_IDS).attributes


@pytest.mark.parametrize(
    ("level", "number"),
    [(0, 0), (5, 4), (10, 5), (15, 8), (20, 9), (25, 12), (30, 13), (40, 17), (50, 21), (53, 24), (10**6, 24), (-1, 0)],
)
def test_severity_numbers(level: int, number: int) -> None:
    """Each level of logging has OpenTelemetry's number, the ones in between a finer step."""
    assert number == severity_number(level)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


def _depth(value: Any) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(member) for member in members), default=0)


def _is_sendable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and key and key.encode() for key in value) and all(
            map(_is_sendable, value.values())
        )
    if isinstance(value, list):
        return all(map(_is_sendable, value))
    if isinstance(value, str):
        return value.encode() is not None
    return value is None or type(value) in {bool, float, bytes} or (type(value) is int and -(2**63) <= value < 2**63)


@given(ANYTHING)
def test_any_value_becomes_one_that_can_be_sent(value: Any) -> None:
    """Whatever a value is, the result holds only what OTLP can, bounded in depth, and is stable."""
    made = Sanitizer().value(value)

    assert _is_sendable(made)
    assert _depth(made) <= MAX_DEPTH + 1
    assert repr(made) == repr(Sanitizer().value(made))


@given(ANYTHING, st.lists(ANYTHING, max_size=3), st.dictionaries(st.sampled_from("abc"), ANYTHING))
def test_any_record_becomes_an_entry(message: Any, args: list[Any], extra: dict[str, Any]) -> None:
    """Whatever message, arguments and extras are, there is an entry whose body and attributes can be sent."""
    entry = translate(_record(message, *args, **extra), NO_IDS)

    assert isinstance(entry.body, str)
    assert _is_sendable(entry.body)
    assert _is_sendable(entry.attributes or {})


def _raise_chain(depth: int) -> None:
    try:
        if depth:
            _raise_chain(depth - 1)
        raise KeyError(depth)  # noqa: TRY301 - it is the raising that is tested
    except KeyError as error:
        if depth % 2:
            raise ValueError(f"level {depth}") from error
        raise


def _without_carets(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if set(line.strip()) - set("~^") or not line.strip())


def _recurse(number: int) -> int:
    return _recurse(number + 1)


@pytest.mark.parametrize(
    "fail", [lambda: _raise_chain(5), lambda: _recurse(0), lambda: int("x"), lambda: compile("a b", "<s>", "exec")]
)
def test_stacktrace_is_that_of_traceback(fail: Any) -> None:
    """The text is `traceback.format_exception`'s without its carets: chains, repeats and syntax errors included."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any exception will do
        fail()
    error = caught.value
    expected = "".join(traceback.format_exception(type(error), error, error.__traceback__))

    assert _without_carets(expected) == _without_carets(describe_exception(error).stacktrace)
