"""Claim: the wheel, installed in an environment far from the repository, does what the documentation says."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clew import __version__
from clew.desk import cli, collector

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOAD_ENTRY_POINTS = """
from importlib.metadata import distribution
for point in distribution("clew-opentelemetry").entry_points:
    point.load()
    print(point.group)
"""

IMPORT_EVERYTHING = """
import importlib, pkgutil, clew
print(clew.__file__)
for module in pkgutil.walk_packages(clew.__path__, "clew."):
    try:
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    except ImportError as error:
        print(module.name, error.name)
"""

SHOP = """
import logging
from flask import Flask
app = Flask("shop")

@app.get("/orders/<item>")
def order(item):
    logging.getLogger("shop").warning("order for a %s", item)
    return {"teapot": "on its way"}[item]

app.test_client().get("/orders/samovar", headers={"X-Correlation-ID": "order-4711"})
"""

TYPED = """
import clew

@clew.timed("order")
def order(item: str) -> int:
    with clew.bind("order-7"):
        return len(item) if clew.correlation_id() else 0

reveal_type(order("samovar"))
"""


class TestCommand:
    """`clew` as the wheel installs it."""

    def test_version(self, plain: Installation, tmp_path: Path) -> None:
        """It tells the version that the tree has."""
        done = plain.run("clew", "--version", cwd=tmp_path)

        assert (0, f"clew, version {__version__}\n", "") == (done.returncode, done.stdout, done.stderr)

    def test_help(self, plain: Installation, tmp_path: Path) -> None:
        """It lists each command, and each of them has a help of its own, without any extra."""
        listed = plain.run("clew", "--help", cwd=tmp_path).stdout.partition("\nCommands:\n")[2]
        names = [line.split()[0] for line in listed.splitlines() if line[2:3].strip()]

        assert list(cli.COMMANDS) == names
        assert [0] * len(names) == [plain.run("clew", name, "--help", cwd=tmp_path).returncode for name in names]

    @pytest.mark.parametrize(
        ("arguments", "extra"), [("collector config", "collector"), ("report", "report"), ("demo", "demo")]
    )
    def test_a_missing_extra_is_told(self, plain: Installation, tmp_path: Path, arguments: str, extra: str) -> None:
        """A command that needs more than the wheel says in one line what to install."""
        done = plain.run("clew", *arguments.split(), cwd=tmp_path)

        assert (1, "") == (done.returncode, done.stdout)
        assert f"pip install 'clew-opentelemetry[{extra}]'" in done.stderr
        assert 1 == done.stderr.count("\n")

    def test_the_collectors_files_are_in_the_wheel(self, with_flask: Installation, tmp_path: Path) -> None:
        """`clew collector config` prints for all overlays what it prints in the repository."""
        done = with_flask.run("clew", "collector", "config", *collector.OVERLAYS, cwd=tmp_path)

        assert (0, "") == (done.returncode, done.stderr)
        assert collector.merged_text(collector.config_files(list(collector.OVERLAYS))) == done.stdout


class TestProgram:
    """Programs under `opentelemetry-instrument`."""

    def test_a_log_record_is_read_back(self, plain: Installation, tmp_path: Path) -> None:
        """What a program logs in file mode is what `clew logs` shows, and its console is its own."""
        program = "import logging; logging.getLogger('till').error('no change left')"
        ran = plain.run("opentelemetry-instrument", "python", "-c", program, cwd=tmp_path, OTEL_SERVICE_NAME="shop")
        told = plain.run("clew", "logs", cwd=tmp_path)

        assert (0, "", "no change left\n") == (ran.returncode, ran.stdout, ran.stderr)
        assert ["ERROR", "shop", "till", "no", "change", "left"] == told.stdout.split()[2:]

    def test_an_extra_follows_a_request(self, with_flask: Installation, tmp_path: Path) -> None:
        """With the extra for Flask, a request is found by the ID that it came with."""
        with_flask.run("opentelemetry-instrument", "python", "-c", SHOP, cwd=tmp_path, OTEL_SERVICE_NAME="shop")
        trace = with_flask.run("clew", "trace", "order-4711", cwd=tmp_path)
        logs = with_flask.run("clew", "logs", "--id", "order-4711", cwd=tmp_path)

        assert (0, "", 0, "") == (trace.returncode, trace.stderr, logs.returncode, logs.stderr)
        for part in ("GET /orders/<item>", "order for a samovar", "KeyError: 'samovar'"):
            assert part in trace.stdout
        assert "order for a samovar" in logs.stdout

    def test_bootstrap_finds_what_flask_needs(self, with_flask: Installation, tmp_path: Path) -> None:
        """`opentelemetry-bootstrap` asks for the release that the extra installed, and for no other framework's."""
        asked = with_flask.run("opentelemetry-bootstrap", "-a", "requirements", cwd=tmp_path).stdout.split()
        show = "from importlib.metadata import version; print(version('opentelemetry-instrumentation-flask'))"
        installed = with_flask.run("python", "-c", show, cwd=tmp_path).stdout.strip()
        others = ("aiohttp", "celery", "django", "fastapi", "starlette", "tornado")

        assert f"opentelemetry-instrumentation-flask=={installed}" in asked
        assert [] == [line for line in asked if any(other in line for other in others)]


class TestPackage:
    """The package as Python and its tools see it."""

    def test_its_packages_fit(self, plain: Installation, with_flask: Installation, tmp_path: Path) -> None:
        """Pip finds no requirement broken, without and with extras."""
        for environment in (plain, with_flask):
            done = environment.run("python", "-m", "pip", "check", cwd=tmp_path)
            assert (0, "No broken requirements found.\n") == (done.returncode, done.stdout)

    def test_entry_points_resolve(self, plain: Installation, tmp_path: Path) -> None:
        """Each entry point loads, those that `opentelemetry-instrument` starts with among them."""
        done = plain.run("python", "-W", "error", "-c", LOAD_ENTRY_POINTS, cwd=tmp_path)

        assert (0, "") == (done.returncode, done.stderr)
        assert {"console_scripts", "opentelemetry_distro", "opentelemetry_configurator"} <= set(done.stdout.split())

    def test_modules_need_no_extra(self, plain: Installation, tmp_path: Path) -> None:
        """Each module of the wheel can be imported alone, but for the demo's services and what extends a framework."""
        done = plain.run("python", "-W", "error", "-c", IMPORT_EVERYTHING, cwd=tmp_path)
        [place, *failed] = done.stdout.splitlines()

        assert (0, "") == (done.returncode, done.stderr)
        assert place.startswith(str(plain.folder))
        assert {
            "clew.demo.mail celery",
            "clew.demo.shop flask",
            "clew.demo.stock fastapi",
            "clew.servers.routes starlette",
            "clew.servers.starlette starlette",
        } == set(failed)

    def test_a_users_program_is_type_checked(self, plain: Installation, tmp_path: Path) -> None:
        """The wheel is typed: mypy sees through the public functions, decorators included."""
        program = tmp_path / "program.py"
        program.write_text(TYPED)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--python-executable", plain.bin / "python", program],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert 'Revealed type is "int"' in done.stdout.replace("builtins.int", "int")
        assert "Success: no issues found in 1 source file" in done.stdout
