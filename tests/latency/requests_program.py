"""Answer requests by a framework, without a server: `python requests_program.py NUMBER flask|fastapi`."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from typing import Any

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(logging.NullHandler())


def price(number: int) -> dict[str, int]:
    """Do some work and tell of it."""
    logger.info("order %d", number, extra={"order.id": number})
    return {"price": sum(range(200))}


def by_flask(times: int) -> None:
    """Call a WSGI application."""
    from flask import Flask  # noqa: PLC0415 - one of two

    app = Flask(__name__)
    app.add_url_rule("/orders/<int:number>", view_func=price)
    for _ in range(times):
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/orders/17", "RAW_URI": "/orders/17", "HTTP_HOST": "shop",
            "SERVER_NAME": "shop", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
        }  # fmt: skip
        answer = app(environ, lambda _status, _headers, _error=None: None)
        b"".join(answer)
        answer.close()


def by_fastapi(times: int) -> None:
    """Call an ASGI application."""
    from fastapi import FastAPI  # noqa: PLC0415 - one of two

    app = FastAPI()
    app.get("/orders/{number}")(price)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(_: Any) -> None:
        pass

    async def call() -> None:
        for _ in range(times):
            scope = {
                "type": "http", "method": "GET", "path": "/orders/17", "headers": [(b"host", b"shop")],
                "query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("shop", 80),
            }  # fmt: skip
            await app(scope, receive, send)

    asyncio.run(call())


{"flask": by_flask, "fastapi": by_fastapi}[sys.argv[2]](int(sys.argv[1]))
