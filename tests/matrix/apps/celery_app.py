"""A Celery application whose broker is a folder: the task logs and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
import time
import uuid
from pathlib import Path
from typing import Any

import requests
from celery import Celery
from celery.utils.log import get_task_logger
from kombu.transport import filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

queue = Path(os.environ["QUEUE_FOLDER"])
options = {name: str(queue) for name in ("data_folder_in", "data_folder_out", "control_folder", "processed_folder")}
app = Celery("celery_app", broker="filesystem://", backend=f"file://{queue / 'results'}")
app.conf.update(broker_transport_options={**options, "polling_interval": 0.1}, worker_log_color=False)


def _put_whole(_channel: Any, name: str, payload: Any, **_: Any) -> None:
    """Move a message in once it is whole: kombu fills the file in place, and a poll in between takes it empty."""
    file = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{name}.msg"
    (queue.parent / file).write_bytes(str_to_bytes(dumps(payload)))
    (queue.parent / file).rename(queue / file)


filesystem.Channel._put = _put_whole


@app.task
def call() -> Any:
    """Call the second server."""
    logging.getLogger("shop").info("calling")
    get_task_logger("mail").info("calling as a task")
    return requests.get(os.environ["ECHO_URL"], timeout=5).json()
