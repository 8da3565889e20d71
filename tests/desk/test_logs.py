"""`clew logs`: the records that are asked for, in order, from files of any origin, while they are written."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import jsonschema
import pytest
import zstandard

from clew.desk.ordering import in_time_order
from clew.files.reader.following import Follower
from clew.files.reader.reading import read
from clew.files.reader.records import LogRow, ReadStats
from clew.files.reader.sources import find_sources
from clew.schema import CONSOLE_LINE_SCHEMA
from otlp_lines import TRACE_ID, log, logs_line, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clew.files.reader.sources import Source
    from conftest import Outcome

    Follow = Callable[..., Callable[[], list[str]]]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder with records of two services."""
    folder = tmp_path / "mixed"
    write(
        folder / "logs-shop.jsonl",
        logs_line("shop", log("one", ms=1, **{"correlation.id": "order-1", "customer": 17}), logger="shop.views"),
        logs_line("shop", log("three", ms=3, severity=13, level="WARNING", span_id="a" * 16), logger="shop.views"),
    )
    write(
        folder / "logs-cart.jsonl",
        logs_line(
            "cart",
            log("two", ms=2, severity=17, level="ERROR", trace_id="", **{"exception.stacktrace": "Boom\n  at x"}),
        ),
        logs_line("cart", log("four", ms=4, severity=5, level="DEBUG", trace_id="")),
    )
    return folder


def _messages(outcome: Outcome) -> list[str]:
    return [json.loads(line)["message"] for line in outcome.out.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["one", "two", "three", "four"]),
        (("--service", "cart"), ["two", "four"]),
        (("--service", "cart", "--service", "shop", "--level", "warning"), ["two", "three"]),
        (("--id", "order-1"), ["one"]),
        (("--id", TRACE_ID), ["one", "three"]),
        (("--id", TRACE_ID.upper()), ["one", "three"]),
        (("--id", "a" * 16), ["three"]),
        (("--text", "THREE"), ["three"]),
        (("-g", "boom"), ["two"]),
        (("--attr", "customer=17"), ["one"]),
        (("--attr", "service.name=cart", "--level", "ERROR"), ["two"]),
        (("--since", "2025-11-24T16:00:00.003Z"), ["three", "four"]),
        (("--until", "2025-11-24T16:00:00.003Z"), ["one", "two"]),
        (("--limit", "2"), ["three", "four"]),
    ],
)
def test_filters(clew: Callable[..., Outcome], mixed: Path, options: tuple[str, ...], expected: list[str]) -> None:
    """Each filter leaves what it says, in order of time over all services."""
    assert expected == _messages(clew("logs", mixed, "--json", *options))


def test_text_for_a_person(clew: Callable[..., Outcome], mixed: Path) -> None:
    """A line shows time, level, service, logger, message and ID; a traceback stands below."""
    lines = clew("logs", mixed, "--until", "2025-11-24T16:00:00.003Z").out.splitlines()

    assert lines[0].endswith("  INFO      shop shop.views  one  [order-1]")
    assert lines[1].endswith("  ERROR     cart app  two")
    assert ["Boom", "  at x"] == lines[2:]


def test_json_follows_the_schema(clew: Callable[..., Outcome], mixed: Path) -> None:
    """Each line of `--json` is valid by the schema of the console line."""
    for line in clew("logs", mixed, "--json").out.splitlines():
        jsonschema.validate(json.loads(line), CONSOLE_LINE_SCHEMA)


def test_json_output_is_input(clew: Callable[..., Outcome], mixed: Path, tmp_path: Path) -> None:
    """What `--json` printed is read again as the same records."""
    printed = clew("logs", mixed, "--json").out
    (tmp_path / "again.log").write_text(printed)

    assert printed == clew("logs", tmp_path / "again.log", "--json").out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--level", "loud"), "--level must be a level"),
        (("--attr", "x"), "--attr must be KEY=VALUE"),
        (("--format", "x"), "is neither"),
        (("--format", "%(1)s"), "is no regular expression"),
    ],
)
def test_bad_options(clew: Callable[..., Outcome], mixed: Path, options: tuple[str, ...], says: str) -> None:
    """An option's value that means nothing is refused in one line."""
    outcome = clew("logs", mixed, *options)

    assert (2, "", 1) == (outcome.status, outcome.out, len(outcome.err.splitlines()))
    assert says in outcome.err


def test_nothing_matches(clew: Callable[..., Outcome], mixed: Path) -> None:
    """Nothing found is exit status 1 and one line."""
    outcome = clew("logs", mixed, "--text", "nowhere")

    assert (1, "") == (outcome.status, outcome.out)
    assert outcome.err.startswith("clew: no log record matches in 2 files")


@pytest.mark.parametrize("command", [("logs",), ("errors",), ("report", "--json")])
def test_service_that_there_is_not(clew: Callable[..., Outcome], shop: Path, command: tuple[str, ...]) -> None:
    """A service that is in no file is no good news: the ones that there are stand in the line, the nearest first."""
    outcome = clew(*command, shop, "--service", "order")

    assert (1, "") == (outcome.status, outcome.out)
    assert outcome.err.startswith("clew: no service 'order'; there are orders, payments, shop in ")


