"""Claim: `clew collector` loads the shipped files in order, merges as the Collector does and finds what runs them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clew.desk import collector
from clew.errors import DeliveryError, FormatError, SettingsError

FOLDER = Path(__file__).parents[2] / "collector-config"
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    lambda children: st.dictionaries(st.sampled_from("abcd"), children, max_size=4),
    max_leaves=12,
)


def program(folder: Path, script: str, name: str = "otelcol") -> Path:
    """Write a program that stands in for a Collector."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def run_clew(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run the command line; return its exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "clew", "collector", *arguments],
        env={"PATH": os.defpath, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class TestFiles:
    """Which files an overlay means."""

    def test_the_shipped_folder_is_found(self) -> None:
        """An editable install finds the tree's own folder."""
        assert FOLDER == collector.config_folder()

    def test_every_overlay_that_ships_is_known(self) -> None:
        """The list in the code is the list of files."""
        assert {path.stem for path in FOLDER.glob("*.yaml")} - {"base", "builder"} == set(collector.OVERLAYS)

    def test_the_base_comes_first_and_the_users_own_last(self, tmp_path: Path) -> None:
        """Overlays keep the order that was given, each once."""
        own = tmp_path / "own.yaml"
        files = collector.config_files(["jaeger", "files", "jaeger"], [own])
        assert [FOLDER / "base.yaml", FOLDER / "jaeger.yaml", FOLDER / "files.yaml", own] == files

    def test_an_unknown_overlay_is_refused(self) -> None:
        """The error names the ones that there are."""
        with pytest.raises(SettingsError, match=r"no overlay 'kafka'; there are files, jaeger, grafana"):
            collector.config_files(["kafka"])

    def test_a_configuration_that_goes_nowhere_is_refused(self) -> None:
        """The error names the destinations."""
        with pytest.raises(SettingsError, match=r"no destination among redaction; add agent or files or grafana"):
            collector.config_files(["redaction"])

    def test_the_image_is_the_version_that_the_stack_fixes(self) -> None:
        """Docker runs what docker-compose.yml names."""
        compose = yaml.safe_load((FOLDER.parent / "docker-compose.yml").read_text(encoding="utf-8"))
        assert compose["services"]["collector"]["image"] == collector.IMAGE


class TestMerge:
    """Maps merge, everything else is replaced."""

    def test_maps_merge_and_lists_are_replaced(self) -> None:
        """As the Collector merges several `--config`."""
        first = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 1}}
        second = {"a": {"c": [3], "f": 4}, "d": None}
        assert {"a": {"b": 1, "c": [3], "f": 4}, "d": None} == collector.merge([first, second])

    @given(st.lists(st.dictionaries(st.sampled_from("abcd"), DOCUMENTS, max_size=4), min_size=1, max_size=4))
    def test_merging_is_associative_and_keeps_the_last(self, documents: list[dict[str, Any]]) -> None:
        """Merging step by step is merging at once, and the last document's own values all stand."""
        merged = collector.merge(documents)
        assert merged == collector.merge([collector.merge(documents[:-1]), documents[-1]])
        assert merged == collector.merge([merged, documents[-1]])

    def test_the_printed_file_means_what_the_files_mean(self) -> None:
        """It parses to the merged documents, and resolves no variable."""
        files = collector.config_files(list(collector.OVERLAYS))
        text = collector.merged_text(files)
        documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
        assert collector.merge(documents) == yaml.safe_load(text)
        assert "${env:OTELCOL_BIND:-127.0.0.1}" in text

    def test_a_file_that_is_no_yaml_is_an_error(self, tmp_path: Path) -> None:
        """The error says where."""
        bad = tmp_path / "bad.yaml"
        bad.write_text("a: [", encoding="utf-8")
        with pytest.raises(FormatError, match=r"bad.yaml' is no YAML: .* line 1"):
            collector.merged_text([bad])


