"""Start programs under `opentelemetry-instrument`, in an environment that holds nothing of the tester's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver import Receiver, ReceiverProcess

BIN = Path(sys.executable).parent
"""The folder of the running interpreter's commands."""


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment in which only the path, the locale and a home folder are set."""
    return {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "LANG": "C.UTF-8", "HOME": str(home)}


def telemetry_environment(receiver: Receiver | ReceiverProcess, protocol: str = "http/protobuf") -> dict[str, str]:
    """Return the variables that point a program at `receiver`."""
    endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


def instrumented(
    args: Sequence[str | Path],
    *,
    receiver: Receiver | ReceiverProcess | None,
    cwd: Path,
    protocol: str = "http/protobuf",
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start `opentelemetry-instrument *args` with CLEW_DIR in `cwd`; stdout and stderr are pipes unless given.

    The process leads a group of its own: `os.killpg(process.pid, ...)` reaches what it starts. Use it in a `with`.

    Args:
        args: Program and arguments; a program without a folder is looked for beside this interpreter first.
        receiver: Where telemetry goes; None sets no endpoint.
        cwd: Working folder, home folder, and parent of `clew`, the CLEW_DIR.
        protocol: Of OTLP.
        environ: More variables; they win.
        options: For `subprocess.Popen`; they win.
    """
    # A busy machine may hold up the program, or the receiver, while the program ends.
    variables = {**clean_environment(cwd), "CLEW_DIR": str(cwd / "clew"), "CLEW_SHUTDOWN_TIMEOUT": "10"}
    if receiver is not None:
        variables.update(telemetry_environment(receiver, protocol))
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(
        [BIN / "opentelemetry-instrument", *args],
        cwd=cwd,
        env={**variables, **(environ or {})},
        start_new_session=True,
        **{**defaults, **options},
    )
