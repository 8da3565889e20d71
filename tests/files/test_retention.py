"""Retention: which files go, which never do, and that the bounds hold."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew import schema
from clew.files import retention
from clew.files.retention import Removal, RetentionPolicy, RetentionResult, is_due, making_room, plan
from clew.files.segments import SegmentWriter, compress_closed, parse_segment_name, segment_name, segments_in
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clew.files.compression import Compression

NOW = 1_800_000_000.0
START_US = 1_700_000_000_000_000
OPEN = RetentionPolicy(max_age_s=10**12, max_files=10**9, max_bytes=10**15, min_free_bytes=0)


def policy(**bounds: float) -> RetentionPolicy:
    """Return a policy with `bounds` only."""
    return RetentionPolicy(**{**OPEN.__dict__, **bounds})


def put(folder: Path, name: str, *, age_s: float = 0, size: int = 10) -> Path:
    """Make a file that was last written `age_s` before now."""
    path = folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def segment(number: int, suffix: str = ".zst") -> str:
    """Return the name of a segment of process `number`."""
    return segment_name("logs", "shop", number, START_US) + suffix


def apply(folder: Path, bounds: RetentionPolicy) -> RetentionResult:
    """Apply a policy now."""
    return retention.apply(folder, bounds, now=NOW)


class TestApply:
    """`apply` and `plan`."""

    @pytest.mark.parametrize(
        ("bounds", "kept", "reason"),
        [
            (policy(max_age_s=25), [1, 2], "age"),
            (policy(max_files=2), [1, 2], "files"),
            (policy(max_bytes=29), [1, 2], "bytes"),
            (policy(min_free_bytes=10**18), [], "free"),
            (OPEN, [1, 2, 3, 4], None),
        ],
    )
    def test_removes_the_oldest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounds: RetentionPolicy, kept: list[int], reason: str
    ) -> None:
        """Each bound takes the oldest files, no more than it must, and says why."""
        paths = {number: put(tmp_path, segment(number), age_s=10 * number) for number in (3, 1, 4, 2)}
        if reason == "free":
            monkeypatch.setattr(retention, "_missing_bytes", lambda descriptor, policy: 10**6)

        gone = [paths[number] for number in (4, 3, 2, 1) if number not in kept]
        assert gone == plan(tmp_path, bounds, NOW)
        result = apply(tmp_path, bounds)

        assert result == RetentionResult(
            tuple(Removal(path, 10, reason) for path in gone), (), len(kept), 10 * len(kept)
        )
        assert sorted(paths[number] for number in kept) == [path for _, path in segments_in(tmp_path)]

    def test_dry_run_removes_nothing(self, tmp_path: Path) -> None:
        """A dry run says what would go and leaves the folder as it is."""
        old = put(tmp_path, segment(1), age_s=100)

        result = retention.apply(tmp_path, policy(max_age_s=10), dry_run=True, now=NOW)

        assert (Removal(old, 10, "age"),) == result.removed
        assert [old] == list(tmp_path.iterdir())

    def test_knows_the_collectors_files(self, tmp_path: Path) -> None:
        """Rotated files of the Collector go like our own; the one that it writes never does."""
        rotated = [
            put(tmp_path, name, age_s=100)
            for name in (
                "traces-2026-08-20T10-11-12.345-size.jsonl",
                "my-logs-2026-08-20T10-11-12.345-initial.jsonl.zst",
                "metrics-2026-08-20T10-11-12.345-size.jsonl.gz",
            )
        ]
        active = put(tmp_path, "traces.jsonl", age_s=100)

        apply(tmp_path, policy(max_age_s=10))

        assert not any(path.exists() for path in rotated)
        assert active.exists()

    def test_leaves_foreign_files(self, tmp_path: Path) -> None:
        """Other names, links, folders and what is in them stay, whatever the policy, and count for nothing."""
        outside = put(tmp_path, "outside.jsonl", age_s=10**6)
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / segment(1)).symlink_to(outside)
        (folder / segment(2)).mkdir()
        (folder / "spool").mkdir()
        os.mkfifo(folder / segment(3, ""))
        put(folder / "spool", segment(4), age_s=10**6)
        for name in ("notes.jsonl", "logs-shop-1-2026.jsonl", segment(5, ".bak"), "x" + segment(6), segment(7, ".tmp")):
            put(folder, name, age_s=10**6)
        before = sorted(folder.rglob("*"))

        result = apply(folder, RetentionPolicy(0, 0, 0, 10**18))

        assert RetentionResult() == result
        assert sorted([*before, folder / schema.RETENTION_LOCK]) == sorted(folder.rglob("*"))
        assert outside.exists()

    def test_leaves_live_segments(self, tmp_path: Path) -> None:
        """What a process is writing stays however old and large it is, and goes once it is closed."""
        writer = SegmentWriter(tmp_path, "logs", "shop", max_bytes=100, max_age_s=3600)
        writer.write(b"x" * 99 + b"\n")
        path = writer.path
        assert path is not None

        assert RetentionResult(kept_files=1, kept_bytes=100) == retention.apply(tmp_path, RetentionPolicy(0, 0, 0, 0))
        writer.close()
        time.sleep(0.01)
        removed = retention.apply(tmp_path, policy(max_age_s=0)).removed

        assert (Removal(path, 100, "age"),) == removed

    def test_removes_both_forms(self, tmp_path: Path) -> None:
        """A segment that a crash left plain and compressed is one file to count, and goes as one."""
        plain, compressed = put(tmp_path, segment(1, ""), age_s=100), put(tmp_path, segment(1), age_s=100)
        newer = put(tmp_path, segment(2), age_s=50)

        result = apply(tmp_path, policy(max_files=1))

        assert [plain, compressed] == [removal.path for removal in result.removed]
        assert newer.exists()

    def test_one_process_at_a_time(self, tmp_path: Path) -> None:
        """While one process is at it another does nothing and says so."""
        old = put(tmp_path, segment(1), age_s=100)

        with making_room(tmp_path, OPEN, 0):
            result = apply(tmp_path, policy(max_age_s=10))

        assert RetentionResult(busy=True) == result
        assert old.exists()

    def test_says_what_it_could_not_remove(self, tmp_path: Path) -> None:
        """A file that someone else holds is skipped and named, and the rest goes."""
        held, free = put(tmp_path, segment(1), age_s=100), put(tmp_path, segment(2), age_s=90)
        descriptor = retention.open_locked(held)
        assert descriptor is not None

        result = apply(tmp_path, policy(max_age_s=10))
        os.close(descriptor)

        assert ((Removal(held, 10, "age"),), (Removal(free, 10, "age"),)) == (result.failed, result.removed)
        assert (1, 10) == (result.kept_files, result.kept_bytes)

    def test_nothing_where_there_is_no_folder(self, tmp_path: Path) -> None:
        """A folder that was never made holds nothing, and is not made."""
        assert RetentionResult() == apply(tmp_path / "none", OPEN)
        assert not (tmp_path / "none").exists()

    def test_does_not_follow_a_planted_lock(self, tmp_path: Path) -> None:
        """A link in the lock's place is refused instead of written through."""
        target = tmp_path / "target"
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / schema.RETENTION_LOCK).symlink_to(target)

        with pytest.raises(OSError, match="symbolic links"):
            apply(tmp_path / "in", OPEN)
        assert not target.exists()

    def test_keeps_something_on_a_small_disk(self, tmp_path: Path) -> None:
        """The free space that is kept is at most half of the disk, so that a small one is of use."""
        folder = tmp_path / "disk"
        folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False, text=True
        )
        if mounted.returncode:
            pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
        try:
            for number in range(1, 10):
                put(folder, segment(number), age_s=1000 - number, size=100_000)
            apply(folder, policy(min_free_bytes=10**9))
            kept = [name.pid for name, _ in segments_in(folder)]
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

        assert [5, 6, 7, 8, 9] == sorted(kept)

    def test_reads_the_settings(self) -> None:
        """A policy is what the settings say."""
        made = Settings.from_mapping({"CLEW_RETENTION_MAX_AGE": "1h", "CLEW_RETENTION_MAX_FILES": "7"})

        assert RetentionPolicy(3600.0, 7, 1024**3, 256 * 1024**2) == RetentionPolicy.from_settings(made)


