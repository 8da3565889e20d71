"""A FastAPI application that logs three times for each request."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from fastapi import FastAPI

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(logging.NullHandler())


def leave_out_asgi_spans() -> None:
    """Leave out the spans of send and receive, as Clew does: the instrumentation has no variable for that."""
    module: Any = sys.modules.get("opentelemetry.instrumentation.asgi")
    if module is None:
        return
    original = module.OpenTelemetryMiddleware.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{**kwargs, "exclude_spans": ["send", "receive"]})

    module.OpenTelemetryMiddleware.__init__ = init


if os.environ.get("BENCH_ASGI_SPANS") == "none":
    leave_out_asgi_spans()
app = FastAPI()


def price(number: int) -> float:
    """Compute something, and tell of it."""
    logger.info("priced order %d", number, extra={"order.id": number, "kind": "book", "price": 12.5})
    return number * 1.19


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, float]:
    """Answer one request."""
    logger.info("order %d of %s", number, "bob", extra={"order.id": number, "kind": "book", "price": 12.5})
    found = {"price": price(number)}
    logger.info("order %d done", number, extra={"order.id": number, "kind": "book", "price": 12.5})
    return found
