"""Claim: base and overlays merge without restating a list, guard every pipeline and listen on loopback unless told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "collector-config"
OVERLAYS = ("files", "jaeger", "grafana", "auth", "redaction", "stdout-logs", "agent", "gateway")
# As `otelcol components` prints them; the former names are deprecated.
TYPES = {
    "receivers": {"otlp", "file_log"},
    "processors": {"memory_limiter", "redaction", "tail_sampling"},
    "exporters": {"otlp_grpc", "otlp_http", "file", "load_balancing"},
    "connectors": {"span_metrics"},
    "extensions": {"health_check", "file_storage", "bearertokenauth"},
}
MODULES = {
    "otlp": "otlpreceiver",
    "file_log": "filelogreceiver",
    "memory_limiter": "memorylimiterprocessor",
    "redaction": "redactionprocessor",
    "tail_sampling": "tailsamplingprocessor",
    "otlp_grpc": "otlpexporter",
    "otlp_http": "otlphttpexporter",
    "file": "fileexporter",
    "load_balancing": "loadbalancingexporter",
    "span_metrics": "spanmetricsconnector",
    "health_check": "healthcheckextension",
    "file_storage": "filestorage",
    "bearertokenauth": "bearertokenauthextension",
}


def load(name: str) -> dict[str, Any]:
    """Return one file of the folder."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def lists(node: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return the path of every list in a document."""
    if isinstance(node, list):
        return {path}
    if isinstance(node, dict):
        return set().union(*(lists(value, (*path, key)) for key, value in node.items()))
    return set()


def pipelines(name: str) -> dict[str, dict[str, list[str]]]:
    """Return a file's pipelines."""
    found: dict[str, dict[str, list[str]]] = load(name).get("service", {}).get("pipelines", {})
    return found


def exporters(name: str) -> dict[str, dict[str, Any]]:
    """Return a file's exporters."""
    found: dict[str, dict[str, Any]] = load(name).get("exporters", {})
    return found


def test_the_folder_holds_the_overlays_and_no_others() -> None:
    """The folder holds the overlays and no others."""
    found = {path.stem for path in FOLDER.glob("*.yaml")} - {"base", "builder"}
    assert set(OVERLAYS) == found


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(("base", *OVERLAYS), 2)))
def test_no_list_stands_in_two_files(one: str, other: str) -> None:
    """No list stands in two files."""
    assert set() == lists(load(one)) & lists(load(other))


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_components_have_the_names_that_the_collector_prints(name: str) -> None:
    """Components have the names that the collector prints."""
    document = load(name)
    for kind, types in TYPES.items():
        used = {component.partition("/")[0] for component in document.get(kind, {})}
        assert set() == used - types


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pipeline_limits_memory_first_and_redacts_second(name: str) -> None:
    """Every pipeline limits memory first and redacts second."""
    for pipeline in pipelines(name).values():
        expected = ["memory_limiter", "redaction"] if pipeline["receivers"] == ["otlp"] else ["memory_limiter"]
        assert expected == pipeline["processors"][: len(expected)]


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_network_exporters_queue_on_disk_and_retry_without_end(name: str) -> None:
    """Network exporters queue on disk and retry without end."""
    for exporter, settings in exporters(name).items():
        if exporter.startswith("file/") or name == "auth":  # auth only adds headers to an exporter of base
            continue
        assert "0s" == settings["retry_on_failure"]["max_elapsed_time"]
        queue = settings["sending_queue"]
        assert ("file_storage/queue", "bytes", 256 * 1024**2) == (queue["storage"], queue["sizer"], queue["queue_size"])
        assert ("batch" in queue) == (exporter != "otlp_http/prometheus")


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_everything_that_listens_is_on_loopback_unless_told_otherwise(name: str) -> None:
    """Everything that listens is on loopback unless told otherwise."""
    document = load(name)
    listeners = [value for kind in ("receivers", "extensions") for value in endpoints(document.get(kind, {}))]
    assert [] == [value for value in listeners if not value.startswith("${env:OTELCOL_BIND:-127.0.0.1}:")]


def endpoints(node: Any) -> list[str]:
    """Return every endpoint under a node."""
    if not isinstance(node, dict):
        return []
    own = [node["endpoint"]] if "endpoint" in node else []
    return own + [value for child in node.values() for value in endpoints(child)]


def test_the_collectors_own_metrics_are_on_loopback() -> None:
    """The collectors own metrics are on loopback."""
    reader = load("base")["service"]["telemetry"]["metrics"]["readers"][0]
    assert "${env:OTELCOL_BIND:-127.0.0.1}" == reader["pull"]["exporter"]["prometheus"]["host"]


def test_every_component_that_service_names_is_defined_in_base_or_the_same_overlay() -> None:
    """Every component that service names is defined in base or the same overlay."""
    base = load("base")
    for name in OVERLAYS:
        document = load(name)
        for pipeline in pipelines(name).values():
            for role in ("receivers", "processors", "exporters"):
                known = {**base.get(role, {}), **document.get(role, {}), **document.get("connectors", {})}
                assert [] == [component for component in pipeline[role] if component not in known]
    assert set(base["service"]["extensions"]) == set(base["extensions"])


def test_rotated_files_are_bounded_for_each_signal() -> None:
    """Rotated files are bounded for each signal."""
    rotation = {name: settings["rotation"] for name, settings in exporters("files").items()}
    assert {"file/traces", "file/metrics", "file/logs"} == set(rotation)
    assert all({"max_megabytes", "max_backups", "max_days"} == set(bounds) for bounds in rotation.values())
    assert all(settings["directory_permissions"] == "0750" for settings in exporters("files").values())


def test_auth_takes_its_token_from_the_environment_without_a_default() -> None:
    """Auth takes its token from the environment without a default."""
    assert "${env:OTELCOL_TOKEN}" == load("auth")["extensions"]["bearertokenauth"]["token"]
    protocols = [
        protocol for receiver in load("auth")["receivers"].values() for protocol in receiver["protocols"].values()
    ]
    assert ["bearertokenauth"] * 3 == [protocol["auth"]["authenticator"] for protocol in protocols]


def test_builder_has_each_component_that_is_configured_and_no_other() -> None:
    """Builder has each component that is configured and no other."""
    manifest = load("builder")
    built = {
        entry["gomod"].split()[0].rpartition("/")[2]
        for kind in ("receivers", "processors", "exporters", "connectors", "extensions")
        for entry in manifest[kind]
    }
    assert set(MODULES.values()) == built
    assert set(MODULES) == set().union(*TYPES.values())


def test_builder_fixes_one_version() -> None:
    """Builder fixes one version."""
    manifest = load("builder")
    versions = {
        entry["gomod"].split()[1]
        for kind in ("receivers", "processors", "exporters", "connectors", "extensions")
        for entry in manifest[kind]
    }
    assert {"v" + manifest["dist"]["version"]} == versions


def test_readme_tells_of_each_file() -> None:
    """Readme tells of each file."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in FOLDER.glob("*.yaml"))
    assert [] == [name for name in files if f"`{name}`" not in readme]
