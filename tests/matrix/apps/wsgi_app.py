"""A WSGI application without a framework: it logs a line and returns the headers that a second server saw."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import urllib.request
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

logging.basicConfig(level=logging.INFO)


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Call the second server."""
    logging.getLogger("shop").info("calling")
    with urllib.request.urlopen(os.environ["ECHO_URL"], timeout=5) as response:
        body = response.read()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


class LoggingRequestHandler(WSGIRequestHandler):
    """Writes its access lines to a logger, as programs do that serve by `wsgiref`."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the superclass's
        """Log the line."""
        logging.getLogger("shop.access").info(format, *args)


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, app, handler_class=LoggingRequestHandler) as server:
        sys.stderr.write(f"listening on 127.0.0.1:{server.server_port}\n")
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever()
