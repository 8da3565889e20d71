"""The command line: each command answers, or says in one line why not, whatever it is pointed at."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from clew.desk.cli import COMMANDS
from clew.desk.cli import clew as group
from otlp_lines import log, logs_line, span, spans_line, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome

READERS = {
    "logs": ("logs",),
    "trace": ("trace", "order-4711"),
    "errors": ("errors",),
    "report": ("report", "--output", "-"),
    "replay": ("replay", "--endpoint", "http://127.0.0.1:1", "--patience", "0"),
}
"""Commands that read telemetry files, with what else they need."""


def make_empty(folder: Path) -> Path:
    """Make a folder with nothing in it."""
    folder.mkdir()
    return folder


def make_missing(folder: Path) -> Path:
    """Name a folder that is not there."""
    return folder / "nowhere"


def make_binary(folder: Path) -> Path:
    """Make a file that is no text."""
    folder.mkdir()
    path = folder / "photo.log"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\r" + random.Random(1).randbytes(50_000))
    return path


def make_text(folder: Path) -> Path:
    """Make a file of prose."""
    folder.mkdir()
    path = folder / "prose.txt"
    path.write_text("Once upon a time\nthere was a log.\n")
    return path


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [make_empty, make_missing, make_binary, make_text])
def test_nothing_to_answer_from(
    clew: Callable[..., Outcome], tmp_path: Path, name: str, make: Callable[[Path], Path]
) -> None:
    """An empty or missing folder, a binary file, a text in no form: one or two clear lines, never a traceback."""
    path = make(tmp_path / "place")

    outcome = clew(*READERS[name], path)

    lines = (outcome.out + outcome.err).splitlines()
    assert 1 <= len(lines) <= 2
    assert "Traceback" not in outcome.err
    assert (0 if name == "replay" and make in {make_binary, make_text} else 1) == outcome.status


@pytest.mark.parametrize("name", [name for name in READERS if name != "replay"])
def test_ten_megabyte_line(clew: Callable[..., Outcome], tmp_path: Path, name: str) -> None:
    """A line of ten megabytes is read as any other."""
    many = [
        log(f"message {number} " + "x" * 900, ms=number, **{"correlation.id": f"id-{number}"}) for number in range(9000)
    ]
    many.append(log("the one", severity=17, level="ERROR", ms=9001, **{"correlation.id": "order-4711"}))
    path = write(tmp_path / "big" / "logs.jsonl", logs_line("shop", *many))
    assert path.stat().st_size > 10_000_000

    outcome = clew(*READERS[name], path)

    assert (0, "") == (outcome.status, outcome.err)
    assert "the one" in outcome.out


@pytest.mark.parametrize("name", [name for name in READERS if name != "replay"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_values_that_no_protocol_allows(
    clew: Callable[..., Outcome], tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """Numbers past 64 bits, times before and after all time, and values of the wrong kind make no command fail."""
    huge, most = "9" * 40, str(2**64 - 1)
    odd = {"correlation.id": "order-4711"}
    records = [{**log("odd", severity=17, **odd), **change} for change in (
        {"timeUnixNano": huge}, {"timeUnixNano": most}, {"timeUnixNano": -5}, {"timeUnixNano": 1e300},
        {"severityNumber": "x"}, {"severityNumber": 2**70}, {"traceId": 5, "spanId": ["x"]}, {"flags": huge},
        {"attributes": [None, {"key": None}, {"key": "n", "value": {"intValue": huge}}]},
        {"body": {"kvlistValue": {"values": [{"key": "n", "value": {"doubleValue": "NaN"}}]}}}, {"body": [1]},
    )]  # fmt: skip
    spans = [{**span(f"{number:016x}", kind=2, failed=True, **odd), **change} for number, change in enumerate((
        {"startTimeUnixNano": "0", "endTimeUnixNano": most}, {"startTimeUnixNano": "1", "endTimeUnixNano": most},
        {"startTimeUnixNano": "-9", "endTimeUnixNano": huge}, {"kind": 99, "status": "bad", "events": [1, {"name": 3}]},
    ), start=1)]  # fmt: skip
    folder = tmp_path / "odd"
    write(folder / "logs.jsonl", logs_line("shop", *records))
    write(folder / "traces.jsonl", spans_line("shop", *spans))

    outcome = clew(*READERS[name], *options, folder)

    assert (0, "") == (outcome.status, outcome.err)


@pytest.mark.parametrize("name", [name for name in READERS if name != "replay"])
def test_folder_that_is_being_written(clew: Callable[..., Outcome], tmp_path: Path, name: str) -> None:
    """While lines are appended, some torn at that moment, the answer is that of the whole lines."""
    folder = tmp_path / "live"
    fixed = logs_line("shop", log("failed", severity=17, level="ERROR", **{"correlation.id": "order-4711"}))
    write(folder / "logs-a.jsonl", fixed)
    write(folder / "traces-a.jsonl", spans_line("shop", span("a" * 16, **{"correlation.id": "order-4711"})))
    is_over = threading.Event()

    def append() -> None:
        with (folder / "logs-b.jsonl").open("ab", buffering=0) as file:
            while not is_over.is_set():
                line = logs_line("shop", log("more"))
                file.write(line[:50])
                file.write(line[50:])

    writer = threading.Thread(target=append)
    writer.start()
    try:
        outcomes = [clew(*READERS[name], folder) for _ in range(5)]
    finally:
        is_over.set()
        writer.join()

    assert [0] * 5 == [outcome.status for outcome in outcomes]
    assert all("failed" in outcome.out for outcome in outcomes)
    assert all("Traceback" not in outcome.err for outcome in outcomes)


@pytest.mark.parametrize("name", [name for name in READERS if name != "replay"])
def test_pipe(shop: Path, name: str) -> None:
    """What comes through standard input is read as a file is, by questions that read twice too."""
    text = b"".join(path.read_bytes() for path in sorted(shop.iterdir()))
    command = [sys.executable, "-m", "clew", *READERS[name]]

    answers = [
        subprocess.run([*command, place], input=text, capture_output=True, check=False) for place in ("-", "/dev/stdin")
    ]

    assert [(0, b"")] * 2 == [(answer.returncode, answer.stderr) for answer in answers]
    assert b"order-4711" in answers[0].stdout
    assert answers[0].stdout == answers[1].stdout


def test_pipe_is_not_followed() -> None:
    """What comes through a pipe cannot be followed."""
    command = [sys.executable, "-m", "clew", "logs", "--follow", "-"]

    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("clew: --follow reads files, and '/dev/stdin' is a pipe; leave it out")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(clew: Callable[..., Outcome], name: str) -> None:
    """Each command's help says what it does and shows an example."""
    outcome = clew(name, "--help")

    assert 0 == outcome.status
    assert f"Usage: clew {name}" in outcome.out
    assert "Example:" in outcome.out


