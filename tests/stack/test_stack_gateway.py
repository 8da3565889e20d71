"""Claim: two gateways behind an agent judge each trace whole, keep every error and slow one, and count all requests."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest
import yaml
from otlp_posts import log, logs, post, span, spans
from stack_servers import FOLDER, Collector, wait_until

if TYPE_CHECKING:
    from conftest import CollectorMaker

pytestmark = pytest.mark.stack

SERVICES = ("shop", "stock", "pay")
TRACES = 300
FAST_FLUSH = {"connectors": {"span_metrics": {"metrics_flush_interval": "1s"}}}


class Tier:
    """An agent before two gateways that write files, and 300 traces sent through it."""

    def __init__(self, make_collector: CollectorMaker, **variables: object) -> None:
        self.gateways = [
            make_collector(
                "files", "gateway", "auth", extra=[FAST_FLUSH], OTELCOL_DECISION_WAIT="2s", OTELCOL_TOKEN="t"
            )
            for _ in range(2)
        ]
        doors = ", ".join(f"127.0.0.1:{gateway.ports['GATEWAY']}" for gateway in self.gateways)
        self.agent = make_collector(
            "agent",
            OTELCOL_GATEWAYS=f"[{doors}]",
            OTELCOL_GATEWAY=f"127.0.0.1:{self.gateways[0].ports['GRPC']}",
            OTELCOL_GATEWAY_INSECURE="true",
            OTELCOL_GATEWAY_TOKEN="t",
            **variables,
        )
        chance = random.Random(4711)
        self.traces = [f"{chance.getrandbits(128):032x}" for _ in range(TRACES)]
        self.errors = set(self.traces[:30])
        self.slow = set(self.traces[30:50])

    def start(self) -> None:
        """Start all three."""
        for collector in (*self.gateways, self.agent):
            collector.start()

    def send(self, traces: list[str]) -> list[int]:
        """Send each service's spans in requests of their own, as services do; return the statuses."""
        statuses = []
        for number, service in enumerate(SERVICES):
            for start in range(0, len(traces), 50):
                made = [self.make_span(trace, number) for trace in traces[start : start + 50]]
                statuses.append(post(self.agent.url, "traces", spans(service, made)).status)
        return statuses

    def make_span(self, trace: str, number: int) -> dict[str, object]:
        """Return the span of one service: the root first, the error in the last."""
        return span(
            trace,
            f"{number + 1:016x}",
            f"GET /{SERVICES[number]}",
            parent=f"{number:016x}" if number else "",
            error=trace in self.errors and number == 2,
            duration_ms=1500 if trace in self.slow and number == 0 else 5,
            values={"http.route": f"/{SERVICES[number]}", "http.request.method": "GET"},
        )

    def kept(self) -> list[dict[str, set[str]]]:
        """Return, for each gateway, the span IDs that it kept of each trace."""
        found = []
        for gateway in self.gateways:
            by_trace: dict[str, set[str]] = defaultdict(set)
            for made in gateway.spans():
                by_trace[made["traceId"]].add(made["spanId"])
            found.append(by_trace)
        return found

    def counted(self) -> Counter[str]:
        """Return how many calls both gateways counted, by route."""
        return sum((calls(gateway) for gateway in self.gateways), Counter())


def calls(gateway: Collector) -> Counter[str]:
    """Return the last cumulative count of calls that a gateway wrote, by route."""
    last: dict[tuple[str, ...], tuple[str, int]] = {}
    for line in gateway.lines("metrics"):
        for owner in line["resourceMetrics"]:
            for metric in (metric for scope in owner["scopeMetrics"] for metric in scope["metrics"]):
                if metric["name"] != "traces.span.metrics.calls":
                    continue
                for point in metric["sum"]["dataPoints"]:
                    values = {pair["key"]: str(pair["value"]) for pair in point["attributes"]}
                    route = next(
                        pair["value"]["stringValue"] for pair in point["attributes"] if pair["key"] == "http.route"
                    )
                    last[tuple(sorted(values.items()))] = (route, int(point["asInt"]))
    counts: Counter[str] = Counter()
    for route, count in last.values():
        counts[route] += count
    return counts


@pytest.fixture
def tier(make_collector: CollectorMaker) -> Tier:
    """Start the tier."""
    made = Tier(make_collector)
    made.start()
    return made


