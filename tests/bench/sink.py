"""An OTLP/HTTP receiver that reads, answers and counts, in a process of its own: `python sink.py` prints its port.

`GET /counts` returns the bytes received by path. It ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import ClassVar


class Sink(asyncio.Protocol):
    """One connection: requests one after another."""

    counts: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            size = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < size:
                return
            del self._buffer[:size]
            self._answer(head[0].split()[1], size - end - 4)

    def _answer(self, path: str, size: int) -> None:
        body = json.dumps(self.counts).encode() if path == "/counts" else b""
        if size:
            self.counts[path] = self.counts.get(path, 0) + size
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)  # type: ignore[attr-defined]  # a TCP transport can


async def main() -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