@pytest.mark.parametrize("name", ["config", "validate", "run"])
def test_help_of_a_subcommand_has_an_example(clew: Callable[..., Outcome], name: str) -> None:
    """So does the help of each subcommand; the marks of its layout do not show."""
    group, command = clew("collector", "--help"), clew("collector", name, "--help")

    assert ["Example:", "Example:"] == [
        line.strip() for line in (group.out + command.out).splitlines() if "Example" in line
    ]
    assert "\\b" not in group.out + command.out


def test_list_of_commands(clew: Callable[..., Outcome]) -> None:
    """The list of commands names all of them."""
    outcome = clew("--help")

    assert list(COMMANDS) == [name for name in COMMANDS if f"\n  {name} " in outcome.out]


def test_listing_loads_no_command() -> None:
    """Starting `clew --help` imports neither a command nor what they need."""
    code = "import sys; from clew.desk.cli import _status; _status(['--help']); print(sorted(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    heavy = ("rich", "orjson", "zstandard", "opentelemetry", "clew.desk.commands.logs")
    assert [] == [name for name in heavy if f"'{name}'" in done.stdout.splitlines()[-1]]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_opentelemetry(name: str) -> None:
    """Loading a command does not load OpenTelemetry."""
    load = f"from clew.desk.cli import clew; clew.get_command(None, {name!r})"
    code = f"import sys; {load}; print('opentelemetry' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nope",), "No such command 'nope'; see 'clew --help'"),
        (("tarce", "x"), "No such command 'tarce'. Did you mean 'trace'?; see 'clew --help'"),
        (("logs", "--nope"), "No such option '--nope'"),
        (("trace",), "Missing argument 'ID'; see 'clew trace --help'"),
        (("trace", ""), "ID is empty; give an ID (see docs/reference/errors.md#bad-setting)"),
        (("logs", "--id", " "), "--id is empty; give an ID (see docs/reference/errors.md#bad-setting)"),
        (("logs", "--since", "whenever"), "--since: 'whenever' is no time that Clew knows"),
        (("logs", "--since", ""), "--since: '' is no time that Clew knows"),
        (("logs", "--limit", "0"), "Invalid value for '--limit' / '-n': 0 is not in the range x>=1"),
        (("id", "a b"), "'a b' is no usable correlation ID"),
        (("replay", "--rate", "fast"), "--rate must be a size"),
        (("replay", "--endpoint", "ftp://x"), "the endpoint must be an http or https URL"),
        (("retain", "--max-age", "-1"), "--max-age must be a duration"),
        (("collector", "config", "nope"), "no overlay 'nope'"),
    ],
)
def test_wrong_usage(clew: Callable[..., Outcome], arguments: tuple[str, ...], says: str) -> None:
    """Wrong usage ends with 2, and one line says what is wrong."""
    outcome = clew(*arguments)

    assert (2, "", 1) == (outcome.status, outcome.out, len(outcome.err.splitlines()))
    assert outcome.err.startswith(f"clew: {says}")


