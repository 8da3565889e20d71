"""The benchmark itself: its ratios are what they say, and it runs from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.bench.table import lines_of

ROOT = Path(__file__).parents[2]


def round_of(name: str, plain: float, clew: float, distro: float) -> dict[str, dict[str, float]]:
    """Return a round that measured one number."""
    return {"plain": {name: plain}, "clew": {name: clew}, "distro": {name: distro}}


def test_ratio_of_numbers() -> None:
    """A number of Clew's is a part of upstream's in the same round; shown are medians and the range."""
    name = "log call, caller"
    rounds = [round_of(name, 1000, 2000, 4000), round_of(name, 2000, 3000, 12000), round_of(name, 1000, 2000, 5000)]

    assert lines_of(rounds)[2:] == [
        "| log call, caller | ns | 1,000 | 2,000 | 5,000 | 0.40 [0.25-0.50] | ≤ 0.45 | 2.00 [1.50-2.00] |  |"
    ]


def test_ratio_of_what_is_added() -> None:
    """What a request costs more than plain is compared with what it costs upstream more than plain."""
    rounds = [round_of("Flask: CPU per request", 100, 150, 500)]

    assert lines_of(rounds)[2:] == [
        "| Flask: CPU per request | µs | 100 | 150 | 500 | 0.12 (added) | ≤ 0.6 | 1.50 |  |"
    ]


def test_instruments() -> None:
    """The comparison of `timed` and of fingerprints runs and tells each of its rows."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench.instruments"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ("", [
        "timed block / bare span and record", "timed call / bare span and record",
        "fingerprint of a known site / format_exception", "fingerprint of a new site / format_exception",
    ]) == (run.stderr, [line[:55].strip() for line in run.stdout.splitlines()])  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="CPU time of other processes is read from /proc")
def test_quick_run() -> None:
    """A quick run of the calls and of the start prints their table."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--only", "calls", "start"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    names = [line.split("|")[1].strip() for line in run.stdout.splitlines() if line.startswith("| ")][2:]

    assert (0, [
        "log call, caller", "log call, total", "disabled log call", "error with traceback, caller",
        "error with traceback, total", "span, caller", "span, export", "start, wall", "start, memory",
    ]) == (run.returncode, names), run.stderr  # fmt: skip
