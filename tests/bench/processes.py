"""Processes of the benchmark: started, their CPU time and memory read from the operating system, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@contextmanager
def running(command: Sequence[str], environ: Mapping[str, str], cwd: Path, cpu: int | None) -> Iterator[int]:
    """Run a command while the block lasts; yield its process ID. It is asked to end, then made to."""
    process = subprocess.Popen(
        command,
        env=dict(environ),
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    if cpu is not None:
        os.sched_setaffinity(process.pid, {cpu})
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that the threads of a process and of its children have used, to the nanosecond."""
    used_ns = 0
    for each in tree(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            used_ns += int((task / "schedstat").read_text().split()[0])
    return used_ns / 1e9


def memory_mb(pid: int) -> float:
    """Return the memory of a process and its children, shared pages divided (PSS), in megabytes."""
    kilobytes = 0
    for each in tree(pid):
        lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1000


def wall_and_memory(command: Sequence[str], environ: Mapping[str, str], cwd: Path) -> tuple[float, float]:
    """Run a command to its end; return the seconds it took and the most memory that it had at once in megabytes."""
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    started_s = time.perf_counter()
    process = subprocess.Popen(command, env=dict(environ), cwd=cwd, **options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - started_s, usage.ru_maxrss / 1000