def test_no_command_at_all(clew: Callable[..., Outcome]) -> None:
    """Without a command the help is shown."""
    outcome = clew()

    assert "Commands:" in outcome.out + outcome.err


def test_error_is_one_line_with_its_page(clew: Callable[..., Outcome], tmp_path: Path) -> None:
    """An error is one line that names the value and where the error is explained."""
    outcome = clew("logs", tmp_path / "none")

    assert (1, "") == (outcome.status, outcome.out)
    assert (
        f"clew: no file or folder '{tmp_path}/none'; name one, or set CLEW_DIR (see docs/reference/errors.md#no-data)\n"
        == outcome.err
    )


def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """When the reader of the output goes away, the command ends without a word."""
    path = write(tmp_path / "logs.jsonl", *(logs_line("shop", log("x" * 500)) for _ in range(2000)))
    command = [sys.executable, "-m", "clew", "logs", str(path)]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()

    assert (141, b"") == (process.wait(20), told)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_in_a_poor_encoding(shop: Path, encoding: str) -> None:
    """Where the terminal's encoding lacks a character, it is shown escaped and nothing fails."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "60"}
    for command in (("trace", "order-4711"), ("logs",), ("errors",)):
        arguments = [sys.executable, "-m", "clew", *command, *([str(shop)])]

        done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)

        assert (0, "") == (done.returncode, done.stderr)


def test_interrupt_is_quiet(tmp_path: Path) -> None:
    """Ctrl-C ends a command with 130 and without a traceback."""
    write(tmp_path / "logs.jsonl", logs_line("shop", log("first")))
    # A shell that runs the tests in the background has SIGINT ignored.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"import sys; {heeding}; sys.argv[0] = 'clew'; from clew.__main__ import main; main()"
    command = [sys.executable, "-c", program, "logs", "--follow", str(tmp_path)]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "first" in process.stdout.readline()
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=20)

    assert (130, "") == (process.returncode, told.strip())


def test_completion(tmp_path: Path) -> None:
    """The shell's completion knows commands and options."""
    environment = {**os.environ, "_CLEW_COMPLETE": "bash_complete", "COMP_CWORD": "2"}

    def complete(words: str) -> str:
        command = [sys.executable, "-c", "import sys; sys.argv[0] = 'clew'; from clew.__main__ import main; main()"]
        return subprocess.run(
            command, capture_output=True, text=True, env={**environment, "COMP_WORDS": words}, check=True
        ).stdout

    assert "plain,--follow" in complete("clew logs --fol")


def test_group_is_named_clew() -> None:
    """The name in usage lines is that of the program."""
    assert "clew" == group.name