def test_traces_are_judged_whole_and_requests_all_counted(tier: Tier) -> None:
    """No trace is split, each error and slow one is kept whole, and a share of the rest; metrics count all."""
    assert [200] * 18 == tier.send(tier.traces)
    everything = Counter({f"/{service}": TRACES for service in SERVICES})
    wait_until(lambda: tier.counted() == everything, "every request counted", 40)
    wanted = tier.errors | tier.slow
    wait_until(lambda: wanted <= {trace for kept in tier.kept() for trace in kept}, "error and slow traces kept", 40)
    first, second = tier.kept()
    assert set() == set(first) & set(second)
    assert {3} == {len(ids) for ids in (*first.values(), *second.values())}
    assert min(len(first), len(second)) >= 10
    # 10 % of the remaining 250: the shares follow from the trace IDs, which are fixed.
    assert 10 <= len(first) + len(second) - len(wanted) <= 40


def test_logs_pass_the_tier_unsampled(tier: Tier) -> None:
    """What is not a trace goes through a gateway as it is."""
    made = [log(f"line {number}", trace_id=tier.traces[number]) for number in range(100)]
    assert 200 == post(tier.agent.url, "logs", logs("shop", made)).status
    wait_until(lambda: len(tier.gateways[0].bodies()) == 100, "every line at the gateway")


def test_the_agent_holds_what_a_dead_gateway_should_get(make_collector: CollectorMaker) -> None:
    """Traces sent while both gateways are down arrive once they are up, after a kill of the agent too."""
    tier = Tier(make_collector)
    tier.agent.start()
    some = tier.traces[:60]
    assert [200] * 6 == tier.send(some)
    tier.agent.stop()
    tier.start()
    wanted = set(some) & (tier.errors | tier.slow)
    wait_until(
        lambda: wanted <= {trace for kept in tier.kept() for trace, ids in kept.items() if len(ids) == 3},
        "traces of the outage kept whole",
        60,
    )
    assert 50 == len(wanted)


def test_a_gateway_without_the_agents_token_refuses(tier: Tier, make_collector: CollectorMaker) -> None:
    """The trace door of a gateway asks for the token as its other doors do."""
    door = tier.gateways[0].ports["GATEWAY"]
    stranger = make_collector(
        "agent",
        OTELCOL_GATEWAYS=f"[127.0.0.1:{door}]",
        OTELCOL_GATEWAY=f"127.0.0.1:{tier.gateways[0].ports['GRPC']}",
        OTELCOL_GATEWAY_INSECURE="true",
        OTELCOL_GATEWAY_TOKEN="wrong",
    ).start()
    made = [tier.make_span(trace, 2) for trace in tier.errors]
    assert 200 == post(stranger.url, "traces", spans("pay", made)).status
    wait_until(lambda: "Unauthenticated" in stranger.output(), "the agent told that it is not known")
    assert [{}, {}] == tier.kept()


def test_agents_find_gateways_by_dns(make_collector: CollectorMaker) -> None:
    """With the overlay of the Kubernetes page, its name and port replaced, traces reach the gateway that DNS names."""
    page = (FOLDER.parent / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    overlay = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    gateway = make_collector("files", "gateway", OTELCOL_DECISION_WAIT="2s").start()
    overlay["exporters"]["load_balancing"]["resolver"]["dns"] |= {
        "hostname": "localhost",
        "port": str(gateway.ports["GATEWAY"]),
    }
    agent = make_collector("agent", extra=[overlay], OTELCOL_GATEWAY_INSECURE="true").start()
    made = span("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", error=True)
    assert 200 == post(agent.url, "traces", spans("shop", [made])).status
    wait_until(lambda: len(gateway.spans()) == 1, "the span at the gateway", 60)


def test_a_gateway_that_is_asked_to_end_keeps_what_it_was_judging(make_collector: CollectorMaker) -> None:
    """Traces whose decision was not due at SIGTERM are judged then, and are in the files after the next start."""
    gateway = make_collector("files", "gateway", OTELCOL_DECISION_WAIT="60s").start()
    agent = make_collector(
        "agent", OTELCOL_GATEWAYS=f"[127.0.0.1:{gateway.ports['GATEWAY']}]", OTELCOL_GATEWAY_INSECURE="true"
    ).start()
    made = [span(f"{number:032x}", "00f067aa0ba902b7", error=True) for number in range(1, 41)]
    assert 200 == post(agent.url, "traces", spans("pay", made)).status
    wait_until(lambda: gateway.metrics().get("otelcol_receiver_accepted_spans", 0) == 40, "the spans at the gateway")
    gateway.stop()
    gateway.start()
    wait_until(lambda: {one["traceId"] for one in gateway.spans()} == {one["traceId"] for one in made}, "all of them")
