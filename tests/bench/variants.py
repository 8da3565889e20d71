"""The three ways in which every program of the benchmark runs: plain, under Clew, under `opentelemetry-distro`.

All are the same interpreter with the same packages. Upstream's runs must not load Clew's entry points, so they have an
environment of their own, made of links, in which Clew is not installed.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SETTINGS: Final = {
    "OTEL_SERVICE_NAME": "bench",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
    "OTEL_BLRP_SCHEDULE_DELAY": "1000",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
    "OTEL_PYTHON_LOG_CODE_ATTRIBUTES": "true",
}
"""The same for both, so that they say the same: by default Clew's records alone have code attributes, for one."""

_LAUNCH: Final = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"


class Variant(NamedTuple):
    """One way to run a program."""

    name: str
    python: Path
    environ: Mapping[str, str]
    instrumented: bool = True

    def command(self, args: Sequence[str]) -> list[str]:
        """Return the command line that runs `python *args`."""
        python = str(self.python)
        return [python, "-c", _LAUNCH, python, *args] if self.instrumented else [python, *args]


def make_variants(folder: Path, endpoint: str) -> list[Variant]:
    """Make the three variants; `folder` takes the environment without Clew and the spool."""
    python = make_environment_without_clew(folder / "upstream")
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    own = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    sent = {**own, **_SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    return [
        Variant("plain", python, own, instrumented=False),
        Variant("clew", Path(sys.executable), {**sent, "CLEW_DIR": str(folder / "clew")}),
        Variant("distro", python, sent),
    ]


def make_environment_without_clew(folder: Path) -> Path:
    """Make an environment with links to this one's packages, except Clew; return its interpreter."""
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    target = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    for source in site.getsitepackages():
        for entry in Path(source).iterdir():
            if "clew" not in entry.name and not (target / entry.name).exists():
                (target / entry.name).symlink_to(entry)
    return python
