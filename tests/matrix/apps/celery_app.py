"""A Celery application whose broker is a folder: the task logs and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import requests
from celery import Celery
from celery.utils.log import get_task_logger

queue = Path(os.environ["QUEUE_FOLDER"])
options = {name: str(queue) for name in ("data_folder_in", "data_folder_out", "control_folder", "processed_folder")}
app = Celery("celery_app", broker="filesystem://", backend=f"file://{queue / 'results'}")
app.conf.update(broker_transport_options={**options, "polling_interval": 0.1}, worker_log_color=False)


@app.task
def call() -> Any:
    """Call the second server."""
    logging.getLogger("shop").info("calling")
    get_task_logger("mail").info("calling as a task")
    return requests.get(os.environ["ECHO_URL"], timeout=5).json()
