"""What the stack tests ask the backends: queries of Prometheus, Loki and Jaeger, and those of the dashboards."""

from __future__ import annotations

import json
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otlp_posts import get
from stack_servers import FOLDER

if TYPE_CHECKING:
    from stack_servers import Jaeger, Loki, Prometheus


@dataclass
class Backends:
    """Jaeger, Loki and Prometheus, and how they are asked."""

    jaeger: Jaeger
    loki: Loki
    prometheus: Prometheus

    def ask(self, query: str) -> list[Any]:
        """Return the series with which Prometheus answers a query now."""
        answer = get(f"{self.prometheus.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        assert 200 == answer.status, f"{query}: {answer.body}"
        found: list[Any] = answer.json()["data"]["result"]
        return found

    def search(self, query: str) -> list[Any]:
        """Return the streams or series with which Loki answers a query of the last hour."""
        now = time.time_ns()
        parameters = {"query": query, "start": now - 3600 * 10**9, "end": now + 10**9, "limit": 100, "step": 30}
        answer = get(f"{self.loki.url}/loki/api/v1/query_range?{urllib.parse.urlencode(parameters)}")
        assert 200 == answer.status, f"{query}: {answer.body}"
        found: list[Any] = answer.json()["data"]["result"]
        return found

    def traces_tagged(self, service: str, correlation_id: str) -> list[Any]:
        """Return the traces that Jaeger finds by a correlation ID."""
        now = time.time_ns() // 1000
        parameters = {
            "service": service,
            "tags": json.dumps({"correlation.id": correlation_id}),
            "start": now - 3600 * 10**6,
            "end": now + 10**6,
            "limit": 20,
        }
        answer = get(f"{self.jaeger.url}/api/traces?{urllib.parse.urlencode(parameters)}")
        found: list[Any] = answer.json()["data"] or []
        return found


def dashboard_queries(correlation_id: str, window: str = "2m") -> list[tuple[str, str, str]]:
    """Return (panel, data source, query) of every panel, with the dashboards' variables filled in."""
    found = []
    for path in sorted((FOLDER / "grafana" / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        [services] = [one["allValue"] for one in dashboard["templating"]["list"] if one["name"] == "service"]
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                query = target.get("expr") or target["query"]
                for name, value in (
                    ("$service", services),
                    ("$correlation_id", correlation_id),
                    ("$__rate_interval", window),
                    ("$__range", "10m"),
                    ("$__auto", window),
                ):
                    query = query.replace(name, value)
                found.append((panel["title"], target["datasource"]["uid"], query))
    return found
