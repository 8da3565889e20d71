"""A Starlette application: `/call` logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

logging.basicConfig(level=logging.INFO)


def call(request: Request) -> JSONResponse:
    """Call the second server, on a thread of Starlette's."""
    del request
    logging.getLogger("shop").info("calling")
    return JSONResponse(httpx.get(os.environ["ECHO_URL"]).json())


app = Starlette(routes=[Route("/call", call)])
