"""A Flask application that logs three times for each request."""

from __future__ import annotations

import logging

from flask import Flask

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(logging.NullHandler())
app = Flask(__name__)


def price(number: int) -> float:
    """Compute something, and tell of it."""
    logger.info("priced order %d", number, extra={"order.id": number, "kind": "book", "price": 12.5})
    return number * 1.19


@app.get("/orders/<int:number>")
def order(number: int) -> dict[str, float]:
    """Answer one request."""
    logger.info("order %d of %s", number, "bob", extra={"order.id": number, "kind": "book", "price": 12.5})
    found = {"price": price(number)}
    logger.info("order %d done", number, extra={"order.id": number, "kind": "book", "price": 12.5})
    return found
