"""POST over a bare connection that is kept open, by `http.client`: a sixth of the CPU that requests needs."""

from __future__ import annotations

import http.client
import os
import socket
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from clew.delivery.transport import abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_REPLY_BYTES: Final = 1024 * 1024
"""More of an answer is not read: nobody knows what sends it."""


class _Socket(socket.socket):
    """A connected socket on which all that is received is due by one time, however it comes in."""

    due_at = 0.0

    def recv_into(self, *args: int) -> int:  # type: ignore[override]  # passed on as they come
        self.settimeout(_left(self.due_at))
        return super().recv_into(*args)  # type: ignore[arg-type]  # likewise


class _Connection(http.client.HTTPConnection):
    """A connection whose connecting, sending and receiving together are due by one time."""

    due_at = 0.0
    sock: _Socket | None

    def connect(self) -> None:
        self.timeout = _left(self.due_at)
        super().connect()
        connected: socket.socket = self.sock  # type: ignore[assignment]  # what the superclass has just made
        self.sock = _Socket(connected.family, connected.type, connected.proto, connected.detach())
        self.set_due(self.due_at)

    def set_due(self, due_at: float) -> None:
        self.due_at = due_at
        if self.sock is not None:
            self.sock.due_at = due_at
            self.sock.settimeout(_left(due_at))


def _left(due_at: float) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: If there are none.
    """
    left_s = due_at - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _read(response: http.client.HTTPResponse) -> bytes:
    """Return the body of an answer, or its beginning where that is all that is wanted of it.

    Raises:
        http.client.IncompleteRead: If it was cut off.
    """
    # Only a read without a limit tells that a body is shorter than it was said to be.
    is_short = response.length is not None and response.length <= MAX_REPLY_BYTES
    return response.read() if is_short else response.read(MAX_REPLY_BYTES)


class PlainExchange:
    """One endpoint over one connection."""

    def __init__(self, url: str, headers: Callable[[], Mapping[str, str]]) -> None:
        """Make an exchange; nothing is connected before the first request.

        Args:
            url: Where to post.
            headers: Asked for each request: what stands in them may change.
        """
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 80
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = headers
        self._connection: _Connection | None = None

    def post(self, body: bytes, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body; a kept connection that turns out to be closed is replaced once."""
        due_at = time.monotonic() + timeout_s
        if self._connection is not None:
            try:
                return self._post(self._connection, body, due_at)
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
        self._connection = _Connection(self._host, self._port)
        return self._post(self._connection, body, due_at)

    def _post(self, connection: _Connection, body: bytes, due_at: float) -> tuple[int, Mapping[str, str], bytes]:
        try:
            connection.set_due(due_at)
            connection.request("POST", self._path, body, self._headers())
            response = connection.getresponse()
            reply = _read(response)
            if not response.isclosed():
                self.close()
            return response.status, dict(response.headers), reply
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Close this process's descriptor of the connection and touch nothing else of it.

        A thread that this process does not have may hold the lock of its buffer.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            abandoned.append(connection)
            if connection.sock is not None:
                os.close(connection.sock.detach())
