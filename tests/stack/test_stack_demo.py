"""Claim: `clew demo` through a real Collector is found in files, Jaeger, Loki and Prometheus by one correlation ID."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from backend_queries import Backends, dashboard_queries
from otlp_backend import Backend
from otlp_posts import get
from stack_servers import Collector, Jaeger, Loki, Prometheus, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.stack

FAILED = "order-that-failed"
EXPORT_INTERVAL_S = 60
WITHOUT_DATA = {
    "Drops by reason": "nothing is dropped",
    "Timed operations, 95th percentile": "the demo's code knows nothing of Clew, so it times nothing by name",
    "Correlation IDs not taken": "every ID that the demo sends is one",
    "Collector: lost and overflowing": "nothing is lost",
    "Traces of the correlation ID": "Tempo is not run here",
}
"""Panels that a healthy demo leaves empty, with the reason."""


@dataclass
class Demo(Backends):
    """The backends after the demo, and the Collector's files."""

    files: Path
    printed: str = ""
    orders: list[str] = field(default_factory=list)

    def trace_id(self) -> str:
        """Return the trace of the order that failed, as Jaeger knows it by its correlation ID."""
        wait_until(lambda: self.traces_tagged("shop", FAILED), "the order in Jaeger")
        [found] = self.traces_tagged("shop", FAILED)
        trace: str = found["traceID"]
        return trace


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger, loki: Loki) -> Iterator[Demo]:
    """Run the demo for as long as two exports of metrics take, with orders all the while."""
    folder = tmp_path_factory.mktemp("demo")
    plain = {"exporters": {"otlp_http/tempo": {"encoding": "json", "compression": "none"}}}
    collector = Collector(folder / "otelcol", ["files", "jaeger", "grafana"], extra=[plain])
    prometheus = Prometheus(folder / "prometheus", [collector.ports["METRICS"]])
    with Backend() as tempo, prometheus:
        collector.variables |= {
            "JAEGER_OTLP_ENDPOINT": jaeger.otlp_url,
            "TEMPO_OTLP_ENDPOINT": tempo.url,
            "LOKI_OTLP_ENDPOINT": f"{loki.url}/otlp",
            "PROMETHEUS_OTLP_ENDPOINT": f"{prometheus.url}/api/v1/otlp",
        }
        with collector:
            made = Demo(jaeger, loki, prometheus, collector.files)
            run_demo(made, collector.url, folder)
            yield made


def run_demo(demo: Demo, endpoint: str, folder: Path) -> None:
    """Run `clew demo --keep-running`, order until metrics have been exported once, and end it with Ctrl-C."""
    command = [
        sys.executable,
        "-m",
        "clew",
        "demo",
        "--keep-running",
        "--endpoint",
        endpoint,
        "--dir",
        str(folder / "demo"),
    ]
    with (folder / "printed.txt").open("w+", encoding="utf-8") as printed:
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=environ)
        try:
            wait_until(
                lambda: find_shop(folder / "printed.txt") and "samovar" in read(folder / "printed.txt"),
                "the demo up",
                timeout_s=90,
            )
            send_orders(demo, find_shop(folder / "printed.txt"))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    demo.printed = read(folder / "printed.txt")


def read(path: Path) -> str:
    """Return what was printed so far."""
    return path.read_text(encoding="utf-8")


def find_shop(path: Path) -> str:
    """Return where the shop answers, or an empty string as long as it is not known."""
    match = re.search(r"ready +shop .*?(http://127\.0\.0\.1:\d+)", read(path))
    return match[1] if match else ""


def send_orders(demo: Demo, shop: str) -> None:
    """Order teapots, and one thing that is on no shelf, until the first export of metrics is over."""
    until = time.monotonic() + EXPORT_INTERVAL_S + 5
    assert 500 == order(shop, "samovar", FAILED)
    while time.monotonic() < until:
        demo.orders.append(f"order-of-teapot-{len(demo.orders)}")
        assert 201 == order(shop, "teapot", demo.orders[-1])
        time.sleep(1)
    assert 500 == order(shop, "samovar", "another-order-that-failed")


