"""Segments: names, the writer's promises on a hostile file system, compression."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from clew.files import segments
from clew.files.segments import (
    SegmentName,
    SegmentWriter,
    clean_service,
    compress_closed,
    is_live,
    parse_segment_name,
    segment_name,
    segments_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

START_US = 1_700_000_000_000_000


def writer_in(folder: Path, **changed: Any) -> SegmentWriter:
    """Return a writer of logs with room for 100 bytes."""
    options = {"max_bytes": 100, "max_age_s": 3600.0, "compression": "none"} | changed
    return SegmentWriter(folder, "logs", "shop", **options)


def contents(folder: Path) -> list[bytes]:
    """Return what each segment holds, oldest first."""
    return [path.read_bytes() for _, path in segments_in(folder)]


def run_in_fork(work: Any) -> int:
    """Run `work` in a forked child and return its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class TestNames:
    """`segment_name` and `parse_segment_name`."""

    @given(
        st.sampled_from(["traces", "metrics", "logs"]),
        st.text(),
        st.integers(0, 2**31),
        st.integers(0, 250_000_000_000_000_000),
    )
    def test_round_trip(self, signal: str, service: str, pid: int, start_us: int) -> None:
        """Whatever a service is called, its segment's name is a file name that says all it was made of."""
        name = segment_name(signal, service, pid, start_us)

        assert SegmentName(signal, clean_service(service), pid, start_us) == parse_segment_name(name)
        assert "/" not in name
        assert len(os.fsencode(name)) < 128

    @given(st.text() | st.from_regex(r"logs-[a-z-]+-\d+-2\d{7}T\d{12}Z\.jsonl(\.gz)?", fullmatch=True))
    def test_parse_is_exact(self, name: str) -> None:
        """A name that parses is the one that its parts make."""
        parsed = parse_segment_name(name)

        assert parsed is None or name == segment_name(*parsed[:4]) + parsed.suffix

    def test_sorts_by_start(self) -> None:
        """Names of one writer sort by when their segments began."""
        starts = [START_US + step for step in (0, 1, 10**6, 10**9, 10**13)]

        names = [segment_name("logs", "shop", 7, start) for start in starts]

        assert names == sorted(names)

    @pytest.mark.parametrize(
        "name",
        [
            "logs-shop-7-20231114T221320000000Z.json",
            "logs-shop-7-20231314T221320000000Z.jsonl",
            "logs--7-20231114T221320000000Z.jsonl",
            "events-shop-7-20231114T221320000000Z.jsonl",
            "logs-shop-7-20231114T221320000000Z.jsonl.tmp",
            "logs-shop-07-20231114T221320000000Z.jsonl",
            "logs-shop-7-20231114T221320000000Z.jsonl\n",
            "traces.jsonl",
        ],
    )
    def test_knows_only_its_own(self, name: str) -> None:
        """A name that is nearly a segment's is none."""
        assert parse_segment_name(name) is None


