"""An OTLP backend that can be told to fail."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Backend:
    """An OTLP/HTTP backend that keeps what it takes, or answers each request with another status."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[dict[str, Any]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Take a request, or refuse it."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if backend.status == 200:
                    backend.taken.append(json.loads(body))
                self.send_response(backend.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def names(self) -> list[str]:
        """Return the names of the spans that were taken, in order."""
        return [
            made["name"]
            for request in self.taken
            for owner in request["resourceSpans"]
            for scope in owner["scopeSpans"]
            for made in scope["spans"]
        ]

    def __enter__(self) -> Self:
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
