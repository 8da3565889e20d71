"""The spool keeps lines through crashes and restarts, hands each out once, and stays within its bound."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipelines import make_entry, make_span, stored_lines, stored_records

from clew.delivery.counts import Counts
from clew.delivery.encode import encode
from clew.delivery.spool import Claim, Spool
from clew.delivery.stored_lines import join_lines, records_in
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_spool(folder: Path, counts: Counts | None = None, **variables: str) -> Spool:
    """Make a spool in `folder`."""
    settings = Settings.from_mapping({"CLEW_DIR": str(folder), **variables})
    spool = Spool(settings, counts or Counts(), service=lambda: "shop")
    _made.append(spool)
    return spool


_made: list[Spool] = []


def line_of(*bodies: object) -> bytes:
    """Return the stored line of log records with these bodies."""
    return encode("logs", "json", [make_entry(body) for body in bodies], None).payload


def taken(spool: Spool, signal_name: str = "logs", max_bytes: int = 1) -> list[bytes]:
    """Take everything out of the spool, as replay does, and return its lines."""
    lines: list[bytes] = []
    while (claim := spool.claim(signal_name)) is not None:
        found = claim.lines(max_bytes)
        if found:
            claim.advance(sum(map(len, found)))
        else:
            spool.remove(signal_name)
        lines += found
    return lines


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close each spool that a test made."""
    yield
    while _made:
        _made.pop().close()


def test_order(tmp_path: Path) -> None:
    """Lines come back oldest first, over several segments, and leave nothing behind."""
    spool = make_spool(tmp_path, CLEW_SEGMENT_MAX_BYTES="5000")
    lines = [line_of(number) for number in range(30)]
    for line in lines:
        spool.store("logs", line)
    assert len(list(spool.folder.glob("*.jsonl"))) > 1

    assert lines == taken(spool)
    assert [] == list(spool.folder.iterdir())


def test_signals_apart(tmp_path: Path) -> None:
    """Each signal has segments of its own."""
    spool = make_spool(tmp_path)
    log, span = line_of("log"), encode("traces", "json", [make_span("span")], None).payload
    spool.store("logs", log)
    spool.store("traces", span)

    assert ([log], [span], []) == (taken(spool), taken(spool, "traces"), taken(spool, "metrics"))


def test_modes(tmp_path: Path) -> None:
    """The folder is its owner's alone, and so are the files."""
    spool = make_spool(tmp_path / "new")
    spool.store("logs", line_of("secret"))

    (segment,) = spool.folder.iterdir()
    assert (0o700, 0o600) == (stat.S_IMODE(spool.folder.stat().st_mode), stat.S_IMODE(segment.stat().st_mode))


def test_position(tmp_path: Path) -> None:
    """A process that ends in the middle of a segment leaves the rest to the next, from where it was."""
    first = make_spool(tmp_path)
    lines = [line_of(number) for number in range(4)]
    for line in lines:
        first.store("logs", line)
    claim = first.claim("logs")
    assert claim is not None
    claim.advance(len(b"".join(claim.lines(len(lines[0]) + len(lines[1])))))
    first.close()

    assert lines[2:] == taken(make_spool(tmp_path))


def test_claimed_once(tmp_path: Path) -> None:
    """A segment that one holds is not handed to another, nor one that is being written."""
    writer = make_spool(tmp_path)
    writer.store("logs", line_of("one"))
    assert None is make_spool(tmp_path).claim("logs")
    claim = writer.claim("logs")
    assert claim is not None

    assert None is make_spool(tmp_path).claim("logs")
    assert claim is writer.claim("logs")


def test_torn_line(tmp_path: Path) -> None:
    """What a crash left of a line is no line; whole ones before it count."""
    spool = make_spool(tmp_path)
    line = line_of("whole")
    spool.store("logs", line + line[:50])
    spool.close()

    assert [line] == taken(make_spool(tmp_path))


def test_max_bytes_of_lines(tmp_path: Path) -> None:
    """Lines are handed out together up to a size, and one that is larger alone."""
    spool = make_spool(tmp_path)
    small, large = line_of(1), line_of("x" * 5000)
    for line in (small, small, large, small):
        spool.store("logs", line)
    claim = spool.claim("logs")
    assert claim is not None
    shares = []
    while share := claim.lines(len(small) * 2):
        claim.advance(sum(map(len, share)))
        shares.append(share)

    assert [[small, small], [large], [small]] == shares


