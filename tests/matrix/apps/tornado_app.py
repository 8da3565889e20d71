"""A Tornado server: `/call` logs a line and returns the headers that a second server saw; `/fail` raises."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

logging.basicConfig(level=logging.INFO)


def write_access_line(handler: RequestHandler) -> None:
    """Log a request as programs do that give Tornado a logger of their own."""
    logging.getLogger("shop.access").info("%d %s", handler.get_status(), handler.request.path)


class Call(RequestHandler):
    """Calls the second server."""

    async def get(self) -> None:
        """Answer with the headers of the call."""
        logging.getLogger("shop").info("calling")
        response = await AsyncHTTPClient().fetch(os.environ["ECHO_URL"])
        self.set_header("Content-Type", "application/json")
        self.write(response.body)


class Fail(RequestHandler):
    """Fails."""

    def get(self) -> None:
        """Raise."""
        raise LookupError("no shelf")


async def main() -> None:
    """Serve until SIGTERM."""
    server = HTTPServer(Application([("/call", Call), ("/fail", Fail)], log_function=write_access_line))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sys.stderr.write(f"listening on 127.0.0.1:{sockets[0].getsockname()[1]}\n")
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
