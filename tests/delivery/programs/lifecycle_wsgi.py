"""A WSGI application that logs once for each request."""

from __future__ import annotations

import logging

from flask import Flask

app = Flask(__name__)
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.info("loaded")


@app.get("/<number>")
def handle(number: str) -> str:
    """Log the number."""
    log.info("request %s", number)
    return number
