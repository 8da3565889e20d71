"""A Flask application: `/call` logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os

import requests
from flask import Flask, Response, jsonify

app = Flask(__name__)
logging.basicConfig(level=logging.INFO)


@app.get("/call")
def call() -> Response:
    """Call the second server."""
    logging.getLogger("shop").info("calling")
    return jsonify(requests.get(os.environ["ECHO_URL"], timeout=5).json())
