"""Stock: a FastAPI application that reserves what a customer orders.

Nothing in it knows of OpenTelemetry.
"""

from __future__ import annotations

import logging
import time

from fastapi import FastAPI

logger = logging.getLogger("stock")
app = FastAPI()

SHELVES = {"teapot": "A3", "kettle": "B1"}


@app.post("/reservations/{item}")
def reserve(item: str) -> dict[str, str]:
    """Reserve one of an item; asking for what there is not is an error that nobody has thought of."""
    time.sleep(0.004)  # the database
    shelf = find_shelf(item)
    logger.warning("last %s but two reserved on shelf %s", item, shelf)
    return {"item": item, "shelf": shelf}


def find_shelf(item: str) -> str:
    """Return the shelf that an item is on."""
    try:
        return SHELVES[item]
    except KeyError as error:
        raise LookupError(f"no shelf holds a {item}") from error
