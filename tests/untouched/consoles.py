"""A server's console: started with and without Clew, asked, stopped, and told without what differs from run to run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from programs import BIN, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextlib.contextmanager
def running(args: list[str], folder: Path, console: Path, environ: Mapping[str, str], *, clew: bool) -> Iterator[None]:
    """Run a program of this environment's, its output in `console`, and end it as Ctrl-C does."""
    launcher = [str(BIN / "opentelemetry-instrument")] if clew else []
    variables = {**clean_environment(folder), "PYTHONUNBUFFERED": "1", **environ}
    with (
        console.open("wb") as out,
        subprocess.Popen(
            [*launcher, *args], cwd=folder, env=variables, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def await_text(console: Path, pattern: str) -> re.Match[str]:
    """Return the first match in a console once it is there.

    Raises:
        TimeoutError: If it does not come within a minute.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(pattern, console.read_text(errors="replace"))
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(console.read_text(errors="replace"))


def ask(port: str, *paths: str) -> None:
    """Ask a server for each path, whatever it answers."""
    for path in paths:
        with contextlib.suppress(urllib.error.HTTPError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30).close()
