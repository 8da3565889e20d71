"""On a terminal output is coloured and paged; elsewhere it is neither."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.desk import terminal
from clew.desk.waterfall import format_duration, format_number, service_colours
from otlp_lines import log, logs_line, write

if TYPE_CHECKING:
    from pathlib import Path

_UNITS_NS: Final = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}


def _on_terminal(*arguments: object, **environment: str) -> str:
    """Run `clew` on a terminal of its own and return what it showed."""
    master, slave = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **environment}
    command = [sys.executable, "-m", "clew", *map(str, arguments)]
    with subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=variables):
        os.close(slave)
        shown = b""
        try:
            while block := os.read(master, 65536):
                shown += block
        except OSError:  # how Linux says that the other end of a terminal is closed
            pass
    os.close(master)
    return shown.decode()


@pytest.mark.parametrize(
    ("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour(shop: Path, environment: dict[str, str], is_coloured: bool) -> None:
    """A terminal gets colour, unless it or the user wants none."""
    for command in (("trace", "order-4711", shop), ("logs", shop), ("errors", shop)):
        assert is_coloured == ("\x1b[" in _on_terminal(*command, **environment))


def test_long_output_is_paged(tmp_path: Path) -> None:
    """What does not fit on the screen goes to the pager, what fits does not."""
    short = write(tmp_path / "short.jsonl", logs_line("a", log("x")))
    long = write(tmp_path / "long.jsonl", *(logs_line("a", log(f"line {number}")) for number in range(200)))

    assert "paged" not in _on_terminal("logs", short, PAGER="sed s/^/paged/")
    assert 200 == _on_terminal("logs", long, PAGER="sed s/^/paged/").count("paged\x1b")


def test_control_characters_are_visible() -> None:
    """Control characters and marks that turn the direction of writing come out as text; newlines and tabs stay."""
    assert r"a\x1b[2J\x07 \x202e" + "\n\tb" == terminal.clean("a\x1b[2J\x07 \u202e\n\tb")


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (830, "830 ns"),
        (12_300, "12.3 µs"),
        (4_560_000, "4.56 ms"),
        (1_230_000_000, "1.23 s"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (999_999_999, "1 s"),
        (59_940_000_000, "59.9 s"),
        (59_999_999_999, "1 min 0 s"),
        (200_000_000_000, "3 min 20 s"),
    ],
)
def test_durations(duration_ns: int, text: str) -> None:
    """A duration is written in the unit that suits it."""
    assert text == format_duration(duration_ns)


@given(duration_ns=st.integers(0, 10**16))
def test_durations_are_told_to_three_digits(duration_ns: int) -> None:
    """Read back, a duration is what it was to half of its third digit, or of a second."""
    text = format_duration(duration_ns)

    assert re.fullmatch(r"\d{1,3} ns|\d{1,3}(\.\d{1,2})? (µs|ms|s)|\d+ min [1-5]?\d s", text)
    numbers = zip(text.split()[::2], text.split()[1::2], strict=True)
    told_ns = sum(float(number) * _UNITS_NS[unit] for number, unit in numbers)
    assert abs(duration_ns - told_ns) <= (0.5 * 10**9 if "min" in text else 0.0051 * duration_ns)


@pytest.mark.parametrize(
    ("number", "text"), [(0.0125, "0.0125"), (1.9, "1.9"), (999.4, "999"), (999.5, "1,000"), (12345.6, "12,346")]
)
def test_numbers(number: float, text: str) -> None:
    """A number is written without an exponent, however large."""
    assert text == format_number(number)


def test_services_have_different_colours() -> None:
    """Up to eight services are told apart, whatever their names."""
    services = [f"service-{number}" for number in range(8)]

    assert 8 == len(set(service_colours(services).values()))
