"""Log and make spans for a while: what is measured with Clew and without it."""

from __future__ import annotations

import logging
import sys

from clew import timed

logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)


@timed("order")
def order(number: int) -> int:
    """Do some work and tell of it."""
    logger.info("order %d of %s", number, "bob", extra={"order.id": number, "kind": "book"})
    logger.info("paid")
    with timed("ship"):
        logger.info("shipped order %d", number, extra={"order.id": number})
    return sum(range(200))


for index in range(int(sys.argv[1])):
    order(index)
