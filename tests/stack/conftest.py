"""Fixtures of the stack tests, which skip with the reason where `make test-stack` has not built the servers."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from stack_build import NAMES, binary_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otlp_backend import Backend
    from stack_servers import Collector, Jaeger, Loki

CI = os.environ.get("CI") == "true"


@pytest.fixture(autouse=True, scope="session")
def _servers_are_built() -> None:
    """Skip, or fail in CI, if a server is missing."""
    missing = [name for name in NAMES if not binary_path(name).exists()]
    if missing:
        how = "run `make test-stack`" if shutil.which("go") else "install Go and run `make test-stack`"
        reason = f"not built: {', '.join(missing)}; {how}"
        (pytest.fail if CI else pytest.skip)(reason)


@pytest.fixture
def make_collector(tmp_path: Path) -> Iterator[CollectorMaker]:
    """Return what makes Collectors, each in a folder of its own; what is still running is stopped."""
    maker = CollectorMaker(tmp_path)
    yield maker
    for collector in maker.made:
        collector.stop()


class CollectorMaker:
    """Makes Collectors of shipped overlays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Collector] = []

    def __call__(self, *overlays: str, extra: Sequence[dict[str, object]] = (), **variables: object) -> Collector:
        """Return a Collector, not yet started."""
        from stack_servers import Collector  # noqa: PLC0415 - needs PyYAML, which a skipped run may lack

        self.made.append(Collector(self.folder / f"otelcol-{len(self.made)}", overlays, extra=extra, **variables))
        return self.made[-1]


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """Run Jaeger for all tests."""
    from stack_servers import Jaeger  # noqa: PLC0415 - as above

    with Jaeger(tmp_path_factory.mktemp("jaeger")) as server:
        yield server


@pytest.fixture(scope="session")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """Run Loki for all tests."""
    from stack_servers import Loki  # noqa: PLC0415 - as above

    with Loki(tmp_path_factory.mktemp("loki")) as server:
        yield server


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Run an OTLP backend in threads of this process."""
    from otlp_backend import Backend  # noqa: PLC0415 - as above

    with Backend() as started:
        yield started
