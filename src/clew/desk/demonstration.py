"""The services of `clew demo` as processes: started together, called, and stopped whatever happens."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Final

from clew.errors import MissingExtraError, StartError
from clew.files.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PACKAGES: Final = (
    "celery",
    "fastapi",
    "flask",
    "gunicorn",
    "opentelemetry-instrumentation-celery",
    "opentelemetry-instrumentation-fastapi",
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-requests",
    "requests",
    "uvicorn",
)
"""What the extra `demo` brings and the services need."""

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
"""After this a service that was asked to end is killed; delivery's own deadline is far below it."""

_POLL_S: Final = 0.05
_ANSWER_TIMEOUT_S: Final = 5
_KEPT: Final = "OTEL_EXPORTER_OTLP_"
"""Of the user's telemetry settings the demo keeps those that say how to reach a Collector."""


@dataclass
class Service:
    """One service: what it is, how it is started, and what it is once it runs."""

    name: str
    kind: str
    command: tuple[str, ...]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it answers, or empty for the worker."""
        return f"http://127.0.0.1:{self.port}" if self.port else ""


def check_packages(names: Sequence[str] = PACKAGES) -> None:
    """Check that what the services need is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        raise MissingExtraError(f"the demo needs {', '.join(missing)}: pip install 'clew-opentelemetry[demo]'")


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def answers(endpoint: str) -> bool:
    """Return whether a Collector takes OTLP at `endpoint`: over HTTP it must accept an empty request."""
    host, _, port = endpoint.partition("://")[2].partition("/")[0].partition(":")
    if port == "4317":
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=_ANSWER_TIMEOUT_S):
            return True
        return False
    try:
        request = urllib.request.Request(  # noqa: S310 - the user's own endpoint; http and https are what OTLP has
            f"{endpoint.rstrip('/')}/v1/traces", b"", {"Content-Type": "application/x-protobuf"}
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S) as response:  # noqa: S310 - likewise
            return int(response.status) == http.HTTPStatus.OK
    except (OSError, ValueError, http.client.HTTPException):
        return False


class Demonstration:
    """Runs the services in a folder; leaving the `with` stops every process that it started.

    Telemetry goes to `folder`/telemetry and, if `endpoint` is given, to that Collector as well. Console output
    goes to `folder`/console.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], endpoint: str = "") -> None:
        """Prepare; nothing runs yet.

        Args:
            folder: Where everything is written.
            environ: The caller's environment.
            endpoint: An OTLP endpoint that answers, or empty for files only.
        """
        self.folder = folder
        self._environ = _environment(folder, environ, endpoint)
        # `opentelemetry-instrument` looks for the program on the path too, so both come from this installation.
        self._instrument = shutil.which("opentelemetry-instrument", path=self._environ["PATH"]) or ""
        stock, shop = _free_ports(2)
        self._environ["STOCK_URL"] = f"http://127.0.0.1:{stock}"
        self.services = {
            "stock": Service(
                "stock", "FastAPI on uvicorn", ("uvicorn", "clew.demo.stock:app", "--port", str(stock)), stock
            ),
            "shop": Service("shop", "Flask behind gunicorn", _shop_command(shop), shop),
            "mail": Service("mail", "Celery worker", _MAIL_COMMAND),
        }

    def __enter__(self) -> Demonstration:  # noqa: PYI034 - `Self` needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, ready: Callable[[Service, float], None]) -> None:
        """Start all services and wait until each is there; `ready` is told, with the seconds that it took.

        Raises:
            StartError: If one ends, or is not there in time.
        """
        for name in ("console", "telemetry", "queue/control"):
            make_folder(self.folder / name)
        began = time.monotonic()
        for service in self.services.values():
            service.process = self._spawn(service)
        waiting = list(self.services.values())
        while waiting:
            for service in tuple(waiting):
                if self._is_ready(service):
                    waiting.remove(service)
                    ready(service, time.monotonic() - began)
            if time.monotonic() - began > START_TIMEOUT_S:
                raise StartError(
                    f"{waiting[0].name} did not start in {START_TIMEOUT_S:.0f} s{self._last_words(waiting[0])}"
                )
            time.sleep(_POLL_S)

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        with self._console(service).open("wb") as console:
            return subprocess.Popen(  # noqa: S603 - commands of ours
                [self._instrument, *service.command],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches only us, and `stop` reaches gunicorn's workers too.
                start_new_session=True,
            )

    def _is_ready(self, service: Service) -> bool:
        process = service.process
        if process is not None and process.poll() is not None:
            raise StartError(f"{service.name} ended with status {process.returncode}{self._last_words(service)}")
        if not service.port:
            return b" ready." in self._console(service).read_bytes()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", service.port), timeout=1):
            return True
        return False

    def _console(self, service: Service) -> Path:
        return self.folder / "console" / f"{service.name}.txt"

    def _last_words(self, service: Service) -> str:
        lines = self._console(service).read_text(errors="replace").strip().splitlines()
        return f": {lines[-1]}; see {self._console(service)}" if lines else ""

    def order(self, item: str, correlation_id: str) -> int:
        """Order an item from the shop and return the HTTP status."""
        request = urllib.request.Request(  # noqa: S310 - our own service on loopback
            f"{self.services['shop'].url}/orders/{item}", method="POST", headers={"X-Correlation-ID": correlation_id}
        )
        try:
            with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as response:  # noqa: S310 - likewise
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def finish_mail(self) -> None:
        """Wait until the worker has taken every message from the queue."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any((self.folder / "queue").glob("*.msg")) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask each process to end, then kill what is left of its group; safe to call again."""
        running = [service.process for service in self.services.values() if service.process is not None]
        try:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            deadline = time.monotonic() + STOP_TIMEOUT_S
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            for process in running:
                _kill_group(process)
            for service in self.services.values():
                service.process = None


_MAIL_COMMAND: Final = (
    "celery",
    "-A",
    "clew.demo.mail",
    "worker",
    "--loglevel=INFO",
    "--pool=solo",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
)


def _shop_command(port: int) -> tuple[str, ...]:
    return (
        "gunicorn",
        "clew.demo.shop:app",
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        "2",
        "--preload",
        "--access-logfile",
        "-",
    )


def _environment(folder: Path, environ: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """Return the services' environment: the caller's, without settings that would make the demo another one."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("OTEL_", "CLEW_")) or (name.startswith(_KEPT) and endpoint)
    }
    scripts = sysconfig.get_path("scripts")
    own = {
        "PATH": os.pathsep.join([scripts, environ.get("PATH", os.defpath)]),
        "CLEW_DIR": str(folder / "telemetry"),
        "QUEUE_FOLDER": str(folder / "queue"),
        "PYTHONUNBUFFERED": "1",
    }
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **_BOTH} if endpoint else {"CLEW_MODE": "file"}
    return {**kept, **own, **where}


_BOTH: Final = {f"OTEL_{signal}_EXPORTER": "otlp,clew_file" for signal in ("TRACES", "METRICS", "LOGS")}
"""With a Collector the files are kept as well, since the timeline is drawn from them."""


def _free_ports(count: int) -> list[int]:
    """Return different ports of loopback: none is let go before all are found."""
    with contextlib.ExitStack() as places:
        found = [places.enter_context(socket.socket()) for _ in range(count)]
        for place in found:
            place.bind(("127.0.0.1", 0))
        return [place.getsockname()[1] for place in found]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a group that we made, such as workers that outlived their leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
