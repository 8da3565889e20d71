"""A server that answers HTTP requests with any bytes at any pace, for what no proper server does."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def answering(*answers: Sequence[bytes], pace_s: float = 0.0, resets: bool = False) -> Iterator[str]:
    """Run a server and yield its URL.

    Args:
        answers: What each connection gets after its request, before it is closed; the last goes on.
        pace_s: The pause after each piece.
        resets: Whether connections are reset instead of closed.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, list(answers), pace_s, resets))
        thread.start()
        host, port = listening.getsockname()
        yield f"http://{host}:{port}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _serve(listening: socket.socket, answers: list[Sequence[bytes]], pace_s: float, resets: bool) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            with connection, contextlib.suppress(OSError):
                _answer(connection, answer, pace_s)
                if resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _answer(connection: socket.socket, pieces: Sequence[bytes], pace_s: float) -> None:
    with connection.makefile("rb") as stream:
        head = http.client.parse_headers(stream) if stream.readline() else None
        if head is None:
            return
        stream.read(int(head.get("Content-Length", "0")))
    for piece in pieces:
        connection.sendall(piece)
        if select.select([connection], [], [], pace_s)[0]:
            return  # the client has gone