class TestWriter:
    """`SegmentWriter`."""

    def test_writes_privately(self, tmp_path: Path) -> None:
        """The folder is the owner's alone, and so is a segment."""
        writer = writer_in(tmp_path / "a" / "telemetry")

        writer.write(b"one\n")

        path = writer.path
        assert path is not None
        assert [0o700, 0o600] == [path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777]
        assert b"one\n" == path.read_bytes()

    def test_rotates_before_the_bound(self, tmp_path: Path) -> None:
        """No segment is larger than the bound but one whose only line is."""
        writer = writer_in(tmp_path)

        for line in (b"a" * 59, b"b" * 39, b"c" * 59, b"d" * 199, b"e"):
            writer.write(line + b"\n")

        expected = [b"a" * 59 + b"\n" + b"b" * 39 + b"\n", b"c" * 59 + b"\n", b"d" * 199 + b"\n", b"e\n"]
        assert expected == contents(tmp_path)

    def test_rotates_by_age(self, tmp_path: Path) -> None:
        """A segment is closed once it is old, at a write or when asked, and only then."""
        now = [50.0]
        writer = writer_in(tmp_path, max_age_s=10, monotonic=lambda: now[0])

        writer.write(b"one\n")
        now[0] = 59.9
        assert not writer.close_aged()
        writer.write(b"two\n")
        now[0] = 60.0
        writer.write(b"three\n")
        now[0] = 70.0
        assert writer.close_aged()

        assert writer.path is None
        assert [b"one\ntwo\n", b"three\n"] == contents(tmp_path)

    def test_survives_clock_jumps(self, tmp_path: Path) -> None:
        """Names stay unique and in order when the clock steps back, and no segment ages by it."""
        times = iter([1_700_000_000.0, 1_600_000_000.0, 1_600_000_000.0, 1_900_000_000.0])
        writer = writer_in(tmp_path, max_bytes=5, clock=lambda: next(times))

        for line in (b"one\n", b"two\n", b"tri\n", b"for\n"):
            writer.write(line)

        assert [b"one\n", b"two\n", b"tri\n", b"for\n"] == contents(tmp_path)

    def test_goes_on_when_the_segment_is_deleted(self, tmp_path: Path) -> None:
        """What is written after the segment was deleted stands in a new one."""
        writer = writer_in(tmp_path)
        writer.write(b"lost\n")
        (path,) = tmp_path.iterdir()
        path.unlink()

        writer.write(b"kept\n")

        assert [b"kept\n"] == contents(tmp_path)

    def test_goes_on_when_the_segment_is_moved(self, tmp_path: Path) -> None:
        """A segment that was renamed, as logrotate does, is left alone."""
        writer = writer_in(tmp_path / "in")
        writer.write(b"one\n")
        (path,) = (tmp_path / "in").iterdir()
        path.rename(tmp_path / "moved")

        writer.write(b"two\n")

        assert b"one\n" == (tmp_path / "moved").read_bytes()
        assert [b"two\n"] == contents(tmp_path / "in")

    def test_goes_on_when_the_segment_is_truncated(self, tmp_path: Path) -> None:
        """A segment that was emptied from outside is filled again up to its bound."""
        writer = writer_in(tmp_path)
        writer.write(b"a" * 80 + b"\n")
        (path,) = tmp_path.iterdir()
        os.truncate(path, 0)

        writer.write(b"b" * 80 + b"\n")

        assert [b"b" * 80 + b"\n"] == contents(tmp_path)

    def test_goes_on_when_the_folder_is_deleted(self, tmp_path: Path) -> None:
        """A folder that was removed is made again."""
        writer = writer_in(tmp_path / "in")
        writer.write(b"lost\n")
        subprocess.run(["rm", "-r", str(tmp_path / "in")], check=True)

        writer.write(b"kept\n")

        assert [b"kept\n"] == contents(tmp_path / "in")

    def test_raises_where_no_folder_can_be(self, tmp_path: Path) -> None:
        """A file in the folder's place is an OSError for each write, and none once it is gone."""
        (tmp_path / "in").write_text("in the way")
        writer = writer_in(tmp_path / "in")

        for _ in range(2):
            with pytest.raises(OSError, match="in"):
                writer.write(b"one\n")
        (tmp_path / "in").unlink()
        writer.write(b"two\n")

        assert [b"two\n"] == contents(tmp_path / "in")

    def test_follows_no_link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A link planted under the next segment's name is not written through."""
        monkeypatch.setattr(segments, "_last_start_us", START_US * 10)
        planted = segment_name("logs", "shop", os.getpid(), START_US * 10 + 1)
        target = tmp_path / "target"
        target.write_bytes(b"")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / planted).symlink_to(target)

        writer_in(tmp_path / "in").write(b"one\n")

        assert b"" == target.read_bytes()

    def test_serves_threads(self, tmp_path: Path) -> None:
        """Lines of many threads are each in the segments once and whole."""
        writer = writer_in(tmp_path, max_bytes=1000)

        def work(number: int) -> None:
            for step in range(200):
                writer.write(f"{number}-{step}\n".encode())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        lines = b"".join(contents(tmp_path)).splitlines()
        assert sorted(f"{number}-{step}".encode() for number in range(8) for step in range(200)) == sorted(lines)
        assert all(len(content) <= 1000 for content in contents(tmp_path))

    def test_serves_a_forked_child(self, tmp_path: Path) -> None:
        """A child writes its own segment, the parent goes on with its, and neither keeps the other's alive."""
        writer = writer_in(tmp_path)
        writer.write(b"parent 1\n")
        parent_path = writer.path

        assert 0 == run_in_fork(lambda: writer.write(b"child\n"))
        writer.write(b"parent 2\n")

        assert parent_path == writer.path
        assert sorted([b"parent 1\nparent 2\n", b"child\n"]) == sorted(contents(tmp_path))
        child_path = next(path for name, path in segments_in(tmp_path) if name.pid != os.getpid())
        assert (True, False) == (is_live(writer.path or tmp_path), is_live(child_path))

    def test_serves_a_child_forked_in_a_write(self, tmp_path: Path) -> None:
        """A lock held by another thread at the moment of the fork does not stop the child."""
        writer = writer_in(tmp_path)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with writer._lock:
                held.set()
                release.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        assert 0 == run_in_fork(lambda: writer.write(b"child\n"))
        release.set()
        thread.join()

        assert [b"child\n"] == contents(tmp_path)

    def test_does_not_keep_the_parents_segment_alive(self, tmp_path: Path) -> None:
        """A child that never writes does not make its parent's closed segment look as if it were being written."""
        writer = writer_in(tmp_path)
        writer.write(b"parent\n")
        path = writer.path or tmp_path
        reading, writing = os.pipe()
        ready, started = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.write(started, b"x")
            os.read(reading, 1)
            os._exit(0)

        os.read(ready, 1)
        assert is_live(path)
        writer.close()
        live = is_live(path)
        os.close(writing)
        os.waitpid(pid, 0)
        for end in (reading, ready, started):
            os.close(end)

        assert not live

    def test_does_not_touch_a_reused_descriptor(self, tmp_path: Path) -> None:
        """A program that closes all descriptors, as a daemon does, finds nothing of ours in the files it opens next."""
        writer = writer_in(tmp_path / "in")
        writer.write(b"one\n")
        descriptor = writer._descriptor
        assert descriptor is not None
        foreign = os.open(tmp_path / "foreign", os.O_WRONLY | os.O_CREAT)
        os.dup2(foreign, descriptor)
        os.close(foreign)

        writer.write(b"two\n")

        os.write(descriptor, b"foreign")
        os.close(descriptor)
        assert b"foreign" == (tmp_path / "foreign").read_bytes()
        assert [b"one\n", b"two\n"] == contents(tmp_path / "in")

    def test_survives_a_kill(self, tmp_path: Path) -> None:
        """What was written before a `kill -9` is there, and its segment counts as closed."""

        def work() -> None:
            writer_in(tmp_path).write(b"written\n")
            os.kill(os.getpid(), 9)

        assert -9 == run_in_fork(work)
        ((_, path),) = segments_in(tmp_path)
        assert (b"written\n", False) == (path.read_bytes(), is_live(path))

    @pytest.mark.parametrize("size", [50, 50_000])
    def test_survives_kills_at_any_moment(self, tmp_path: Path, size: int) -> None:
        """Each line whose write had returned before a `kill -9` is there once and whole; only a last line is torn."""
        returned: list[bytes] = []
        for life in range(20):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                writer = writer_in(tmp_path, max_bytes=200 * size)
                for number in itertools.count():
                    name = b"%d-%d-" % (life, number)
                    writer.write(name + b"x" * size + b"\n")
                    os.write(writing, name + b"\n")
            os.close(writing)
            with os.fdopen(reading, "rb") as told:
                returned.append(told.readline())
                time.sleep(0.001 * life)
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                returned += told.read().splitlines(keepends=True)

        lines = [content.split(b"\n") for content in contents(tmp_path)]
        torn = [last for *_, last in lines if last]
        whole = [line for *head, _ in lines for line in head]
        assert all(line.endswith(b"-" + b"x" * size) for line in whole)
        assert len(whole) == len(set(whole))
        assert {name.strip() for name in returned} <= {line.rstrip(b"x") for line in whole}
        assert len(torn) <= 20
        assert len(whole) <= len(returned) + 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=False, capture_output=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def is_written(writer: SegmentWriter, line: bytes) -> bool:
    """Write a line; return False where the disk refused it."""
    try:
        writer.write(line)
    except OSError:
        return False
    return True


