"""Fixtures of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from serving import EchoServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def echo_url() -> Iterator[str]:
    """Run the second server and return its URL."""
    server = EchoServer()
    yield server.url
    server.close()
