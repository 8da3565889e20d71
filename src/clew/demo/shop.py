"""Shop: a Flask application that takes orders. It asks stock and leaves mail to a worker.

Nothing in it knows of OpenTelemetry.
"""

from __future__ import annotations

import logging
import os

import requests
from flask import Flask

from .mail import apologise, confirm

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("shop")
app = Flask(__name__)


class OrderError(Exception):
    """An order that could not be taken."""


@app.post("/orders/<item>")
def order(item: str) -> tuple[dict[str, str], int]:
    """Take an order."""
    logger.info("order for a %s", item)
    try:
        reservation = reserve(item)
    except requests.HTTPError as error:
        apologise.delay(item)
        raise OrderError(f"could not take the order for a {item}") from error
    confirm.delay(item)
    return reservation, 201


def reserve(item: str) -> dict[str, str]:
    """Ask stock to reserve one of an item."""
    response = requests.post(f"{os.environ['STOCK_URL']}/reservations/{item}", timeout=5)
    response.raise_for_status()
    reservation: dict[str, str] = response.json()
    return reservation