FILES = st.lists(
    st.tuples(st.sampled_from(["logs", "traces", "foreign"]), st.integers(0, 1000), st.integers(0, 500), st.booleans()),
    max_size=12,
)


class TestBounds:
    """What holds after `apply`, for any folder and policy."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
    @given(FILES, st.integers(0, 1000), st.integers(0, 12), st.integers(0, 3000))
    def test_hold(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        files: list[tuple[str, int, int, bool]],
        max_age_s: int,
        max_files: int,
        max_bytes: int,
    ) -> None:
        """All bounds hold, foreign files are untouched, no kept file is older than a removed one, and no more went."""
        folder = tmp_path_factory.mktemp("bounds")
        foreign, ours = [], []
        for number, (kind, age_s, size, plain) in enumerate(files):
            if kind == "foreign":
                foreign.append(put(folder, f"note-{number}.jsonl", age_s=age_s, size=size))
            else:
                name = segment_name(kind, "shop", number, START_US) + ("" if plain else ".zst")
                ours.append(put(folder, name, age_s=age_s, size=size))
        ages = {path: NOW - path.stat().st_mtime for path in ours}
        sizes = {path: path.stat().st_size for path in ours}
        bounds = policy(max_age_s=max_age_s, max_files=max_files, max_bytes=max_bytes)
        planned = plan(folder, bounds, NOW)

        result = apply(folder, bounds)

        kept = [path for path in ours if path.exists()]
        assert planned == [removal.path for removal in result.removed]
        assert all(path.exists() for path in foreign)
        assert all(ages[path] <= max_age_s for path in kept)
        assert len(kept) <= max_files
        assert sum(sizes[path] for path in kept) <= max_bytes
        assert (len(kept), sum(sizes[path] for path in kept)) == (result.kept_files, result.kept_bytes)
        if planned and kept:
            assert max(ages[path] for path in kept) <= min(ages[path] for path in planned)
        if planned:
            last = planned[-1]
            with_last = [*kept, last]
            assert (
                ages[last] > max_age_s
                or len(with_last) > max_files
                or sum(sizes[path] for path in with_last) > max_bytes
            )


class TestDue:
    """`is_due`."""

    def test_once_for_all(self, tmp_path: Path) -> None:
        """A folder is due until some process has looked after it, and again after the interval or a clock jump."""
        assert is_due(tmp_path)
        apply(tmp_path, OPEN)
        assert not is_due(tmp_path)
        assert is_due(tmp_path, interval_s=0)

        future = time.time() + 10**6
        os.utime(tmp_path / schema.RETENTION_LOCK, (future, future))
        assert is_due(tmp_path)


WRITERS = 4
LINES_EACH = 100_000


def line_of(process: int, number: int) -> bytes:
    """Return a line as long as a record's that says whose it is."""
    return b'{"process":%d,"number":%d,"padding":"%s"}\n' % (process, number, b"x" * 60)