def test_raw_lines(clew: Callable[..., Outcome], tmp_path: Path) -> None:
    """Lines in no known form are counted, and shown when they are asked for."""
    path = tmp_path / "print.txt"
    path.write_text("starting\nready on port 80\n")

    passed = clew("logs", path)
    shown = clew("logs", path, "--raw")
    found = clew("logs", path, "--raw", "--text", "PORT")

    assert (1, "") == (passed.status, passed.out)
    assert passed.err.startswith(
        "clew: passed over 2 lines in no known form (--raw shows them, --format tells their form)\n"
    )
    assert ["starting", "ready on port 80"] == [line.strip() for line in shown.out.splitlines()]
    assert ["ready on port 80"] == [line.strip() for line in found.out.splitlines()]


def test_folder_that_may_not_be_listed(clew: Callable[..., Outcome], mixed: Path) -> None:
    """A subfolder that is closed to us is told, whatever else was read."""
    (mixed / "closed").mkdir()
    (mixed / "closed").chmod(0)
    command = [sys.executable, "-m", "clew", "logs", "--limit", "1", str(mixed)]
    ordinary = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if ordinary and not shutil.which(ordinary[0]):
        pytest.skip("as root every folder can be listed")

    done = subprocess.run([*ordinary, *command], capture_output=True, text=True, check=False)

    assert (0, f"clew: passed over 1 unreadable path: {mixed}/closed\n") == (done.returncode, done.stderr)


def test_order_over_many_files(tmp_path: Path) -> None:
    """Records of many files that overlap in time, slightly disordered inside, come in order, each once."""
    chance = random.Random(5)
    times = list(range(1, 2001))
    for number in range(12):
        own = times[number::12]
        for place in range(0, len(own) - 4, 3):
            part = own[place : place + 3]
            chance.shuffle(part)
            own[place : place + 3] = part
        for place in range(0, len(own), 50):
            lines = [logs_line("a", *(log(str(ms), ms=ms) for ms in own[place : place + 50]))]
            write(tmp_path / f"logs-{number}-{place}.jsonl", *lines)

    def open_rows(source: Source) -> Iterator[LogRow]:
        return (row for row in read([source], ReadStats()) if isinstance(row, LogRow))

    found = [int(row.message) for row in in_time_order(find_sources([tmp_path]), open_rows)]

    assert times == found


@pytest.mark.parametrize(
    "name",
    [
        "a.log",
        "a.log.1",
        "a.log.2.gz",
        "a.log-20260131",
        "a.log-20260131.gz",
        "a.log.2026-01-31_14",
        "a.log.2026-01-31T14",
    ],
)
def test_rotated_names(clew: Callable[..., Outcome], tmp_path: Path, name: str) -> None:
    """In a folder, text logs are read under the names that logrotate and Python's handlers give them."""
    text = b"ERROR:shop:sold out\n"
    write(tmp_path / "x" / name, gzip.compress(text) if name.endswith(".gz") else text)

    assert "sold out" in clew("logs", tmp_path / "x").out


def test_old_files_are_not_opened(clew: Callable[..., Outcome], tmp_path: Path) -> None:
    """With `--since`, files that were last written long before are passed over."""
    old = write(tmp_path / "x" / "logs-old.jsonl", logs_line("a", log("old")))
    os.utime(old, (1_600_000_000, 1_600_000_000))

    outcome = clew("logs", tmp_path / "x", "--since", "2h")

    assert outcome.err.startswith(f"clew: no telemetry files that new in '{tmp_path}/x'")


