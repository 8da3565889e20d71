"""Claim: a real Collector accepts each combination of overlays, and Clew merges them as the Collector does."""

from __future__ import annotations

import itertools
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from stack_build import binary_path
from stack_servers import FOLDER

from clew.desk import collector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.stack

OVERLAYS = tuple(collector.OVERLAYS)
BRINGS_PIPELINES = collector.DESTINATIONS | {"gateway", "stdout-logs"}
COMBINATIONS = [chosen for size in range(len(OVERLAYS) + 1) for chosen in itertools.combinations(OVERLAYS, size)]


def otelcol(folder: Path, action: Sequence[str], files: Sequence[Path], token: str = "secret") -> tuple[int, str, str]:
    """Run the Collector on files; return its exit status and what it printed."""
    command = [str(binary_path("otelcol")), *action, *(f"--config={path}" for path in files)]
    environ = {"OTELCOL_STATE_DIR": str(folder), "OTELCOL_TOKEN": token}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_every_combination_with_a_pipeline_is_accepted(tmp_path: Path) -> None:
    """Of the 256 combinations, those that bring a pipeline are accepted, and the others name the lack of one."""
    wrong = []
    for chosen in COMBINATIONS:
        status, _, said = otelcol(tmp_path, ["validate"], [FOLDER / f"{name}.yaml" for name in ("base", *chosen)])
        refused = "service must have at least one pipeline" in said
        if (status == 0) != bool(BRINGS_PIPELINES.intersection(chosen)) or refused != bool(status):
            wrong.append((chosen, said))
    assert [] == wrong


def test_the_order_of_overlays_does_not_matter(tmp_path: Path) -> None:
    """All eight, in either order, mean the same."""
    printed = [
        printed_configuration(tmp_path, [FOLDER / f"{name}.yaml" for name in ("base", *names)])
        for names in (OVERLAYS, OVERLAYS[::-1])
    ]
    assert printed[0] == printed[1]


@pytest.mark.parametrize("overlays", [("files",), ("files", "auth"), ("agent", "redaction"), OVERLAYS])
def test_clew_merges_as_the_collector_does(tmp_path: Path, overlays: tuple[str, ...]) -> None:
    """The one file that `clew collector config` prints means what the several files mean."""
    files = collector.config_files(overlays)
    merged = tmp_path / "merged.yaml"
    merged.write_text(collector.merged_text(files), encoding="utf-8")
    assert printed_configuration(tmp_path, files) == printed_configuration(tmp_path, [merged])


def printed_configuration(folder: Path, files: Sequence[Path]) -> object:
    """Return the configuration as the Collector resolved it."""
    status, printed, said = otelcol(folder, ["print-config", "--mode=unredacted"], files)
    assert (0, True) == (status, bool(printed)), said
    return yaml.safe_load(printed)


def test_the_collector_has_the_components_that_the_tests_know(tmp_path: Path) -> None:
    """The binary's own list holds each component that the files name, under that name."""
    _, printed, _ = otelcol(tmp_path, ["components"], [])
    listed = yaml.safe_load(printed)
    for kind in ("receivers", "processors", "exporters", "connectors", "extensions"):
        names = {entry["name"] for entry in listed[kind]}
        used = {
            component.partition("/")[0]
            for name in ("base", *OVERLAYS)
            for component in yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")).get(kind, {})
        }
        assert used <= names


def test_auth_without_a_token_does_not_start(tmp_path: Path) -> None:
    """An unset token is refused, instead of letting everyone in."""
    status, _, said = otelcol(tmp_path, ["validate"], collector.config_files(["files", "auth"]), token="")
    assert (1, True) == (status, "no bearer token provided" in said)


def test_the_examples_of_the_how_to_page_are_accepted(tmp_path: Path) -> None:
    """Each file that the page tells one to write is one that the Collector takes, merged last."""
    page = (FOLDER.parent / "docs" / "how-to" / "collector.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    for text in examples:
        mine = tmp_path / "mine.yaml"
        mine.write_text(text, encoding="utf-8")
        status, _, said = otelcol(tmp_path, ["validate"], collector.config_files(["files"], [mine]))
        assert 0 == status, said
    assert 2 == len(examples)


def test_compose_accepts_the_file() -> None:
    """Docker compose itself reads docker-compose.yml, with the demo's profile too, and warns of nothing."""
    command = [str(binary_path("compose")), "--profile", "demo", "config", "--quiet"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