class TestDisk:
    """`SegmentWriter` on a disk that refuses."""

    def test_leaves_whole_lines_on_a_full_disk(self, small_disk: Path) -> None:
        """Lines that do not fit raise, nothing of them stays, and those after room was made are written."""
        writer = writer_in(small_disk, max_bytes=10**6)
        line = b"x" * 9999 + b"\n"

        written = sum(is_written(writer, line) for _ in range(40))
        assert 20 < written < 35
        assert line * written == b"".join(contents(small_disk))

        for _, path in segments_in(small_disk):
            path.unlink()
        writer.write(b"again\n")

        assert [b"again\n"] == contents(small_disk)

    def test_compression_leaves_what_does_not_fit(self, small_disk: Path) -> None:
        """Where there is no room for the compressed form, the segment stays and no leftover does."""
        writer = writer_in(small_disk, max_bytes=10**6)
        writer.write(os.urandom(200_000).hex().encode()[:200_000] + b"\n")
        writer.close()
        before = [path.name for path in small_disk.iterdir()]

        assert [] == compress_closed(small_disk, "zstd")
        assert before == [path.name for path in small_disk.iterdir()]

    def test_raises_on_a_read_only_disk(self, small_disk: Path) -> None:
        """A disk that became read-only raises for each write, and takes them again once it is writable."""
        writer = writer_in(small_disk, max_bytes=10)
        writer.write(b"one\n")
        writer.close()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

        with pytest.raises(OSError, match="Read-only"):
            writer.write(b"two\n")
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        writer.write(b"three\n")

        assert [b"one\n", b"three\n"] == contents(small_disk)