def test_bound(tmp_path: Path) -> None:
    """Past the bound the oldest go, each record counted; the folder is never larger."""
    counts = Counts()
    spool = make_spool(tmp_path, counts, CLEW_SPOOL_MAX_BYTES="100000")
    sizes = []
    for number in range(400):
        spool.store("logs", line_of(number, -number))
        sizes.append(spool.size_bytes())

    (dropped,) = counts.snapshot()
    assert ("logs", "dropped", "spool_full") == dropped[:3]
    assert 800 == dropped.records + stored_records(tmp_path)["logs"]
    assert max(sizes) <= 100_000
    assert line_of(399, -399)[-20:] == stored_lines(tmp_path)[-1][1][-20:]


def test_bound_while_claimed(tmp_path: Path) -> None:
    """A segment that is half delivered when it has to go costs only what was not."""
    counts = Counts()
    spool = make_spool(tmp_path, counts, CLEW_SPOOL_MAX_BYTES="20000")
    for number in range(10):
        spool.store("logs", line_of(number))
    claim = spool.claim("logs")
    assert claim is not None
    claim.advance(len(claim.lines(1)[0]))
    for number in range(10, 60):
        spool.store("logs", line_of(number))

    assert 59 == sum(tally.records for tally in counts.snapshot()) + len(taken(spool))


def test_write_error(tmp_path: Path) -> None:
    """A folder that cannot be is told to the caller."""
    (tmp_path / "file").write_text("")
    spool = make_spool(tmp_path / "file")

    with pytest.raises(OSError, match="Not a directory"):
        spool.store("logs", line_of("nowhere"))
    assert f"memory, since {spool.folder} cannot be written" == spool.place()


def test_killed_process(tmp_path: Path) -> None:
    """What a killed process had stored is handed out, though it never closed its segment."""
    program = f"""
    import sys, time
    sys.path.insert(0, {str(str(Path(__file__).parent))!r})
    from pathlib import Path
    from test_spool import line_of, make_spool
    make_spool(Path({str(tmp_path)!r})).store("logs", line_of("orphan"))
    print(flush=True)
    time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert None is make_spool(tmp_path).claim("logs")
        process.send_signal(signal.SIGKILL)
    (line,) = taken(make_spool(tmp_path))

    assert b'"intValue"' not in line.split(b"orphan")[0]
    assert 1 == records_in("logs", line)


def test_fork(tmp_path: Path) -> None:
    """A forked child leaves its parent's segments alone and writes its own."""
    spool = make_spool(tmp_path)
    spool.store("logs", line_of("parent"))
    child = os.fork()
    if not child:
        spool.abandon()
        spool.store("logs", line_of("child"))
        os._exit(0)
    os.waitpid(child, 0)
    spool.store("logs", line_of("parent again"))

    assert 2 == len(list(spool.folder.glob("*.jsonl")))
    assert {"logs": 3} == stored_records(tmp_path)


def test_unreadable_position(tmp_path: Path) -> None:
    """A position that says nothing is the beginning."""
    spool = make_spool(tmp_path)
    spool.store("logs", line_of("one"))
    spool.close()
    (segment,) = spool.folder.iterdir()
    (spool.folder / f".{segment.name}.position").write_bytes(b"?")
    claim = Claim(segment, os.open(segment, os.O_RDONLY))

    assert [line_of("one")[-30:]] == [line[-30:] for line in claim.lines(1)]
    claim.remove()
    assert [] == list(spool.folder.iterdir())


bodies = st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans()


@given(st.lists(st.lists(bodies, min_size=1, max_size=4), min_size=1, max_size=4))
def test_join(batches: list[list[object]]) -> None:
    """Lines joined into one request hold the records of all, in either encoding, and are counted without decoding."""
    lines = [line_of(*batch) for batch in batches]

    joined = join_lines("logs", lines, "json")
    assert sum(map(len, batches)) == records_in("logs", joined)
    assert join_lines("logs", lines, "protobuf") == join_lines("logs", [joined], "protobuf")


@given(st.text(), st.text())
def test_count(body: str, name: str) -> None:
    """Nothing inside a record looks like another record."""
    entry = make_entry(
        body, attributes={name: {name: [body, '{"observedTimeUnixNano":"1"']}}, uid='"observedTimeUnixNano":'
    )
    span = make_span('"startTimeUnixNano":' + name)

    assert 2 == records_in("logs", encode("logs", "json", [entry, entry], None).payload)
    assert 1 == records_in("traces", encode("traces", "json", [span], None).payload)


def test_join_damaged() -> None:
    """A line that is no request is an error, in either encoding."""
    for encoding in ("protobuf", "json"):
        with pytest.raises(ValueError, match=r"unexpected|not a request|input"):
            join_lines("logs", [b'{"resourceLogs":[{"scopeLogs":[\n'], encoding)
