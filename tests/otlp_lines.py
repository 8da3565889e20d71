"""OTLP JSON lines made by hand, as a Collector would write them: the input of the reader's and the desk's tests."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

START_NS = 1_764_000_000_000_000_000
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
STACKTRACE = """Traceback (most recent call last):
  File "/srv/payments/app.py", line 10, in charge
    gateway.charge(card)
  File "/srv/payments/gateway.py", line 33, in charge
    raise CardDeclined("card declined")
payments.gateway.CardDeclined: card declined"""

_uids = itertools.count(1)


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Encode attributes of text, whole numbers, truth values and doubles."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}


def at(ms: float) -> str:
    """Return a time, milliseconds after the start, as OTLP writes it."""
    return str(START_NS + int(ms * 1_000_000))


def span(  # noqa: PLR0913 - a span has that many parts
    span_id: str,
    name: str = "work",
    *,
    parent: str = "",
    begin: float = 0,
    end: float = 10,
    kind: int = 1,
    failed: bool = False,
    raised: str = "",
    trace_id: str = TRACE_ID,
    **attributes: Any,
) -> dict[str, Any]:
    """Make a span; `begin` and `end` are milliseconds after the start, `raised` is the type of an exception event."""
    made: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": at(begin),
        "endTimeUnixNano": at(end),
        "attributes": pairs(attributes),
        "status": {"code": 2} if failed else {},
    }
    if parent:
        made["parentSpanId"] = parent
    if raised:
        told = {"exception.type": raised, "exception.message": "it broke", "exception.stacktrace": _stacktrace(raised)}
        made["events"] = [{"name": "exception", "timeUnixNano": at(end), "attributes": pairs(told)}]
    return made


def _stacktrace(raised: str) -> str:
    return f'Traceback (most recent call last):\n  File "/srv/app.py", line 3, in work\n    do()\n{raised}: it broke'


def log(
    message: str = "hello",
    *,
    ms: float = 1,
    severity: int = 9,
    level: str = "INFO",
    trace_id: str = TRACE_ID,
    span_id: str = "",
    uid: str | None = None,
    **attributes: Any,
) -> dict[str, Any]:
    """Make a log record, each with a `log.record.uid` of its own."""
    uid = f"uid-{next(_uids)}" if uid is None else uid
    return {
        "timeUnixNano": at(ms),
        "severityNumber": severity,
        "severityText": level,
        "body": {"stringValue": message},
        "attributes": pairs({"log.record.uid": uid, **attributes}),
        "traceId": trace_id,
        "spanId": span_id,
        "flags": 1,
    }


def spans_line(service: str, *spans: dict[str, Any]) -> bytes:
    """Put spans of one service on one line."""
    return _line("resourceSpans", "scopeSpans", "spans", service, "tests", list(spans))


def logs_line(service: str, *logs: dict[str, Any], logger: str = "app") -> bytes:
    """Put log records of one logger on one line."""
    return _line("resourceLogs", "scopeLogs", "logRecords", service, logger, list(logs))


def metrics_line(service: str, *metrics: dict[str, Any]) -> bytes:
    """Put metrics of one service on one line."""
    return _line("resourceMetrics", "scopeMetrics", "metrics", service, "clew", list(metrics))


def counter(name: str, value: int, *, ms: float = 0, temporality: int = 2, **attributes: Any) -> dict[str, Any]:
    """Make a sum with one point."""
    point = {"asInt": str(value), "startTimeUnixNano": at(0), "timeUnixNano": at(ms), "attributes": pairs(attributes)}
    return {"name": name, "sum": {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": [point]}}


def _line(key: str, scopes: str, items: str, service: str, scope: str, made: list[dict[str, Any]]) -> bytes:
    resource = {"attributes": pairs({"service.name": service})}
    return (
        json.dumps({key: [{"resource": resource, scopes: [{"scope": {"name": scope}, items: made}]}]}).encode() + b"\n"
    )


def write(path: Path, *lines: bytes) -> Path:
    """Write lines to a file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return path


def write_failing_request(folder: Path) -> None:
    """Write the request `order-4711`: shop calls orders calls payments, which raises; orders wraps, shop logs late."""
    ids = {"correlation.id": "order-4711"}
    raised = {
        "exception.type": "payments.gateway.CardDeclined",
        "exception.message": "card declined",
        "exception.stacktrace": STACKTRACE,
    }
    write(
        folder / "traces-shop.jsonl",
        spans_line("shop", span("a" * 16, "POST /checkout", end=120, kind=2, failed=True, **ids)),
        spans_line("shop", span("b" * 16, "POST", parent="a" * 16, begin=5, end=112, kind=3, failed=True, **ids)),
    )
    orders = span(
        "c" * 16,
        "POST /orders",
        parent="b" * 16,
        begin=8,
        end=108,
        kind=2,
        failed=True,
        raised="orders.PaymentFailed",
        **ids,
    )
    write(
        folder / "traces-orders.jsonl",
        spans_line("orders", orders, span("d" * 16, "SELECT stock", parent="c" * 16, begin=10, end=30, kind=3, **ids)),
        spans_line("orders", span("e" * 16, "POST", parent="c" * 16, begin=35, end=104, kind=3, failed=True, **ids)),
    )
    write(
        folder / "traces-payments.jsonl",
        spans_line(
            "payments", span("f" * 16, "POST /charge", parent="e" * 16, begin=38, end=100, kind=2, failed=True, **ids)
        ),
    )
    write(
        folder / "logs.jsonl",
        logs_line("shop", log("checkout begins", ms=2, span_id="a" * 16, **ids), logger="shop.views"),
        logs_line("orders", log("3 items reserved", ms=28, span_id="d" * 16, **ids), logger="orders.stock"),
        logs_line(
            "payments",
            log("charge failed", ms=96, severity=17, level="ERROR", span_id="f" * 16, **ids, **raised),
            logger="payments.app",
        ),
        logs_line(
            "shop", log("checkout failed", ms=130, severity=17, level="ERROR", trace_id="", **ids), logger="shop.late"
        ),
    )