class TestFollowing:
    """Following sees every record once, whatever happens to the files."""

    @pytest.fixture
    def follow(self, tmp_path: Path) -> Iterator[Follow]:
        """Return a function that begins to follow and gives a function for the messages since its last call."""
        with contextlib.ExitStack() as stack:

            def begin(*, whole: bool = True) -> Callable[[], list[str]]:
                follower = stack.enter_context(Follower([tmp_path], ReadStats(), signals=("logs",), whole=whole))
                return lambda: [row.message for row in follower.poll() if isinstance(row, LogRow)]

            yield begin

    def test_appended_lines(self, tmp_path: Path, follow: Follow) -> None:
        """What is appended is given; a line in two parts only when it is whole."""
        path = write(tmp_path / "logs.jsonl", logs_line("a", log("one")))
        poll = follow()
        line = logs_line("a", log("two"))

        seen = [poll()]
        for part in (line[:30], line[30:], logs_line("a", log("three"))):
            with path.open("ab") as file:
                file.write(part)
            seen.append(poll())

        assert [["one"], [], ["two"], ["three"]] == seen

    @pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
    def test_rotation(self, tmp_path: Path, follow: Follow, suffix: str) -> None:
        """A file that is written to, renamed, compressed and replaced between two looks loses and repeats nothing."""
        path = write(tmp_path / "logs.jsonl", logs_line("a", log("one " + "x" * 300)))
        poll = follow()
        first = poll()
        with path.open("ab") as file:
            file.write(logs_line("a", log("two")))
        rotated = tmp_path / "logs-2026-01-31T14-00-00.000-size.jsonl"
        if suffix:
            compress = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
            rotated.with_name(rotated.name + suffix).write_bytes(compress(path.read_bytes()))
            path.unlink()
        else:
            path.rename(rotated)
        write(path, logs_line("a", log("three")))

        seen = [*first, *poll(), *poll()]

        assert ["one", "three", "two"] == sorted(message.split()[0] for message in seen)

    def test_file_that_is_gone_for_a_while(self, tmp_path: Path) -> None:
        """A file that was named, renamed, and made anew only later, is followed on."""
        path = write(tmp_path / "logs.jsonl", logs_line("a", log("one")))
        with Follower([path], ReadStats(), signals=("logs",), whole=True) as follower:
            seen = [follower.poll()]
            path.rename(tmp_path / "logs.jsonl.1")
            seen += [follower.poll(), follower.poll()]
            write(path, logs_line("a", log("two")))
            seen.append(follower.poll())

        assert [["one"], [], [], ["two"]] == [[row.message for row in rows if isinstance(row, LogRow)] for rows in seen]

    @pytest.mark.parametrize("suffix", [".gz", ".zst"])
    def test_files_that_come_and_are_compressed_between_two_looks(
        self, tmp_path: Path, follow: Follow, suffix: str
    ) -> None:
        """All files of a process begin with what it says of itself; each of them is read once all the same."""
        compress = gzip.compress if suffix == ".gz" else zstandard.ZstdCompressor().compress
        write(tmp_path / "logs-0.jsonl", logs_line("shop-" + "x" * 500, log("number 0")))
        poll = follow()
        seen = poll()
        for number in range(1, 4):
            line = logs_line("shop-" + "x" * 500, log(f"number {number}"))
            (tmp_path / f"logs-{number}.jsonl{suffix}").write_bytes(compress(line))

        seen += [*poll(), *poll()]
        (tmp_path / f"logs-3.jsonl{suffix}").rename(tmp_path / f"logs-4.jsonl{suffix}")
        seen += poll()

        assert ["number 0", "number 1", "number 2", "number 3"] == sorted(seen)

    def test_copied_and_truncated(self, tmp_path: Path, follow: Follow) -> None:
        """What logrotate copied is not shown again, and what was written just before and after is."""
        path = write(tmp_path / "app.log", b"ERROR:a:one\nERROR:a:two\n")
        poll = follow()
        seen = [*poll(), *poll()]
        with path.open("ab") as file:
            file.write(b"ERROR:a:three\n")
        write(tmp_path / "app.log.1", path.read_bytes())
        path.write_bytes(b"ERROR:a:four\n" * 5)

        seen += [*poll(), *poll()]

        assert ["four"] * 5 + ["one", "three", "two"] == sorted(seen)

    def test_truncated_file(self, tmp_path: Path, follow: Follow) -> None:
        """A file that was cut to nothing is read from its beginning again."""
        path = write(tmp_path / "logs.jsonl", logs_line("a", log("one"), log("more")))
        poll = follow()
        first = poll()
        write(path, logs_line("a", log("two")))

        assert (["one", "more"], ["two"]) == (first, poll())

    def test_only_the_end_of_what_is_there(self, tmp_path: Path, follow: Follow) -> None:
        """Of a large file only its end is read, from a line's beginning; compressed files of before are passed over."""
        lines = [logs_line("a", log(f"{number} " + "x" * 1000)) for number in range(1000)]
        write(tmp_path / "logs.jsonl", *lines)
        (tmp_path / "logs-old.jsonl.gz").write_bytes(gzip.compress(logs_line("a", log("old"))))
        poll = follow(whole=False)

        numbers = [int(message.split()[0]) for message in poll()]

        assert list(range(numbers[0], 1000)) == numbers
        assert 100 < len(numbers) < 300

    def test_text_log(self, tmp_path: Path, follow: Follow) -> None:
        """Of a text log a record is given when the next begins or nothing more comes."""
        path = write(tmp_path / "app.log", b"ERROR:shop:one\nTraceback (most recent call last):\n")
        poll = follow()
        seen = [poll()]
        with path.open("ab") as file:
            file.write(b'  File "a.py", line 1, in f\nKeyError: 1\nINFO:shop:two\n')
        seen += [poll(), poll()]

        assert [[], ["one"], ["two"]] == seen


def test_follow_command(tmp_path: Path) -> None:
    """`--follow` shows the last records, then each new one as it is written."""
    path = write(tmp_path / "logs.jsonl", *(logs_line("a", log(f"old {number}", ms=number)) for number in range(20)))
    command = [sys.executable, "-m", "clew", "logs", "--follow", "--limit", "2", "--json", str(tmp_path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = [json.loads(process.stdout.readline())["message"] for _ in range(2)]
        time.sleep(0.1)
        with path.open("ab") as file:
            file.write(logs_line("a", log("new", ms=99)))
        shown.append(json.loads(process.stdout.readline())["message"])
        process.terminate()

    assert ["old 18", "old 19", "new"] == shown
