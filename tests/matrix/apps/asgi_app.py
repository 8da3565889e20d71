"""An ASGI application without a framework: it logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
from typing import Any

import httpx

logging.basicConfig(level=logging.INFO)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Call the second server."""
    if scope["type"] != "http":
        return
    logging.getLogger("shop").info("calling")
    async with httpx.AsyncClient() as client:
        body = (await client.get(os.environ["ECHO_URL"])).content
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
