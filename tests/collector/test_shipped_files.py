"""Claim: docker-compose.yml and the stack's files fit together: paths, versions, ports, retention, links."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from clew import schema

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "collector-config"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
BACKENDS = ("jaeger", "tempo", "loki", "prometheus", "grafana")


def document(name: str) -> dict[str, Any]:
    """Return one file of the folder."""
    parsed: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return parsed


SOURCES: dict[str, dict[str, Any]] = {
    source["uid"]: source for source in document("grafana/provisioning/datasources/datasources.yaml")["datasources"]
}
RULES = [rule for group in document("prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def mounts() -> list[tuple[str, str, str]]:
    """Return (service, source, target) of each mount."""
    return [
        (name, *volume.split(":")[:2]) for name, service in SERVICES.items() for volume in service.get("volumes", ())
    ]


def targets(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every query of a dashboard."""
    return [target for panel in dashboard["panels"] for target in panel["targets"]]


def run(*command: str) -> tuple[int, str]:
    """Run a command in the root of the tree; return its exit status and what it printed."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


class TestCompose:
    """The file that starts the whole stack."""

    def test_it_follows_the_compose_specification(self) -> None:
        """It follows the compose specification."""
        done = run(
            sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"
        )
        assert (0, "ok -- validation done\n") == done

    def test_every_mounted_path_exists(self) -> None:
        """Every mounted path exists."""
        missing = [source for _, source, _ in mounts() if source.startswith(".") and not (ROOT / source).exists()]
        assert [] == missing

    def test_every_volume_is_declared_and_used(self) -> None:
        """Every volume is declared and used."""
        used = {source for _, source, _ in mounts() if not source.startswith(".")}
        assert set(COMPOSE["volumes"]) == used

    def test_every_image_has_a_fixed_version(self) -> None:
        """Every image has a fixed version."""
        images = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
        assert {} == {name: image for name, image in images.items() if not re.search(r":v?\d+\.\d+\.\d+$", image)}
        built = [service["build"]["dockerfile_inline"] for service in SERVICES.values() if "build" in service]
        assert all(re.match(r"FROM python:\d+\.\d+\.\d+-slim\n", text) for text in built)

    def test_the_collectors_image_is_the_version_that_builder_builds(self) -> None:
        """The collectors image is the version that builder builds."""
        version = document("builder.yaml")["dist"]["version"]
        assert f"otel/opentelemetry-collector-contrib:{version}" == SERVICES["collector"]["image"]

    def test_every_port_is_published_on_loopback_only(self) -> None:
        """Every port is published on loopback only."""
        ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
        assert ports
        assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]

    def test_every_configuration_that_a_command_names_is_mounted(self) -> None:
        """Every configuration that a command names is mounted."""
        for name, service in SERVICES.items():
            places = {target: ROOT / source for owner, source, target in mounts() if owner == name and source[0] == "."}
            for argument in service.get("command", ()):
                if match := re.match(r"-{1,2}config(?:\.file)?=(.+)", argument):
                    path = Path(match[1])
                    assert (places[str(path.parent)] / path.name).is_file()

    @pytest.mark.parametrize("name", ["collector-health", *BACKENDS])
    def test_every_server_is_asked_for_its_health(self, name: str) -> None:
        """Every server is asked for its health."""
        assert "CMD" == SERVICES[name]["healthcheck"]["test"][0]

    @pytest.mark.parametrize("name", ["shop", "stock", "mail"])
    def test_a_demo_service_runs_a_module_that_is_there(self, name: str) -> None:
        """The profile's commands name the demo's modules, send to the Collector and set what the modules read."""
        service, text = SERVICES[name], (ROOT / f"src/clew/demo/{name}.py").read_text(encoding="utf-8")
        assert ["demo"] == service["profiles"]
        assert f"clew.demo.{name}" in re.split("[ :=]", " ".join(service["command"]))
        assert "http://collector:4318" == service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert set(re.findall(r'os\.environ\["(\w+)"\]', text)) <= set(service["environment"])

    def test_the_collectors_files_are_retained_by_clew(self) -> None:
        """The collectors files are retained by clew."""
        retention = SERVICES["retention"]
        folder = next(target for name, source, target in mounts() if name == "collector" and source == "collector")
        assert f"clew retain {folder}/telemetry;" in retention["command"][-1]
        assert f"{folder}/telemetry" in document("files.yaml")["exporters"]["file/logs"]["path"]


class TestRetention:
    """What each server keeps, and what it tells others."""

    def test_each_backend_expires_what_it_holds(self) -> None:
        """Each backend expires what it holds."""
        tempo = document("tempo/tempo.yaml")
        loki = document("loki/loki.yaml")
        jaeger = document("jaeger/jaeger.yaml")["extensions"]["jaeger_storage"]["backends"]["badger"]["badger"]
        assert {"time": "15d", "size": "5GB"} == document("prometheus/prometheus.yml")["storage"]["tsdb"]["retention"]
        assert ("168h", True) == (loki["limits_config"]["retention_period"], loki["compactor"]["retention_enabled"])
        assert "168h" == tempo["backend_worker"]["compaction"]["block_retention"]
        assert "168h" == tempo["backend_scheduler"]["provider"]["compaction"]["compaction"]["block_retention"]
        assert (False, "168h") == (jaeger["ephemeral"], jaeger["ttl"]["spans"])

    def test_nothing_reports_its_usage(self) -> None:
        """Nothing reports its usage."""
        grafana = SERVICES["grafana"]["environment"]
        assert not document("loki/loki.yaml")["analytics"]["reporting_enabled"]
        assert not document("tempo/tempo.yaml")["usage_report"]["reporting_enabled"]
        assert ("false", "false") == (
            grafana["GF_ANALYTICS_REPORTING_ENABLED"],
            grafana["GF_ANALYTICS_CHECK_FOR_UPDATES"],
        )


class TestDataSources:
    """How Grafana goes from one signal to another."""

    def test_each_points_at_a_service_of_the_stack(self) -> None:
        """Each points at a service of the stack."""
        hosts = {uid: re.sub(r"^http://([a-z]+):\d+$", r"\1", source["url"]) for uid, source in SOURCES.items()}
        assert {uid: uid for uid in ("prometheus", "loki", "tempo", "jaeger")} == hosts
        assert set(hosts.values()) <= set(SERVICES)

    def test_a_log_record_leads_to_its_trace_by_label(self) -> None:
        """A log record leads to its trace by label."""
        fields = SOURCES["loki"]["jsonData"]["derivedFields"]
        assert {"label"} == {field["matcherType"] for field in fields}
        assert [("trace_id", "tempo"), ("trace_id", "jaeger"), ("correlation_id", "tempo")] == [
            (field["matcherRegex"], field["datasourceUid"]) for field in fields
        ]
        assert all("$${__value.raw}" in field["url"] for field in fields)

    @pytest.mark.parametrize("uid", ["tempo", "jaeger"])
    def test_a_trace_leads_to_its_logs(self, uid: str) -> None:
        """A trace leads to its logs."""
        link = SOURCES[uid]["jsonData"]["tracesToLogsV2"]
        assert ("loki", True) == (link["datasourceUid"], link["customQuery"])
        assert '{$${__tags}} | trace_id = "$${__trace.traceId}"' == link["query"]
        assert [{"key": "service.name", "value": "service_name"}] == link["tags"]

    def test_an_exemplar_leads_to_its_trace(self) -> None:
        """An exemplar leads to its trace."""
        links = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
        assert [("trace_id", "tempo"), ("trace_id", "jaeger")] == [
            (link["name"], link["datasourceUid"]) for link in links
        ]

    def test_every_link_ends_at_a_data_source(self) -> None:
        """Every link ends at a data source."""
        text = (FOLDER / "grafana/provisioning/datasources/datasources.yaml").read_text(encoding="utf-8")
        assert set(re.findall(r"datasourceUid: (\w+)", text)) <= set(SOURCES)


class TestDashboards:
    """The two dashboards."""

    def test_there_are_two(self) -> None:
        """There are two."""
        assert ["requests", "telemetry-health"] == [path.stem for path in DASHBOARDS]

    @pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
    def test_panels_are_numbered_once_and_ask_data_sources_that_exist(self, path: Path) -> None:
        """Panels are numbered once and ask data sources that exist."""
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(numbers) == len(set(numbers))
        asked = {target["datasource"]["uid"] for target in targets(dashboard)}
        assert asked <= set(SOURCES)
        assert all(
            target["datasource"]["type"] == SOURCES[target["datasource"]["uid"]]["type"]
            for target in targets(dashboard)
        )

    @pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
    def test_panels_do_not_overlap(self, path: Path) -> None:
        """Panels do not overlap."""
        cells = [
            (x, y)
            for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
            for grid in [panel["gridPos"]]
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        ]
        assert len(cells) == len(set(cells))

    def test_the_durations_carry_exemplars(self) -> None:
        """The durations carry exemplars."""
        requests = json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))
        assert any(target.get("exemplar") for target in targets(requests))

    def test_every_metric_of_clew_that_is_asked_for_is_one_that_clew_records(self) -> None:
        """Every metric of clew that is asked for is one that clew records."""
        known = {prometheus_name(name, unit) for name, (unit, _) in schema.METRICS.items()}
        texts = [path.read_text(encoding="utf-8") for path in DASHBOARDS]
        texts.append((FOLDER / "prometheus/alerts.yml").read_text(encoding="utf-8"))
        asked = {
            re.sub(r"_(bucket|count|sum|total)$", "", name) for text in texts for name in re.findall(r"clew_\w+", text)
        }
        assert set() == asked - known
        assert {"clew_delivery_records", "clew_delivery_queue_depth", "clew_overhead_cpu_time_seconds"} <= asked


def prometheus_name(name: str, unit: str) -> str:
    """Return the metric's name as Prometheus's OTLP translation writes it, without a counter's `_total`."""
    suffix = {"s": "seconds", "By": "bytes"}.get(unit, "")
    plain = name.replace(".", "_")
    return plain if not suffix or plain.endswith(suffix) else f"{plain}_{suffix}"


class TestAlerts:
    """The rules that say that telemetry is lost."""

    def test_every_way_to_lose_telemetry_has_one(self) -> None:
        """Every way to lose telemetry has one."""
        names = {rule["alert"] for rule in RULES}
        assert {"TelemetryDropped", "CollectorDown", "CollectorQueueFull", "CollectorLosesSpans"} <= names
        assert len(RULES) == len(names)

    def test_each_says_how_bad_and_what_it_is(self) -> None:
        """Each says how bad and what it is."""
        for rule in RULES:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert {"summary", "description"} == set(rule["annotations"])

    def test_prometheus_loads_them(self) -> None:
        """Prometheus loads them."""
        assert ["alerts.yml"] == document("prometheus/prometheus.yml")["rule_files"]
