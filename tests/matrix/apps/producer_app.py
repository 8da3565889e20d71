"""A Flask application that leaves its work to a Celery task: `/call` returns what the task returned."""

from __future__ import annotations

from celery_app import call as task
from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/call")
def call() -> Response:
    """Start the task and wait for it."""
    return jsonify(task.delay().get(timeout=20, interval=0.05))
