"""An ASGI application that logs once for each request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.info("loaded")


async def handle(request: Request) -> PlainTextResponse:
    """Log the number."""
    log.info("request %s", request.path_params["number"])
    return PlainTextResponse("done")


app = Starlette(routes=[Route("/{number}", handle)])
