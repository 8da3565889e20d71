"""A Celery application whose broker is a folder, and whose task logs once."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from celery import Celery
from celery.signals import task_postrun

queue = Path(os.environ["QUEUE_FOLDER"])
queue.mkdir(exist_ok=True)
options = {name: str(queue) for name in ("data_folder_in", "data_folder_out", "control_folder", "processed_folder")}
app = Celery("lifecycle_celery", broker="filesystem://")
app.conf.update(
    broker_transport_options={**options, "polling_interval": 0.05}, worker_log_color=False, task_ignore_result=True
)
log = logging.getLogger("shop")


@app.task(name="handle")
def handle(number: int) -> None:
    """Log the number, and take the time that is asked for."""
    log.info("request %s", number)
    (queue / f"logged-{number}").touch()
    time.sleep(float(os.environ.get("TASK_S", "0")))


@task_postrun.connect
def leave_file(args: tuple[int], **_: object) -> None:
    """Leave a file, so that a test knows which tasks are over; the instrumentation's receiver, the first, has run."""
    (queue / f"done-{args[0]}").touch()


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        handle.delay(number)