def order(shop: str, item: str, correlation_id: str) -> int:
    """Order one item under a correlation ID; return the status."""
    request = urllib.request.Request(f"{shop}/orders/{item}", b"", {"X-Correlation-ID": correlation_id})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class TestRequest:
    """The order that failed, everywhere."""

    def test_clew_trace_reads_it_from_the_collectors_files(self, demo: Demo) -> None:
        """The command names all three services and the root cause."""
        command = [sys.executable, "-m", "clew", "trace", FAILED, str(demo.files), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        found = json.loads(done.stdout)
        assert {"shop", "stock", "mail"} == {made["service"] for made in found["spans"]}
        assert {"shop", "stock", "mail"} == {row["service"] for row in found["logs"]}
        assert [demo.trace_id()] == found["trace_ids"]
        assert "LookupError" in json.dumps(found["root_cause"])

    def test_jaeger_has_its_whole_trace(self, demo: Demo) -> None:
        """All three services' spans, each with the correlation ID."""
        [found] = get(f"{demo.jaeger.url}/api/traces/{demo.trace_id()}").json()["data"]
        assert {"shop", "stock", "mail"} == {process["serviceName"] for process in found["processes"].values()}
        tags = [{tag["key"]: tag["value"] for tag in made["tags"]} for made in found["spans"]]
        assert [FAILED] * len(tags) == [tag["correlation.id"] for tag in tags]

    def test_loki_has_its_lines_by_correlation_id_and_by_trace_id(self, demo: Demo) -> None:
        """Either finds the same lines, of all three services."""

        def lines(what: str) -> set[tuple[str, str]]:
            streams = demo.search(f'{{service_name=~".+"}} | {what}')
            return {(one["stream"]["service_name"], line) for one in streams for _, line in one["values"]}

        by_correlation = f'correlation_id = "{FAILED}"'
        wait_until(
            lambda: {name for name, _ in lines(by_correlation)} == {"shop", "stock", "mail"}, "all lines in Loki"
        )
        assert lines(by_correlation) == lines(f'trace_id = "{demo.trace_id()}"')
        assert ("mail", "apologised for the order of a samovar") in lines(by_correlation)

    def test_exemplars_in_prometheus_are_traces_in_jaeger(self, demo: Demo) -> None:
        """Every exemplar of a request's duration leads to a trace."""
        parameters = {
            "query": "http_server_request_duration_seconds_bucket",
            "start": time.time() - 600,
            "end": time.time() + 10,
        }
        url = f"{demo.prometheus.url}/api/v1/query_exemplars?{urllib.parse.urlencode(parameters)}"
        wait_until(lambda: get(url).json()["data"], "exemplars")
        ids = {one["labels"]["trace_id"] for series in get(url).json()["data"] for one in series["exemplars"]}
        assert ids
        assert [] == [trace for trace in ids if get(f"{demo.jaeger.url}/api/traces/{trace}").status != 200]


class TestQueries:
    """What the dashboards ask of a healthy system."""

    @pytest.mark.parametrize(("panel", "source", "query"), dashboard_queries(FAILED, "5m"))
    def test_a_panel_shows_the_demo(self, demo: Demo, panel: str, source: str, query: str) -> None:
        """It shows data, or is empty for the reason that is listed."""
        if source == "tempo":
            assert panel in WITHOUT_DATA
            return
        ask = demo.ask if source == "prometheus" else demo.search
        if panel in WITHOUT_DATA:
            # A Collector that has failed once shows a rate of 0 from then on, which is no failure either.
            assert [] == [row for row in ask(query) if row.get("value", ["", ""])[1] != "0"]
        else:
            wait_until(lambda: ask(query), f"data for {query}", 40)

    def test_metrics_carry_no_ids(self, demo: Demo) -> None:
        """No series has a correlation ID or a trace ID among its labels."""
        wait_until(lambda: demo.ask("http_server_request_duration_seconds_count"), "metrics")
        names = get(f"{demo.prometheus.url}/api/v1/labels").json()["data"]
        assert [] == [name for name in names if "correlation" in name or "trace_id" in name]

    def test_every_order_is_counted(self, demo: Demo) -> None:
        """Requests in Prometheus are as many as were sent."""
        expected = len(demo.orders) + 2 + 3
        query = 'sum(http_server_request_duration_seconds_count{service_name="shop"})'

        def count() -> int:
            return sum(int(float(series["value"][1])) for series in demo.ask(query))

        wait_until(lambda: count() == expected, f"{expected} requests in Prometheus")