def start_writers(
    folder: Path, bounds: RetentionPolicy | None, segment_bytes: int, compression: Compression = "zstd"
) -> list[int]:
    """Start processes that write their lines in small batches, compressing closed segments as a pipeline does."""
    pids = []
    for process in range(WRITERS):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                write_lines(folder, bounds, segment_bytes, compression, process)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    return pids


def write_lines(
    folder: Path, bounds: RetentionPolicy | None, segment_bytes: int, compression: Compression, process: int
) -> None:
    """Write one process's lines."""

    @contextmanager
    def opening(size: int) -> Iterator[None]:
        if bounds is None:
            yield
        else:
            with making_room(folder, bounds, size):
                yield

    writer = SegmentWriter(folder, "logs", "shop", max_bytes=segment_bytes, max_age_s=3600, opening=opening)
    path = None
    for start in range(0, LINES_EACH, 50):
        writer.write(b"".join(line_of(process, number) for number in range(start, start + 50)))
        if writer.path != path:
            path = writer.path
            compress_closed(folder, compression)
    writer.close()


def wait_for(pids: list[int]) -> None:
    """Wait until all writers are done, each without an error."""
    assert [0] * len(pids) == [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestManyProcesses:
    """Four processes of 100,000 lines at segments of 1 MB."""

    SEGMENT_BYTES = 1_000_000

    def test_each_line_once(self, tmp_path: Path) -> None:
        """Every line is in the segments exactly once and whole, and no segment is over its bound."""
        wait_for(start_writers(tmp_path, None, self.SEGMENT_BYTES))

        lines: list[bytes] = []
        for name, path in segments_in(tmp_path):
            data = path.read_bytes()
            if name.suffix:
                data = zstandard.ZstdDecompressor().stream_reader(data).read()
            assert len(data) <= self.SEGMENT_BYTES
            lines += data.splitlines(keepends=True)
        expected = [line_of(process, number) for process in range(WRITERS) for number in range(LINES_EACH)]
        assert sorted(expected) == sorted(lines)

    @pytest.mark.parametrize(("compression", "max_files"), [("zstd", 12), ("none", 1000)])
    def test_bounds_hold_at_every_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: Compression, max_files: int
    ) -> None:
        """However often one looks while they write, files and bytes are within the policy."""
        # The machine may hold up whoever has the lock; after a second the others would go on without room.
        monkeypatch.setattr(retention, "_LOCK_WAIT_S", 60.0)
        bounds = RetentionPolicy(max_age_s=3600, max_files=max_files, max_bytes=12_000_000, min_free_bytes=0)
        pids = start_writers(tmp_path, bounds, self.SEGMENT_BYTES, compression)

        seen = []
        alive = list(pids)
        while alive:
            seen.append(self.look(tmp_path))
            alive = [pid for pid in alive if not self.is_done(pid)]
            time.sleep(0.002)

        files, sizes = zip(*seen, strict=True)
        assert len(seen) > 5
        assert max(files) <= max_files
        assert max(sizes) <= 12_000_000
        assert max(files) == 12 or max(sizes) > 8_000_000

    @staticmethod
    def is_done(pid: int) -> bool:
        """Return whether a writer has ended, without an error."""
        done, status = os.waitpid(pid, os.WNOHANG)
        assert 0 == status
        return done != 0

    @staticmethod
    def look(folder: Path) -> tuple[int, int]:
        """Count segments and their bytes; one that is just being compressed counts once, by its plain form.

        Nothing is opened or removed meanwhile: a listing that takes in a change counts what was never there at once.
        """
        sizes: dict[str, int] = {}
        with retention._opened(folder) as descriptor, retention._locked(descriptor, wait_s=60) as held:
            assert held
            for name in [path.name for path in folder.iterdir()]:
                parsed = parse_segment_name(name)
                if parsed is not None:
                    with suppress(FileNotFoundError):
                        stem = name.removesuffix(parsed.suffix)
                        sizes[stem] = max((folder / name).stat().st_size, sizes.get(stem, 0))
        return len(sizes), sum(sizes.values())
