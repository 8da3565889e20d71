"""Claim: the manifests of the Kubernetes page parse, fit one another and fit the Collector's configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from clew.desk import collector

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/kubernetes.md").read_text(encoding="utf-8")
BLOCKS = [list(yaml.safe_load_all(text)) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
MANIFESTS = [document for block in BLOCKS for document in block if "kind" in document]
COLLECTORS = ("otel-agent", "otel-gateway")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def manifest(kind: str, name: str) -> dict[str, Any]:
    """Return the one manifest of that kind and name."""
    [found] = [one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    """Return the pod's specification of a Collector."""
    kind = "DaemonSet" if name == "otel-agent" else "Deployment"
    found: dict[str, Any] = manifest(kind, name)["spec"]["template"]["spec"]
    return found


def configuration(*overlays: str) -> str:
    """Return the text of the shipped files of one tier."""
    return "".join(path.read_text(encoding="utf-8") for path in collector.config_files(overlays))


def test_the_page_has_what_the_tiers_need() -> None:
    """An agent on each node, a gateway deployment, the services between them, and the operator's resource."""
    assert [
        ("DaemonSet", "otel-agent"),
        ("Service", "otel-agent"),
        ("Deployment", "otel-gateway"),
        ("Service", "otel-gateway"),
        ("Service", "otel-gateway-pods"),
        ("PodDisruptionBudget", "otel-gateway"),
        ("Instrumentation", "clew"),
        ("Deployment", "shop"),
    ] == [(one["kind"], one["metadata"]["name"]) for one in MANIFESTS]


@pytest.mark.parametrize("name", COLLECTORS)
def test_the_collectors_are_the_version_of_the_stack(name: str) -> None:
    """The same image as in docker-compose.yml."""
    [container] = pod(name)["containers"]
    assert COMPOSE["services"]["collector"]["image"] == container["image"]


@pytest.mark.parametrize(
    ("name", "overlays"), [("otel-agent", ("agent",)), ("otel-gateway", ("gateway", "grafana", "auth"))]
)
def test_every_variable_is_one_that_the_configuration_reads(name: str, overlays: tuple[str, ...]) -> None:
    """Beside the Go runtime's own, a variable that no file reads would do nothing."""
    [container] = pod(name)["containers"]
    given = {variable["name"] for variable in container["env"]} - {"GOMEMLIMIT"}
    assert given <= set(re.findall(r"\$\{env:(\w+)", configuration(*overlays)))


@pytest.mark.parametrize("name", COLLECTORS)
def test_volumes_and_selectors_fit(name: str) -> None:
    """Each mount has its volume, and each Service of that name selects the pods."""
    specification = pod(name)
    mounts = {
        mount["name"]
        for container in (*specification["containers"], *specification.get("initContainers", ()))
        for mount in container["volumeMounts"]
    }
    assert {volume["name"] for volume in specification["volumes"]} == mounts
    services = [one for one in MANIFESTS if one["kind"] == "Service" and one["metadata"]["name"].startswith(name)]
    assert [{"app": name}] * len(services) == [one["spec"]["selector"] for one in services]
    ports = {port["containerPort"] for port in specification["containers"][0]["ports"]}
    assert {port["port"] for one in services for port in one["spec"]["ports"]} <= ports


def test_agents_find_gateways_at_the_headless_service() -> None:
    """The name and the port in the overlay are those of the Service without an address."""
    dns = BLOCKS[0][0]["exporters"]["load_balancing"]["resolver"]["dns"]
    service = manifest("Service", "otel-gateway-pods")
    assert "None" == service["spec"]["clusterIP"]
    assert "otel-gateway-pods.observability.svc.cluster.local" == dns["hostname"]
    assert [int(dns["port"])] == [port["port"] for port in service["spec"]["ports"]]
    assert "${env:OTELCOL_GATEWAY_PORT:-4319}" in configuration("gateway", "files")


def test_pods_send_to_the_agent_of_their_node() -> None:
    """The operator's resource names the Service that stays on the node."""
    endpoint = manifest("Instrumentation", "clew")["spec"]["exporter"]["endpoint"]
    service = manifest("Service", "otel-agent")
    assert "http://otel-agent.observability.svc.cluster.local:4318" == endpoint
    assert "Local" == service["spec"]["internalTrafficPolicy"]
    assert 4318 in {port["port"] for port in service["spec"]["ports"]}


def test_the_annotation_names_the_resource() -> None:
    """A pod in any namespace asks for it by namespace and name."""
    annotations = manifest("Deployment", "shop")["spec"]["template"]["metadata"]["annotations"]
    metadata = manifest("Instrumentation", "clew")["metadata"]
    asked = annotations["instrumentation.opentelemetry.io/inject-python"]
    assert f"{metadata['namespace']}/{metadata['name']}" == asked


def test_no_token_is_written_down() -> None:
    """Both tiers read it from the same secret."""
    sources = [
        variable["valueFrom"]["secretKeyRef"]
        for name in COLLECTORS
        for variable in pod(name)["containers"][0]["env"]
        if variable["name"].endswith("TOKEN")
    ]
    assert [{"name": "otel-gateway", "key": "token"}] * 2 == sources
