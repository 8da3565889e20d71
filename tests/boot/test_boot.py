"""A program starts under `opentelemetry-instrument` whatever state its configuration is in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PROGRAM = "import logging; logging.getLogger('app').warning('said'); print('ran')"
PLAIN = ("ran\n", "said\n", 0)


def _start(folder: Path, *, program: str = PROGRAM, **environ: str) -> tuple[str, str, int]:
    """Run `program` under `opentelemetry-instrument` in a clean environment: what it printed, and its status."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CLEW_", "PYTHONPATH"))}
    defaults = {"CLEW_MODE": "file", "CLEW_DIR": str(folder / "telemetry"), "OTEL_METRICS_EXPORTER": "none"}
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, "-c", program]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**clean, **defaults, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SDK_DISABLED": "true"},
        {"CLEW_MODE": "off"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
        {"OTEL_PYTHON_DISTRO": "distro", "OTEL_LOGS_EXPORTER": "clew_file", "OTEL_TRACES_EXPORTER": "clew_file"},
    ],
    ids=lambda environ: ",".join(f"{name}={value}" for name, value in environ.items()) or "default",
)
def test_console_is_the_programs_own(tmp_path: Path, environ: dict[str, str]) -> None:
    """Beside upstream's distribution, disabled, off or exporting nothing: the program prints what it prints."""
    assert PLAIN == _start(tmp_path, **environ)


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "nowhere"},
            "clew: telemetry is off: RuntimeError: Requested component 'nowhere' not found",
        ),
        (
            {"CLEW_QUEUE_SIZE": "many"},
            "clew: CLEW_QUEUE_SIZE must be a whole number above 0, got 'many'; using 65536\n",
        ),
        (
            {"OTEL_CONFIG_FILE": "absent.yaml"},
            "clew: telemetry is off: ",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_broken_variable_is_one_line(tmp_path: Path, environ: dict[str, str], line: str) -> None:
    """A variable that cannot be used is told in one line, and the program runs as it would."""
    out, err, status = _start(tmp_path, **environ)

    told = [text for text in err.splitlines(keepends=True) if text != "said\n"]
    assert ("ran\n", 0, 1) == (out, status, len(told))
    assert told[0].startswith(line)


def test_packages_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """With an SDK of another release line the program runs without telemetry, and one line names the packages."""
    shadow = tmp_path / "shadow" / "opentelemetry_api-1.27.0.dist-info"
    shadow.mkdir(parents=True)
    (shadow / "METADATA").write_text("Metadata-Version: 2.1\nName: opentelemetry-api\nVersion: 1.27.0\n")

    out, err, status = _start(tmp_path, PYTHONPATH=str(shadow.parent))

    told = [text for text in err.splitlines(keepends=True) if text != "said\n"]
    assert ("ran\n", 0, 1) == (out, status, len(told))
    assert told[0].startswith("clew: telemetry is off: opentelemetry-api 1.27.0 does not fit opentelemetry-sdk ")


def test_configuration_file_is_followed(tmp_path: Path) -> None:
    """With `OTEL_CONFIG_FILE` the providers are the file's; correlation and log capture are added to them."""
    (tmp_path / "otel.yaml").write_text(
        "file_format: '1.0'\n"
        "tracer_provider:\n  processors:\n    - simple:\n        exporter:\n          console: {}\n"
        "logger_provider:\n  processors:\n    - simple:\n        exporter:\n          console: {}\n"
    )
    program = (
        "import logging, clew\nfrom opentelemetry import trace\n"
        "with clew.bind('job-42'), trace.get_tracer('t').start_as_current_span('work'):\n"
        "    logging.getLogger('app').warning('said')\n"
    )

    out, err, status = _start(tmp_path, program=program, OTEL_CONFIG_FILE="otel.yaml")

    assert ("said\n", 0) == (err, status)
    assert out.count('"correlation.id": "job-42"') == 2
    assert '"body": "said"' in out


def test_service_is_named_after_the_program(tmp_path: Path) -> None:
    """Without a name of the user's the resource has the script's, and the distribution is named on it."""
    script = tmp_path / "shop.py"
    script.write_text(
        "from opentelemetry import trace\n"
        "attributes = trace.get_tracer_provider().resource.attributes\n"
        "print(attributes['service.name'], attributes['telemetry.distro.name'])\n"
    )

    out, _, _ = _start(tmp_path, program=f"import runpy, sys; runpy.run_path({str(script)!r})")
    assert out == "unknown_service clew-opentelemetry\n"
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, str(script)]
    environ = {**os.environ, "CLEW_MODE": "file", "CLEW_DIR": str(tmp_path / "telemetry")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "shop clew-opentelemetry\n"
