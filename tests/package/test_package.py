"""The built package is whole: what pip installs from the wheel, or from the sdist, works without the repository."""

from __future__ import annotations

import email
import io
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clew.version import __version__
from programs import BIN

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).parents[2]
WHEEL = f"clew_opentelemetry-{__version__}-py3-none-any.whl"
SDIST = f"clew_opentelemetry-{__version__}.tar.gz"

APPLICATION = """
import logging
from flask import Flask
app = Flask(__name__)
@app.get("/orders/<item>")
def order(item):
    logging.getLogger("shop").error("no shelf holds a %s", item)
    return item
app.test_client().get("/orders/samovar", headers={"X-Correlation-ID": "order-7"})
"""

TYPED = """
import clew

@clew.timed("order")
def order(item: str) -> int:
    with clew.bind("order-7"):
        return len(item) if clew.correlation_id() else 0

reveal_type(order("samovar"))
"""


def _build(source: Path, target: str, folder: Path) -> None:
    subprocess.run(
        [BIN / "python", "-m", "hatchling", "build", "--target", target, "--directory", folder],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the sdist from the working tree."""
    folder = tmp_path_factory.mktemp("built")
    _build(ROOT, "wheel", folder)
    _build(ROOT, "sdist", folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with an extra into an environment of its own, and return the folder of its commands."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    commands = folder / "bin"
    wheel = f"clew-opentelemetry[collector,flask] @ {(built / WHEEL).as_uri()}"
    for wanted in (["--upgrade", "pip>=25.1"], [wheel, "flask"]):
        subprocess.run([commands / "python", "-m", "pip", "install", "--quiet", *wanted], check=True, timeout=280)
    return commands


def _said(commands: Path, folder: Path, *command: str) -> str:
    """Run one of the environment's commands away from the repository, and return what it printed."""
    environ = {"PATH": str(commands), "HOME": str(folder), "CLEW_DIR": str(folder / "clew"), "CLEW_MODE": "file"}
    done = subprocess.run(
        [commands / command[0], *command[1:]],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (0, "") == (done.returncode, done.stderr if command[0] == "clew" else "")
    return done.stdout


def _contents(wheel: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    """Each module, the marker of its types, what the report and the demo need, and the Collector's files."""
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/clew").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    collector = {
        f"clew/collector_config/{path.relative_to(ROOT / 'collector-config')}"
        for path in (ROOT / "collector-config").rglob("*")
        if path.is_file()
    }
    held = {name for name in _contents((built / WHEEL).read_bytes()) if ".dist-info/" not in name}

    assert "clew/py.typed" in held
    assert source | collector == held


def _metadata(built: Path) -> Message:
    contents = _contents((built / WHEEL).read_bytes())
    name = next(name for name in contents if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(contents[name])


def test_metadata(built: Path) -> None:
    """Name, licence, Pythons and extras are what an index shows; no requirement is pinned to one release."""
    told = _metadata(built)
    requirements = told.get_all("Requires-Dist") or []

    assert ("clew-opentelemetry", __version__, "Apache-2.0", ">=3.10") == (
        told["Name"],
        told["Version"],
        told["License-Expression"],
        told["Requires-Python"],
    )
    assert {"all", "celery", "collector", "demo", "django", "fastapi", "flask", "report"} <= set(
        told.get_all("Provides-Extra") or []
    )
    assert [] == [text for text in requirements if "==" in text.partition(";")[0]]
    assert str(told.get_payload()).startswith("# Clew\n")


def test_sdist_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """Whoever builds from the sdist gets, byte for byte, what the wheel has."""
    with tarfile.open(built / SDIST) as archive:
        if sys.version_info >= (3, 12):
            archive.extractall(tmp_path, filter="data")
        else:
            archive.extractall(tmp_path)

    _build(tmp_path / SDIST.removesuffix(".tar.gz"), "wheel", tmp_path)

    assert _contents((built / WHEEL).read_bytes()) == _contents((tmp_path / WHEEL).read_bytes())


@pytest.mark.slow
def test_commands_work(installed: Path, tmp_path: Path) -> None:
    """`clew` tells its version, and brings the Collector's files along."""
    assert f"clew, version {__version__}\n" == _said(installed, tmp_path, "clew", "--version")
    assert "receivers:\n" in _said(installed, tmp_path, "clew", "collector", "config")


@pytest.mark.slow
def test_program_is_instrumented(installed: Path, tmp_path: Path) -> None:
    """`opentelemetry-instrument` finds Clew, and `clew logs` what the program logged."""
    (tmp_path / "shop.py").write_text(APPLICATION)
    _said(installed, tmp_path, "opentelemetry-instrument", "python", "shop.py")

    assert "no shelf holds a samovar" in _said(installed, tmp_path, "clew", "logs", "--id", "order-7")
    assert "GET /orders/<item>" in _said(installed, tmp_path, "clew", "trace", "order-7")


@pytest.mark.slow
def test_bootstrap_finds_the_instrumentations(installed: Path, tmp_path: Path) -> None:
    """`opentelemetry-bootstrap` names the one of each library that is installed."""
    found = _said(installed, tmp_path, "opentelemetry-bootstrap", "-a", "requirements")

    assert "opentelemetry-instrumentation-flask" in {line.partition("==")[0] for line in found.splitlines()}


@pytest.mark.slow
def test_types_are_there(installed: Path, tmp_path: Path) -> None:
    """A type checker sees through the public functions of the installed package."""
    mypy = pytest.importorskip("mypy.api")
    (tmp_path / "program.py").write_text(TYPED)

    told, _, _ = mypy.run(
        [
            "--strict",
            "--cache-dir",
            str(tmp_path),
            "--python-executable",
            str(installed / "python"),
            str(tmp_path / "program.py"),
        ]
    )
    assert 'note: Revealed type is "int"' in told.replace("builtins.int", "int")
    assert "Success: no issues found" in told