DECOMPRESS = {
    "zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
    "gzip": gzip.decompress,
}


class TestCompression:
    """`compress_closed`."""

    @pytest.mark.parametrize(("compression", "suffix"), [("zstd", ".zst"), ("gzip", ".gz")])
    def test_keeps_content_time_and_mode(self, tmp_path: Path, compression: Any, suffix: str) -> None:
        """A closed segment becomes a compressed one of the same content, time and permissions."""
        writer = writer_in(tmp_path, max_bytes=10**7)
        content = b"".join(b'{"n":%d}\n' % number for number in range(100_000))
        writer.write(content)
        path = writer.path or tmp_path
        writer.close()
        os.utime(path, ns=(1, 1_600_000_000_123_456_789))

        made = compress_closed(tmp_path, compression)

        assert made == list(tmp_path.iterdir()) == [path.with_name(path.name + suffix)]
        status = made[0].stat()
        assert (1_600_000_000_123_456_789, 0o600) == (status.st_mtime_ns, status.st_mode & 0o777)
        assert content == DECOMPRESS[compression](made[0].read_bytes())
        assert status.st_size * 4 < len(content)

    def test_leaves_live_and_foreign_files(self, tmp_path: Path) -> None:
        """What is being written, what is not a segment and what is only a link stay as they are; empty segments go."""
        writer = writer_in(tmp_path)
        writer.write(b"live\n")
        live = writer.path or tmp_path
        foreign = tmp_path / "notes.jsonl"
        foreign.write_text("mine")
        link = tmp_path / segment_name("logs", "shop", 1, START_US)
        link.symlink_to(foreign)
        (tmp_path / segment_name("logs", "shop", 2, START_US)).touch()

        assert [] == compress_closed(tmp_path, "gzip")
        assert sorted([live, foreign, link]) == sorted(tmp_path.iterdir())

    def test_does_nothing_when_off(self, tmp_path: Path) -> None:
        """With `none` a closed segment stays plain."""
        writer = writer_in(tmp_path)
        writer.write(b"one\n")
        writer.close()

        assert [] == writer.compress_closed()
        assert [b"one\n"] == contents(tmp_path)

    def test_recovers_from_crashes(self, tmp_path: Path) -> None:
        """After a crash before, at or after the rename the content is there once, and no leftover is."""
        before = tmp_path / segment_name("logs", "shop", 1, START_US)
        after = tmp_path / segment_name("logs", "shop", 2, START_US)
        orphan = tmp_path / (segment_name("logs", "shop", 3, START_US) + ".gz.tmp")
        before.write_bytes(b"before\n")
        before.with_name(before.name + ".gz.tmp").write_bytes(b"torn")
        after.write_bytes(b"after\n")
        after.with_name(after.name + ".gz").write_bytes(gzip.compress(b"after\n"))
        orphan.write_bytes(b"torn")
        assert 2 == len(segments_in(tmp_path))

        compress_closed(tmp_path, "gzip")

        found = {path.name: gzip.decompress(path.read_bytes()) for path in tmp_path.iterdir()}
        assert {before.name + ".gz": b"before\n", after.name + ".gz": b"after\n"} == found

    def test_is_done_once_by_many(self, tmp_path: Path) -> None:
        """Processes that compress at the same time lose nothing and make nothing twice."""
        for pid in range(1, 41):
            (tmp_path / segment_name("logs", "shop", pid, START_US)).write_bytes(b"%d\n" % pid * 1000)

        pids = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                compress_closed(tmp_path, "gzip")
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        compress_closed(tmp_path, "gzip")

        found = sorted(gzip.decompress(path.read_bytes()) for path in tmp_path.iterdir())
        assert sorted(b"%d\n" % pid * 1000 for pid in range(1, 41)) == found
