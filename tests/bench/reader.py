"""How fast the reader is: a parse beside a bare `orjson.loads` loop, a look-up beside `grep -c`, and its memory.

CPU seconds are compared, the lowest of several interleaved rounds, so that other load on the machine does not decide.
`CLEW_BENCH_MB` sets the size of the files (default 1000).
"""

from __future__ import annotations

import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import zstandard

from clew.files.reader.reading import read
from clew.files.reader.records import ReadStats
from clew.files.reader.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3
BATCH = 512
PARSE_GOAL = 0.7
LOOKUP_GOAL = 0.4
COMPRESSED_GOAL = 0.5
MEMORY_GOAL_MB = 200
_BLOCK_RECORDS = 64 * BATCH


def make_log(number: int) -> dict[str, Any]:
    """Make a log record as Clew writes it."""
    trace_id = secrets.token_hex(16)
    attributes: dict[str, Any] = {
        "log.record.uid": {"stringValue": secrets.token_hex(16)},
        "correlation.id": {"stringValue": trace_id},
        "code.file.path": {"stringValue": "/srv/shop/orders.py"},
        "code.function.name": {"stringValue": "reserve"},
        "code.line.number": {"intValue": "42"},
        "thread.id": {"intValue": "140012345678"},
        "thread.name": {"stringValue": "MainThread"},
        "order.amount": {"doubleValue": 12.5},
    }
    return {
        "timeUnixNano": str(1_764_000_000_000_000_000 + number * 1_000_003),
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": f"order {number} reserved {number % 7} items"},
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
        "flags": 1,
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
    }


def write_logs(path: Path, megabytes: int, batch: int) -> None:
    """Write a file of log lines with so many records on each: one block of different ones, repeated."""
    resource_ = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    records = [make_log(number) for number in range(_BLOCK_RECORDS)]
    lines = []
    for start in range(0, len(records), batch):
        scope = {"scope": {"name": "shop.orders"}, "logRecords": records[start : start + batch]}
        lines.append(orjson.dumps({"resourceLogs": [{"resource": resource_, "scopeLogs": [scope]}]}))
    block = b"\n".join(lines) + b"\n"
    with path.open("wb") as file:
        while file.tell() < megabytes * 1_000_000:
            file.write(block)


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds, of this process and of its children, that `work` takes."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    before = spent()
    work()
    return spent() - before


def bare_loop(path: Path) -> None:
    """Parse each line and look at nothing."""
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)


def full_parse(path: Path) -> int:
    """Read every record."""
    return sum(1 for _ in read(find_sources([path]), ReadStats()))


def look_up(path: Path, needle: str) -> int:
    """Find the records of one ID as `clew trace` does, in either case of letters."""
    needles = [needle.encode(), needle.upper().encode()]
    return sum(1 for _ in read(find_sources([path]), ReadStats(), needles=needles))


def grep(path: Path, needle: str) -> None:
    """Count the lines that hold the ID."""
    subprocess.run(["grep", "-c", needle, str(path)], stdout=subprocess.DEVNULL, check=False)


def peak_mb(path: Path, *, needle: str = "") -> float:
    """Return the peak memory of a process that reads the file: Linux's `VmHWM`, which begins anew with a process."""
    code = (
        "import sys; from pathlib import Path; from tests.bench import reader\n"
        "reader.look_up(Path(sys.argv[1]), sys.argv[2]) if sys.argv[2] else reader.full_parse(Path(sys.argv[1]))\n"
        "print(Path('/proc/self/status').read_text())"
    )
    command = [sys.executable, "-c", code, str(path), needle]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return int(done.stdout.partition("VmHWM:")[2].split()[0]) / 1000


def compare(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Return our throughput as a share of theirs, the lowest times of interleaved rounds compared."""
    pairs = [(cpu_s(theirs), cpu_s(ours)) for _ in range(ROUNDS)]
    return min(one for one, _ in pairs) / min(other for _, other in pairs)


def main() -> bool:
    """Print the table; return whether every goal is met."""
    megabytes = int(os.environ.get("CLEW_BENCH_MB", "1000"))
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *measure_plain(Path(folder, "batches.jsonl"), megabytes, BATCH),
            *measure_plain(Path(folder, "singles.jsonl"), megabytes, 1),
            measure_compressed(Path(folder), megabytes // 4),
        ]
    for what, value, goal in rows:
        bound = f"at most {goal:g}" if what.endswith("MB") else f"at least {goal:g}"
        print(f"{what:<70} {value:8.2f}  {bound:<12}  {'ok' if is_met(what, value, goal) else 'MISSED'}")
    return all(is_met(*row) for row in rows)


def is_met(what: str, value: float, goal: float) -> bool:
    """Return whether a row of the table is as good as it should be; of memory less is better."""
    return value <= goal if what.endswith("MB") else value >= goal


def measure_plain(path: Path, megabytes: int, batch: int) -> list[tuple[str, float, float]]:
    """Measure one file of lines with so many records each: what, how much, the goal."""
    write_logs(path, megabytes, batch)
    name, needle = f"{megabytes} MB, {batch} a line", secrets.token_hex(16)
    rows = [
        (f"{name}: look-up / grep -c", compare(lambda: look_up(path, needle), lambda: grep(path, needle)), LOOKUP_GOAL),
        (f"{name}: parse / bare orjson.loads", compare(lambda: full_parse(path), lambda: bare_loop(path)), PARSE_GOAL),
        (f"{name}: memory of a parse, MB", peak_mb(path), MEMORY_GOAL_MB),
        (f"{name}: memory of a look-up, MB", peak_mb(path, needle=needle), MEMORY_GOAL_MB),
    ]
    path.unlink()
    return rows


def measure_compressed(folder: Path, megabytes: int) -> tuple[str, float, float]:
    """Measure a compressed file beside a bare loop over the same lines uncompressed."""
    plain, compressed = folder / "logs.jsonl", folder / "logs.jsonl.zst"
    write_logs(plain, megabytes, BATCH)
    with plain.open("rb") as source, compressed.open("wb") as target:
        zstandard.ZstdCompressor(level=3).copy_stream(source, target)
    share = compare(lambda: full_parse(compressed), lambda: bare_loop(plain))
    return f"{megabytes} MB in .zst: parse / bare loop over the plain file", share, COMPRESSED_GOAL


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
