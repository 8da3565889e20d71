"""Real servers on loopback: each in a temporary folder, with the shipped configuration, stopped by its process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from otlp_posts import get
from stack_build import binary_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

FOLDER = Path(__file__).parents[2] / "collector-config"


_given: set[int] = set()


def free_port() -> int:
    """Return a port of loopback that nothing listens on, and that was not returned before."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port: int = found.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def wait_until(holds: Callable[[], object], what: str, timeout_s: float = 30) -> None:
    """Wait until `holds()` is true.

    Raises:
        TimeoutError: If it does not become so.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{what} within {timeout_s} s")


class Server:
    """One server process; its output is in `folder`/output.txt."""

    def __init__(self, name: str, folder: Path, ready_url: str) -> None:
        self.name = name
        self.folder = folder
        self.ready_url = ready_url
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Return the command line after the program."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the variables that are set for the process."""
        return {}

    def program(self) -> list[str]:
        """Return the program; its binary was built by `make test-stack`."""
        return [str(binary_path(self.name))]

    def start(self, timeout_s: float = 60) -> Self:
        """Start the process and wait until it answers."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment()}
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [*self.program(), *self.command()],
                env=environ,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self.is_ready, f"{self.name} ready", timeout_s)
        except TimeoutError:
            self.stop()
            raise TimeoutError(f"{self.name} did not start:\n{self.output()[-3000:]}") from None
        return self

    def is_ready(self) -> bool:
        """Return whether the server answers.

        Raises:
            TimeoutError: If its process has ended.
        """
        if self.process is not None and self.process.poll() is not None:
            raise TimeoutError
        try:
            return get(self.ready_url, 2).status == 200
        except OSError:
            return False

    def output(self) -> str:
        """Return what the process printed."""
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")

    def pid(self) -> int:
        """Return the process's ID."""
        assert self.process is not None
        return self.process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for it."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Collector(Server):
    """A Collector with the shipped base and overlays; ports are its own, state and files are in its folder."""

    def __init__(
        self, folder: Path, overlays: Sequence[str], *, extra: Sequence[dict[str, Any]] = (), **variables: object
    ) -> None:
        names = ("GRPC", "HTTP", "HEALTH", "METRICS", "GATEWAY")
        self.ports = {name: free_port() for name in names}
        super().__init__("otelcol", folder, f"http://127.0.0.1:{self.ports['HEALTH']}")
        self.overlays = tuple(overlays)
        self.extra = tuple(extra)
        self.variables = {name: str(value) for name, value in variables.items()}
        self.url = f"http://127.0.0.1:{self.ports['HTTP']}"
        self.files = folder / "telemetry"

    def environment(self) -> dict[str, str]:
        """Return ports and folders of this Collector."""
        return {
            **{f"OTELCOL_{name}_PORT": str(port) for name, port in self.ports.items()},
            "OTELCOL_STATE_DIR": str(self.folder / "state"),
            "OTELCOL_FILES_DIR": str(self.files),
            **self.variables,
        }

    def command(self) -> list[str]:
        """Return one `--config` for each file, the test's own last."""
        files = [FOLDER / f"{name}.yaml" for name in ("base", *self.overlays)]
        for number, document in enumerate(self.extra):
            files.append(self.folder / f"extra-{number}.yaml")
            files[-1].write_text(yaml.safe_dump(document), encoding="utf-8")
        return [f"--config={path}" for path in files]

    def metrics(self) -> dict[str, float]:
        """Return the Collector's own metrics by name, summed over labels."""
        totals: dict[str, float] = {}
        for line in get(f"http://127.0.0.1:{self.ports['METRICS']}/metrics").body.splitlines():
            if match := re.match(r"(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", line):
                totals[match[1]] = totals.get(match[1], 0) + float(match[2])
        return totals

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Read what the file exporter wrote of one signal, oldest first, leaving out blank and torn lines."""
        rotated = sorted(self.files.glob(f"{name}-*.jsonl"))
        for path in [*rotated, self.files / f"{name}.jsonl"]:
            for line in path.read_bytes().splitlines() if path.exists() else ():
                with suppress(ValueError):
                    yield json.loads(line)

    def log_records(self) -> list[dict[str, Any]]:
        """Return every log record in the files."""
        return [
            record
            for line in self.lines("logs")
            for owner in line["resourceLogs"]
            for scope in owner["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def bodies(self) -> list[str]:
        """Return the body of every log record in the files."""
        return [record["body"]["stringValue"] for record in self.log_records()]

    def spans(self) -> list[dict[str, Any]]:
        """Return every span in the files."""
        return [
            made
            for line in self.lines("traces")
            for owner in line["resourceSpans"]
            for scope in owner["scopeSpans"]
            for made in scope["spans"]
        ]


class Prometheus(Server):
    """Prometheus with the shipped configuration and rules; it scrapes Collectors on these ports, every second."""

    def __init__(self, folder: Path, ports: Sequence[int] = ()) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__("prometheus", folder, f"{self.url}/-/ready")
        document = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
        document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        targets = [f"127.0.0.1:{one}" for one in ports]
        document["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
        document["scrape_configs"][1]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        (folder / "alerts.yml").write_bytes((FOLDER / "prometheus" / "alerts.yml").read_bytes())

    def command(self) -> list[str]:
        """Return the flags of docker-compose.yml, on loopback and in this folder."""
        return [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--web.enable-otlp-receiver",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage",
        ]


class Jaeger(Server):
    """Jaeger with the shipped configuration, storing in its folder."""

    def __init__(self, folder: Path) -> None:
        self.ports = {name: free_port() for name in ("QUERY", "QUERY_GRPC", "HEALTH", "OTLP")}
        super().__init__("jaeger", folder, f"http://127.0.0.1:{self.ports['HEALTH']}/status")
        self.url = f"http://127.0.0.1:{self.ports['QUERY']}"
        self.otlp_url = f"http://127.0.0.1:{self.ports['OTLP']}"

    def environment(self) -> dict[str, str]:
        """Return ports and folder; Jaeger traces itself unless told not to."""
        ports = {f"JAEGER_{name}_PORT": str(port) for name, port in self.ports.items()}
        return {**ports, "JAEGER_DATA_DIR": str(self.folder / "badger"), "OTEL_TRACES_SAMPLER": "always_off"}

    def command(self) -> list[str]:
        """Return the shipped configuration."""
        return [f"--config={FOLDER / 'jaeger' / 'jaeger.yaml'}"]


class Loki(Server):
    """Loki with the shipped configuration, its ports and folders replaced."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__("loki", folder, f"{self.url}/ready")
        text = (FOLDER / "loki" / "loki.yaml").read_text(encoding="utf-8").replace("/loki", str(folder / "data"))
        document = yaml.safe_load(text)
        ports = {"http_listen_port": port, "grpc_listen_port": free_port()}
        loopback = {"http_listen_address": "127.0.0.1", "grpc_listen_address": "127.0.0.1"}
        document["server"] |= ports | loopback
        (folder / "loki.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    def command(self) -> list[str]:
        """Return the configuration with this folder's paths."""
        return [f"-config.file={self.folder / 'loki.yaml'}"]


class Python(Server):
    """A Python program of a test's own, run by this interpreter."""

    def program(self) -> list[str]:
        """Return the interpreter."""
        return [sys.executable]
