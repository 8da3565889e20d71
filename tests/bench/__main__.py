"""Plain Python, Clew and `opentelemetry-distro` beside one another in one run: `python -m tests.bench [--quick]`.

The variants take turns in a random order in every round, so that what else the machine does meets all alike. The table
shows medians over the rounds, and ratios that were taken within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench import measurements
from tests.bench.measurements import FASTAPI, FASTAPI_QUIET, FLASK, Effort
from tests.bench.table import lines_of
from tests.bench.variants import make_variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.measurements import Numbers
    from tests.bench.table import Round
    from tests.bench.variants import Variant

    Measurement = Callable[[Variant, Effort], Numbers]

_FULL: Final = Effort(bursts=15, requests=4000, seconds=10, starts=5)
_QUICK: Final = Effort(bursts=5, requests=600, seconds=3, starts=2)


def _web(app: measurements.App) -> Measurement:
    return lambda variant, effort: measurements.measure_web(variant, app, effort)


MEASUREMENTS: Final[dict[str, Measurement]] = {
    "calls": measurements.measure_calls,
    "flask": _web(FLASK),
    "fastapi": _web(FASTAPI),
    "fastapi-quiet": _web(FASTAPI_QUIET),
    "start": measurements.measure_start,
}


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a measurement")
    parser.add_argument("--rounds", type=int, help="how many rounds (5, or 1 with --quick)")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--json", type=Path, help="write each number of each round to this file")
    args = parser.parse_args()
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder, _sink() as port:
        variants = make_variants(Path(folder), f"http://127.0.0.1:{port}")
        for number in range(args.rounds or (1 if args.quick else 5)):
            _tell(f"round {number + 1}")
            rounds.append(_run_round(variants, args.only, _QUICK if args.quick else _FULL, port))
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1))
    print(_describe_machine(len(rounds)))
    print("\n".join(lines_of(rounds)))


def _run_round(variants: list[Variant], names: list[str], effort: Effort, port: int) -> Round:
    """Measure everything once under each variant."""
    numbers: Round = {variant.name: {} for variant in variants}
    for name in names:
        for variant in random.sample(variants, len(variants)):
            _tell(f"  {name}: {variant.name}")
            before = measurements.received(port)
            numbers[variant.name].update(MEASUREMENTS[name](variant, effort))
            if name != "start":
                _check_arrival(variant, before, measurements.received(port))
    return numbers


def _check_arrival(variant: Variant, before: dict[str, int], after: dict[str, int]) -> None:
    """Raise if a variant that should send telemetry sent none, or the other way round: its numbers mean nothing."""
    for path in ("/v1/logs", "/v1/traces"):
        if (after.get(path, 0) > before.get(path, 0)) != variant.instrumented:
            raise RuntimeError(f"{variant.name}: {path} received {after.get(path, 0) - before.get(path, 0)} bytes")


@contextlib.contextmanager
def _sink() -> Iterator[int]:
    """Run the receiver while the block lasts; yield its port."""
    with subprocess.Popen(
        measurements.sink_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _describe_machine(rounds: int) -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    when = time.strftime("%Y-%m-%d", time.gmtime())
    python = f"Python {platform.python_version()}"
    return f"{when}, {python}, {platform.system()} {platform.release()}, {model}, {rounds} rounds\n"


_tell = partial(print, file=sys.stderr, flush=True)

if __name__ == "__main__":
    main()
