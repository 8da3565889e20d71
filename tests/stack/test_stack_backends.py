"""Claim: a request is found by its correlation ID in files, Jaeger and Loki; panels and alerts ask what is there."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from backend_queries import Backends, dashboard_queries
from otlp_backend import Backend
from otlp_posts import counter, gauge, get, histogram, log, logs, metrics, post, span, spans
from stack_servers import FOLDER, Collector, Jaeger, Loki, Prometheus, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack

CORRELATION = "order-4711"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPANS = ("1111111111111111", "2222222222222222", "3333333333333333")
BACKENDS = ("tempo", "loki", "prometheus")
LINES = {"shop at work", "stock at work", "pay at work", "card refused"}
DAY_S = 86400

NOT_ASKED = {
    "Traces of the correlation ID": "Tempo 3 cannot be built from public modules, and its query language is its own",
}
"""Panels whose query is not run, with the reason."""


@dataclass
class Stack(Backends):
    """A Collector in front of every backend, and a second one whose backends are dead."""

    collector: Collector
    overflowing: Collector
    tempo: Backend


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger, loki: Loki) -> Iterator[Stack]:
    """Start everything and send one request's telemetry, and a little of each trouble."""
    folder = tmp_path_factory.mktemp("stack")
    dead = {f"{name}_OTLP_ENDPOINT": "http://127.0.0.1:1" for name in ("TEMPO", "LOKI", "PROMETHEUS")}
    tiny = {"exporters": {f"otlp_http/{name}": {"sending_queue": {"queue_size": 1000}} for name in BACKENDS}}
    with Backend() as tempo:
        plain = {"exporters": {"otlp_http/tempo": {"encoding": "json", "compression": "none"}}}
        collector = Collector(folder / "otelcol", ["files", "jaeger", "grafana"], extra=[plain])
        overflowing = Collector(folder / "overflowing", ["grafana"], extra=[tiny], **dead)
        # The third one is a Collector that is down.
        scraped = [collector.ports["METRICS"], overflowing.ports["METRICS"], free_port()]
        prometheus = Prometheus(folder / "prometheus", scraped)
        collector.variables |= {
            "JAEGER_OTLP_ENDPOINT": jaeger.otlp_url,
            "TEMPO_OTLP_ENDPOINT": tempo.url,
            "LOKI_OTLP_ENDPOINT": f"{loki.url}/otlp",
            "PROMETHEUS_OTLP_ENDPOINT": f"{prometheus.url}/api/v1/otlp",
        }
        tempo.status = 400
        with prometheus, collector, overflowing:
            made = Stack(jaeger, loki, prometheus, collector, overflowing, tempo)
            wait_until(lambda: len(made.ask('up{job="collector"}')) == 3, "the first scrapes")
            send_request(made)
            send_metrics(made)
            send_trouble(made)
            yield made


def send_request(stack: Stack) -> None:
    """Send the spans and log records of one request through three services."""
    for number, service in enumerate(("shop", "stock", "pay")):
        values = {"correlation.id": CORRELATION, "http.route": f"/{service}"}
        parent = SPANS[number - 1] if number else ""
        made = span(TRACE, SPANS[number], f"GET /{service}", parent=parent, values=values, error=number == 2)
        assert 200 == post(stack.collector.url, "traces", spans(service, [made])).status
        record = log(f"{service} at work", trace_id=TRACE, correlation__id=CORRELATION)
        failure = log(
            "card refused",
            severity=17,
            trace_id=TRACE,
            correlation__id=CORRELATION,
            error__fingerprint="abc123",
            exception__type="CardError",
            exception__stacktrace="Traceback\n" * 8000,
        )
        sent = [record, failure] if number == 2 else [record]
        assert 200 == post(stack.collector.url, "logs", logs(service, sent)).status


