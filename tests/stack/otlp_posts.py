"""OTLP JSON made and sent by hand, so that what a Collector does is seen without any SDK's part in it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: str

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


def get(url: str, timeout_s: float = 10) -> Answer:
    """Ask a server; an error status is an answer too."""
    return _ask(urllib.request.Request(url), timeout_s)


def post(base: str, signal: str, payload: dict[str, Any], token: str = "", timeout_s: float = 30) -> Answer:
    """Send one OTLP request to `base`/v1/`signal`."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(payload).encode()
    return _ask(urllib.request.Request(f"{base}/v1/{signal}", data, headers), timeout_s)


def _ask(request: urllib.request.Request, timeout_s: float) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(errors="replace"))


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return OTLP attributes of plain values."""
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes(value)}}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}


def resource(service: str, **values: Any) -> dict[str, Any]:
    """Return a resource of one service."""
    return {"attributes": attributes({"service.name": service, **values})}


def span(trace_id: str, span_id: str, name: str = "work", *, parent: str = "", **more: Any) -> dict[str, Any]:
    """Return a span of now; `more` may hold duration_ms, kind, error, values."""
    end = more.get("end_ns", time.time_ns())
    return {
        "traceId": trace_id,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        "kind": more.get("kind", 2),
        "startTimeUnixNano": str(end - int(more.get("duration_ms", 1) * 1e6)),
        "endTimeUnixNano": str(end),
        "status": {"code": 2} if more.get("error") else {},
        "attributes": attributes(more.get("values", {})),
    }


def spans(service: str, made: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a request of spans of one service."""
    return {"resourceSpans": [{"resource": resource(service), "scopeSpans": [{"spans": made}]}]}


def log(
    body: str, *, severity: int = 9, time_ns: int | None = None, trace_id: str = "", **values: Any
) -> dict[str, Any]:
    """Return a log record; `values` are its attributes, with `__` for a dot."""
    return {
        "timeUnixNano": str(time_ns or time.time_ns()),
        "severityNumber": severity,
        "severityText": "ERROR" if severity >= 17 else "INFO",
        "body": {"stringValue": body},
        "traceId": trace_id,
        "spanId": "00f067aa0ba902b7" if trace_id else "",
        "attributes": attributes({key.replace("__", "."): value for key, value in values.items()}),
    }


def logs(service: str, made: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a request of log records of one service."""
    return {"resourceLogs": [{"resource": resource(service), "scopeLogs": [{"logRecords": made}]}]}


def counter(name: str, unit: str, points: list[tuple[dict[str, Any], int]]) -> dict[str, Any]:
    """Return a cumulative counter that began a minute ago."""
    now = time.time_ns()
    made = [
        {
            "attributes": attributes(values),
            "startTimeUnixNano": str(now - 60 * 10**9),
            "timeUnixNano": str(now),
            "asInt": str(value),
        }
        for values, value in points
    ]
    return {"name": name, "unit": unit, "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": made}}


def gauge(name: str, unit: str, points: list[tuple[dict[str, Any], int]]) -> dict[str, Any]:
    """Return a gauge of now."""
    now = str(time.time_ns())
    made = [{"attributes": attributes(values), "timeUnixNano": now, "asInt": str(value)} for values, value in points]
    return {"name": name, "unit": unit, "gauge": {"dataPoints": made}}


def histogram(name: str, values: dict[str, Any], durations_s: list[float], trace_id: str = "") -> dict[str, Any]:
    """Return a cumulative histogram of durations, with an exemplar of `trace_id`."""
    bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
    counts = [0] * (len(bounds) + 1)
    for duration in durations_s:
        counts[sum(duration > bound for bound in bounds)] += 1
    now = time.time_ns()
    exemplar = {
        "traceId": trace_id,
        "spanId": "00f067aa0ba902b7",
        "asDouble": durations_s[-1],
        "timeUnixNano": str(now),
    }
    point = {
        "attributes": attributes(values),
        "startTimeUnixNano": str(now - 60 * 10**9),
        "timeUnixNano": str(now),
        "count": str(len(durations_s)),
        "sum": sum(durations_s),
        "bucketCounts": [str(count) for count in counts],
        "explicitBounds": bounds,
        "exemplars": [exemplar] if trace_id else [],
    }
    return {"name": name, "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}


def metrics(service: str, made: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    """Return a request of metrics of one service."""
    return {"resourceMetrics": [{"resource": resource(service, **values), "scopeMetrics": [{"metrics": made}]}]}