class TestProgram:
    """What runs a Collector."""

    def test_the_variable_wins(self, tmp_path: Path) -> None:
        """CLEW_OTELCOL is taken before the path."""
        program(tmp_path, "")
        named = program(tmp_path, "", "mine")
        assert collector.Program(str(named)) == collector.find_program(str(named), str(tmp_path))

    def test_a_variable_that_names_nothing_is_an_error(self, tmp_path: Path) -> None:
        """It is not passed over in silence."""
        with pytest.raises(SettingsError, match=r"CLEW_OTELCOL is 'nowhere', which is no program"):
            collector.find_program("nowhere", str(tmp_path))

    def test_the_path_comes_before_docker(self, tmp_path: Path) -> None:
        """Docker is the last resort."""
        program(tmp_path, "", "docker")
        assert collector.Program(str(tmp_path / "docker"), in_docker=True) == collector.find_program("", str(tmp_path))
        program(tmp_path, "", "otelcol-contrib")
        assert collector.Program(str(tmp_path / "otelcol-contrib")) == collector.find_program("", str(tmp_path))

    def test_without_any_the_error_says_what_to_do(self, tmp_path: Path) -> None:
        """All three ways are named."""
        with pytest.raises(
            SettingsError, match=r"set CLEW_OTELCOL, put clew-otelcol or .* on the path, or install Docker"
        ):
            collector.find_program("", str(tmp_path))

    def test_docker_stands_in_with_the_same_files_folders_and_loopback_ports(self, tmp_path: Path) -> None:
        """The container sees the files, keeps its data in the caller's folders and is published on loopback only."""
        environ = collector.environment({"OTELCOL_GRPC_PORT": "5317", "HOME": "/root"}, tmp_path)
        files = collector.config_files(["files"])
        command = collector.command_line(collector.Program("docker", in_docker=True), ["validate"], files, environ)
        assert ["docker", "run", "--rm"] == command[:3]
        assert [collector.IMAGE, "validate"] == command[command.index(collector.IMAGE) :][:2]
        assert ["--config=/etc/clew-collector/0-base.yaml", "--config=/etc/clew-collector/1-files.yaml"] == command[-2:]
        assert {f"--volume={FOLDER / 'files.yaml'}:/etc/clew-collector/1-files.yaml:ro"} <= set(command)
        assert f"--volume={tmp_path / 'collector'}:{tmp_path / 'collector'}" in command
        assert {"127.0.0.1"} == {part.split("=")[1].split(":")[0] for part in command if part.startswith("--publish=")}
        assert "--publish=127.0.0.1:5317:5317" in command
        assert "--env=HOME" not in command


class TestCommand:
    """`clew collector` from a shell."""

    def test_config_prints_yaml(self) -> None:
        """`files` is what is meant when no overlay is named."""
        status, printed, _ = run_clew("config")
        assert 0 == status
        assert {"traces/files", "metrics/files", "logs/files"} == set(yaml.safe_load(printed)["service"]["pipelines"])

    def test_validate_says_who_accepted_what(self, tmp_path: Path) -> None:
        """The Collector gets every file, and its answer is told."""
        seen = tmp_path / "seen"
        path = program(tmp_path, f'echo "$@" > {seen}')
        status, printed, _ = run_clew("validate", "files", "auth", CLEW_OTELCOL=str(path), HOME=str(tmp_path))
        assert (0, f"{path} accepts base.yaml, files.yaml, auth.yaml\n") == (status, printed)
        names = ("base", "files", "auth")
        assert ["validate", *(f"--config={FOLDER}/{name}.yaml" for name in names)] == seen.read_text().split()

    def test_validate_tells_what_the_collector_refused(self, tmp_path: Path) -> None:
        """One line, in the Collector's words."""
        path = program(tmp_path, 'printf "a log line\nError: errors:\n\n  no such key: tokn\nUsage:\n" >&2; exit 1')
        status, printed, told = run_clew("validate", CLEW_OTELCOL=str(path), HOME=str(tmp_path))
        assert (1, "") == (status, printed)
        assert told.startswith("clew: the Collector refuses the configuration: errors: no such key: tokn (see")
        assert 1 == told.count("\n")

    def test_docker_that_does_not_run_says_nothing_of_the_configuration(self, tmp_path: Path) -> None:
        """Without its daemon, Docker's own words are told as its own."""
        path = program(tmp_path, "echo 'docker: Cannot connect to the Docker daemon.' >&2; exit 125", "docker")
        docker = collector.Program(str(path), in_docker=True)
        with pytest.raises(DeliveryError, match="couldn't run the Collector in Docker: docker: Cannot connect"):
            collector.validate(docker, [], collector.environment({}, tmp_path))

    def test_a_program_that_does_not_run_is_an_error(self, tmp_path: Path) -> None:
        """What the system said is told."""
        with pytest.raises(DeliveryError, match=r"couldn't run '/nowhere': No such file"):
            collector.validate(collector.Program("/nowhere"), [], {})
        environ = collector.environment({}, tmp_path)
        with pytest.raises(DeliveryError, match=r"couldn't run '/nowhere': No such file"):
            collector.run(collector.Program("/nowhere"), [], environ)

    def test_run_becomes_the_collector(self, tmp_path: Path) -> None:
        """Its exit status is the Collector's, and files and queues are in Clew's folder."""
        script = 'echo "$OTELCOL_FILES_DIR $OTELCOL_STATE_DIR $#"; exit 7'
        path = program(tmp_path, script)
        folder = tmp_path / "telemetry"
        status, printed, _ = run_clew("run", "files", CLEW_OTELCOL=str(path), CLEW_DIR=str(folder))
        assert (7, f"{folder}/collector {folder}/collector-state 2\n") == (status, printed)
        assert [0o700] * 3 == [stat.S_IMODE(path.stat().st_mode) for path in (folder, *sorted(folder.iterdir()))]