def send_metrics(stack: Stack) -> None:
    """Send each metric that a dashboard asks for twice, half a minute apart, so that a rate can be taken."""
    for ago_s, factor in ((30, 1), (0, 3)):
        server = {"http.route": "/pay", "http.request.method": "GET"}
        made = [
            histogram(
                "http.server.request.duration", {**server, "http.response.status_code": 200}, [0.02] * 8 * factor, TRACE
            ),
            histogram(
                "http.server.request.duration", {**server, "http.response.status_code": 500}, [0.3] * factor, TRACE
            ),
            histogram("http.client.request.duration", {"server.address": "stock"}, [0.01] * 5 * factor, TRACE),
            histogram("clew.operation.duration", {"operation.name": "charge"}, [0.2] * factor, TRACE),
            counter(
                "clew.delivery.records",
                "{record}",
                [
                    ({"signal": "logs", "outcome": "delivered", "reason": ""}, 100 * factor),
                    ({"signal": "logs", "outcome": "dropped", "reason": "queue-full"}, 2 * factor),
                ],
            ),
            counter("clew.delivery.sent.bytes", "By", [({"signal": "logs"}, 5000 * factor)]),
            counter("clew.correlation.rejected", "{id}", [({"reason": "too-long"}, factor)]),
            seconds("clew.overhead.cpu_time", {"component": "logs"}, 0.1 * factor),
            gauge("clew.delivery.queue.depth", "{record}", [({"signal": "logs"}, 7)]),
            gauge("clew.delivery.spool.bytes", "By", [({}, 4096)]),
        ]
        payload = metrics("pay", [shifted(metric, ago_s) for metric in made], **{"telemetry.distro.name": "clew"})
        assert 200 == post(stack.collector.url, "metrics", payload).status
    silent = shifted(gauge("clew.delivery.queue.depth", "{record}", [({}, 1)]), 1200)
    gone = metrics("gone", [silent], **{"telemetry.distro.name": "clew", "service.instance.id": "gone-1"})
    assert 200 == post(stack.collector.url, "metrics", gone).status


def served(factor: int) -> list[dict[str, Any]]:
    """Return the durations of requests that went well, and of some that failed."""
    server = {"http.route": "/pay", "http.request.method": "GET"}
    durations = {200: [0.02] * 8 * factor, 500: [0.3] * factor}
    return [
        histogram("http.server.request.duration", {**server, "http.response.status_code": status}, seen, TRACE)
        for status, seen in durations.items()
    ]


def seconds(name: str, values: dict[str, Any], value: float) -> dict[str, Any]:
    """Return a cumulative counter of seconds."""
    metric = counter(name, "s", [(values, 0)])
    point = metric["sum"]["dataPoints"][0]
    del point["asInt"]
    point["asDouble"] = value
    return metric


def shifted(metric: dict[str, Any], ago_s: int) -> dict[str, Any]:
    """Return the metric with its points' time moved into the past."""
    [kind] = [key for key in ("sum", "gauge", "histogram") if key in metric]
    for point in metric[kind]["dataPoints"]:
        point["timeUnixNano"] = str(int(point["timeUnixNano"]) - ago_s * 10**9)
        for exemplar in point.get("exemplars", ()):
            exemplar["timeUnixNano"] = point["timeUnixNano"]
    return metric


def send_trouble(stack: Stack) -> None:
    """Make the Collectors lose and refuse, with a scrape between: one loss alerts, a rate of refusals needs two."""
    long_ago = time.time_ns() - 30 * DAY_S * 10**9
    for attempt in range(2):
        post(stack.collector.url, "logs", logs("old", [log("too old for Loki", time_ns=long_ago)]))
        post(stack.collector.url, "metrics", metrics("old", [shifted(gauge("old", "1", [({}, 1)]), 30 * DAY_S)]))
        post(stack.collector.url, "traces", spans("shop", [span(secrets.token_hex(16), SPANS[0], "refused by Tempo")]))
        for number in range(30):
            made = span(f"{attempt:016x}{number:016x}", SPANS[0])
            post(stack.overflowing.url, "traces", spans("shop", [made]))
            post(stack.overflowing.url, "logs", logs("shop", [log("too much")]))
            post(stack.overflowing.url, "metrics", metrics("shop", [gauge("much", "1", [({}, number)])]))
        time.sleep(3)


