"""Claim: wheel and sdist hold what they should and nothing else, and say what they are."""

from __future__ import annotations

import tarfile
import zipfile
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from clew import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"


@pytest.fixture
def metadata(wheel: Path) -> Message:
    """Return what the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"clew_opentelemetry-{__version__}.dist-info/METADATA"))


@pytest.fixture
def extras(metadata: Message) -> dict[str, set[str]]:
    """Return the names that each extra brings."""
    asked = requirements(metadata)
    return {
        extra: {each.name for each in asked if each.marker and each.marker.evaluate({"extra": extra})}
        for extra in metadata.get_all("Provides-Extra") or []
    }


def requirements(metadata: Message) -> list[Requirement]:
    """Return all that the wheel and its extras ask for."""
    return [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]


def names_in(archive: Path) -> set[str]:
    """Return the paths of a wheel's files, or of an sdist's below its one folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return set(wheel.namelist())
    with tarfile.open(archive) as sdist:
        return {member.name.partition("/")[2] for member in sdist if member.isfile()}


def files_below(folder: Path, prefix: str) -> set[str]:
    """Return the tree's files below `folder`, as paths below `prefix`; what Python compiled is left out."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{prefix}/{path.relative_to(folder)}" for path in paths}


def left_overs(names: Iterable[str]) -> list[str]:
    """Return what belongs into no archive: caches, environments, what was compiled or built."""
    unwanted = ("__pycache__", "_cache/", ".venv", ".pyc", ".hypothesis", "_build/", "dist/", ".egg-info", ".so")
    return [name for name in names if any(part in name for part in unwanted)]


class TestContents:
    """What the archives hold."""

    def test_the_wheel_is_the_package_and_the_collectors_files(self, wheel: Path) -> None:
        """Each file of the package, `py.typed` and the report's page too, and each of the Collector's; no other."""
        about = {name for name in names_in(wheel) if ".dist-info/" in name}
        shipped = files_below(ROOT / "src/clew", "clew") | files_below(CONFIG, "clew/collector_config")

        assert shipped == names_in(wheel) - about
        assert {"clew/py.typed", "clew/desk/report/page.html", "clew/collector_config/base.yaml"} <= shipped
        assert {"METADATA", "WHEEL", "entry_points.txt", "licenses/LICENSE", "RECORD"} == {
            name.partition("/")[2] for name in about
        }

    def test_no_test_benchmark_or_cache_is_installed(self, wheel: Path) -> None:
        """What only developers need stays out of a user's environment."""
        names = names_in(wheel)
        developers = [name for name in names if {"tests", "bench", "docs"} & set(Path(name).parts[:-1])]

        assert [] == developers
        assert [] == [name for name in names if Path(name).name.startswith(("test_", "conftest"))]
        assert [] == left_overs(names)

    def test_the_sdist_is_the_tree(self, sdist: Path) -> None:
        """Who packages Clew has its tests, documentation and licence at hand, and nothing that a tool left there."""
        names = names_in(sdist)

        assert {"src", "tests", "docs", "collector-config", ".ci"} == {
            name.partition("/")[0] for name in names if "/" in name
        }
        assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "Makefile", "PKG-INFO"} <= names
        assert files_below(CONFIG, "collector-config") <= names
        assert [] == left_overs(names)

    def test_the_sdist_builds_the_same_wheel(self, wheel: Path, rebuilt: Path) -> None:
        """The wheel that pip builds from the sdist has the same files, to the byte."""
        assert names_in(wheel) == names_in(rebuilt)
        assert wheel.read_bytes() == rebuilt.read_bytes()


class TestMetadata:
    """What the wheel says of itself."""

    def test_it_says_what_it_is(self, metadata: Message) -> None:
        """Name, version, licence, Python and the line that an index shows."""
        expected = {
            "Name": "clew-opentelemetry",
            "Version": __version__,
            "Summary": "An OpenTelemetry distribution for Python: one ID follows each request through every log, span, "
            "error and latency metric.",
            "License-Expression": "Apache-2.0",
            "License-File": "LICENSE",
            "Requires-Python": ">=3.10",
            "Description-Content-Type": "text/markdown",
        }

        assert expected == {name: metadata[name] for name in expected}
        assert (ROOT / "README.md").read_text(encoding="utf-8") == metadata.get_payload(decode=True).decode()

    def test_it_is_for_every_python_3_and_system(self, wheel: Path) -> None:
        """One wheel serves all."""
        assert f"clew_opentelemetry-{__version__}-py3-none-any.whl" == wheel.name

    def test_every_requirement_has_a_range(self, metadata: Message) -> None:
        """Each names the oldest version that is known to work, and OpenTelemetry's end before the next major one."""
        open_below = [each for each in requirements(metadata) if ">=" not in {part.operator for part in each.specifier}]
        open_above = [
            each
            for each in requirements(metadata)
            if each.name.startswith("opentelemetry-") and "<" not in {part.operator for part in each.specifier}
        ]

        assert [] == open_below
        assert [] == open_above

    def test_every_requirement_is_met_by_a_release(self, metadata: Message) -> None:
        """The tests' own environment has each of them, extras included, in the range that is declared."""
        asked = [each for each in requirements(metadata) if each.name != "clew-opentelemetry"]

        assert [] == [each for each in asked if not each.specifier.contains(version(each.name), prereleases=True)]

    def test_every_extra_brings_something(self, extras: dict[str, set[str]]) -> None:
        """No extra is empty, and those that the documentation names are there."""
        assert {"all", "collector", "config-file", "demo", "flask", "http-clients", "report"} <= set(extras)
        assert [] == [extra for extra, names in extras.items() if not names]

    def test_all_is_all_but_the_demo(self, extras: dict[str, set[str]]) -> None:
        """`all` brings what each extra for a user's own program brings."""
        others = [names for extra, names in extras.items() if extra not in {"all", "demo"}]

        assert set().union(*others) == extras["all"]
