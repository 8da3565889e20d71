"""Fixtures for all tests: no variable of the tester's reaches them, and an OTLP receiver."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver import Receiver


# How long an example takes is the machine's business, whatever else runs on it.
settings.register_profile("clew", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clew")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in its background ignores it, and so would each program that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "CLEW_")):
            monkeypatch.delenv(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run an OTLP receiver in threads of this process."""
    from receiver import Receiver  # noqa: PLC0415 - gRPC is slow to import and few tests need it

    with Receiver() as started:
        yield started


@pytest.fixture
def port() -> Iterator[int]:
    """Keep a free port: bound and never listening, so that nobody else is given it before the server listens."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]