def alert_rules() -> list[Any]:
    """Return every alert rule."""
    document = yaml.safe_load((FOLDER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


class TestRequest:
    """One request, by its correlation ID, everywhere."""

    def test_clew_trace_reads_it_from_the_files(self, stack: Stack) -> None:
        """The command finds three services' spans and their log lines."""
        command = [sys.executable, "-m", "clew", "trace", CORRELATION, str(stack.collector.files), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        found = json.loads(done.stdout)
        assert set(SPANS) == {made["span_id"] for made in found["spans"]}
        assert {"shop at work", "stock at work", "pay at work", "card refused"} == {
            row["message"] for row in found["logs"]
        }

    def test_jaeger_finds_it_by_tag_and_by_trace_id(self, stack: Stack) -> None:
        """The same trace, with all three services."""
        wait_until(lambda: stack.traces_tagged("pay", CORRELATION), "the trace by its tag")
        [tagged] = stack.traces_tagged("pay", CORRELATION)
        by_id = get(f"{stack.jaeger.url}/api/traces/{TRACE}").json()["data"][0]
        assert {TRACE} == {tagged["traceID"], by_id["traceID"]}
        assert {"shop", "stock", "pay"} == {process["serviceName"] for process in by_id["processes"].values()}

    @pytest.mark.parametrize("what", [f'trace_id = "{TRACE}"', f'correlation_id = "{CORRELATION}"'])
    def test_loki_finds_its_lines_by_either_id(self, stack: Stack, what: str) -> None:
        """Both are structured metadata, and a stack trace of 80 KB is taken."""
        query = f'{{service_name=~".+"}} | {what}'
        wait_until(lambda: sum(len(stream["values"]) for stream in stack.search(query)) == 4, "four lines in Loki")
        lines = {line for stream in stack.search(query) for _, line in stream["values"]}
        assert LINES == lines

    def test_grafanas_link_from_a_trace_to_its_logs_finds_them(self, stack: Stack) -> None:
        """The query of the data source, filled in as Grafana does."""
        document = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/datasources.yaml").read_text())
        [source] = [source for source in document["datasources"] if source["uid"] == "jaeger"]
        query = source["jsonData"]["tracesToLogsV2"]["query"].replace("$$", "$")
        query = query.replace("${__tags}", 'service_name="pay"').replace("${__trace.traceId}", TRACE)
        wait_until(lambda: stack.search(query), "the lines of one service")
        assert {"pay"} == {stream["stream"]["service_name"] for stream in stack.search(query)}

    def test_exemplars_in_prometheus_are_traces_in_jaeger(self, stack: Stack) -> None:
        """From a slow bucket to the request that was slow."""
        parameters = {
            "query": "http_server_request_duration_seconds_bucket",
            "start": time.time() - 600,
            "end": time.time() + 10,
        }
        url = f"{stack.prometheus.url}/api/v1/query_exemplars?{urllib.parse.urlencode(parameters)}"
        wait_until(lambda: get(url).json()["data"], "exemplars")
        ids = {exemplar["labels"]["trace_id"] for series in get(url).json()["data"] for exemplar in series["exemplars"]}
        assert {TRACE} == ids
        assert [200] == [get(f"{stack.jaeger.url}/api/traces/{trace}").status for trace in ids]


class TestQueries:
    """What the dashboards and rules ask is there."""

    @pytest.mark.parametrize(("panel", "source", "query"), dashboard_queries(CORRELATION))
    def test_a_panel_shows_data(self, stack: Stack, panel: str, source: str, query: str) -> None:
        """The query, run where Grafana would run it, returns something."""
        if panel in NOT_ASKED:
            assert "tempo" == source
            return
        ask = stack.ask if source == "prometheus" else stack.search
        wait_until(lambda: ask(query), f"data for {query}", 40)

    @pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
    def test_an_alert_sees_its_trouble(self, stack: Stack, rule: dict[str, Any]) -> None:
        """Each rule's expression is true of the trouble that was made."""
        wait_until(lambda: stack.ask(rule["expr"]), f"{rule['alert']} true", 40)
        found = stack.ask(rule["expr"])
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert used <= set().union(*(series["metric"] for series in found))

    def test_prometheus_evaluates_every_rule(self, stack: Stack) -> None:
        """Prometheus's own word on the rules: each is healthy."""

        def health() -> set[str]:
            groups = get(f"{stack.prometheus.url}/api/v1/rules").json()["data"]["groups"]
            return {rule["health"] for group in groups for rule in group["rules"]}

        wait_until(lambda: health() == {"ok"}, "every rule evaluated", 90)


class TestTempo:
    """Tempo itself is not run here; what it would get is."""

    def test_tempo_gets_the_traces(self, stack: Stack) -> None:
        """With the backend answering, spans arrive at the endpoint that the overlay names."""
        stack.tempo.status = 200
        made = span(secrets.token_hex(16), SPANS[0], "for Tempo")
        assert 200 == post(stack.collector.url, "traces", spans("shop", [made])).status
        wait_until(lambda: stack.tempo.names() == ["for Tempo"], "the span at Tempo's endpoint")
