"""An aiohttp server: `/call` logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
import socket
import sys

import aiohttp
from aiohttp import web

logging.basicConfig(level=logging.INFO)


async def call(request: web.Request) -> web.Response:
    """Call the second server."""
    del request
    logging.getLogger("shop").info("calling")
    async with aiohttp.ClientSession() as session, session.get(os.environ["ECHO_URL"]) as response:
        return web.json_response(await response.json())


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/call", call)
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stderr.write(f"listening on 127.0.0.1:{listener.getsockname()[1]}\n")
    web.run_app(app, sock=listener, print=lambda _: None)
