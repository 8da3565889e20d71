"""Mail: a Celery worker that writes to customers, on a queue that is a folder.

Nothing in it knows of OpenTelemetry.
"""

from __future__ import annotations

import logging
import os
import time

from celery import Celery

logger = logging.getLogger("mail")
queue_folder = os.environ["QUEUE_FOLDER"]
app = Celery("mail", broker="filesystem://localhost")
app.conf.broker_transport_options = {
    "data_folder_in": queue_folder,
    "data_folder_out": queue_folder,
    "control_folder": f"{queue_folder}/control",
    "polling_interval": 0.1,
}


@app.task
def confirm(item: str) -> None:
    """Tell the customer that the order is on its way."""
    time.sleep(0.012)  # the mail server
    logger.info("confirmed the order of a %s", item)


@app.task
def apologise(item: str) -> None:
    """Tell the customer that the order failed."""
    time.sleep(0.012)  # the mail server
    logger.warning("apologised for the order of a %s", item)
