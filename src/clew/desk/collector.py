"""The shipped Collector configuration: which files an overlay means, what they merge to, what runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clew.errors import DeliveryError, FormatError, MissingExtraError, OptionError, SettingsError
from clew.files.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE: Final = "base"
OVERLAYS: Final[dict[str, str]] = {
    "files": "rotated OTLP-JSON files, which `clew` reads",
    "jaeger": "traces to Jaeger",
    "grafana": "traces to Tempo, logs to Loki, metrics to Prometheus",
    "agent": "everything to the gateways, each trace whole to one of them",
    "gateway": "request metrics of all traces, then tail sampling; with a destination",
    "stdout-logs": "reads JSON lines that programs print; with a destination",
    "redaction": "masks secrets in every pipeline",
    "auth": "receivers ask for the token in OTELCOL_TOKEN",
}
"""Each overlay that ships, and what it adds."""

DESTINATIONS: Final = frozenset({"files", "jaeger", "grafana", "agent"})
"""Overlays that take telemetry somewhere; without one the Collector would have nothing to do."""

PROGRAMS: Final = ("clew-otelcol", "otelcol-contrib", "otelcol")
"""Names of a Collector on the path, in the order they are tried."""

VERSION: Final = "0.159.0"
IMAGE: Final = f"otel/opentelemetry-collector-contrib:{VERSION}"
"""The image of the version that the files are tested with."""

_REASON_CHARACTERS: Final = 600
_DOCKER_FAILED: Final = 125
"""The status of `docker run` where Docker itself failed, not what it runs."""
_MOUNT: Final = "/etc/clew-collector"
_PORTS: Final = {"OTELCOL_GRPC_PORT": "4317", "OTELCOL_HTTP_PORT": "4318", "OTELCOL_HEALTH_PORT": "13133"}
_OURS: Final = ("OTELCOL_", "JAEGER_", "TEMPO_", "LOKI_", "PROMETHEUS_")


@dataclass(frozen=True)
class Program:
    """What runs a Collector: a binary, or Docker with the official image."""

    path: str
    in_docker: bool = False


def config_folder() -> Path:
    """Return the folder of the shipped files: inside the wheel, or the tree's own in an editable install.

    Raises:
        SettingsError: If this installation has neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "collector_config", package.parents[1] / "collector-config"):
        if (folder / f"{BASE}.yaml").is_file():
            return folder
    raise SettingsError(f"no Collector configuration beside {str(package)!r}; install clew-opentelemetry again")


def config_files(overlays: Sequence[str], extra: Sequence[Path] = ()) -> list[Path]:
    """Return the files to load, in order: the base, the overlays, the user's own.

    Raises:
        OptionError: If an overlay does not exist, or nothing says where telemetry goes.
    """
    unknown = [name for name in overlays if name not in OVERLAYS]
    if unknown:
        raise OptionError(f"no overlay {unknown[0]!r}; there are {', '.join(OVERLAYS)}")
    if not DESTINATIONS.intersection(overlays) and not extra:
        raise OptionError(
            f"no destination among {', '.join(overlays) or 'none'}; add {' or '.join(sorted(DESTINATIONS))}"
        )
    folder = config_folder()
    return [folder / f"{name}.yaml" for name in (BASE, *dict.fromkeys(overlays))] + [path.absolute() for path in extra]


def merge(documents: Sequence[Any]) -> Any:
    """Merge parsed files as the Collector does: maps by key, all else, lists and null too, is replaced by the last."""
    merged: Any = {}
    for document in documents:
        merged = _merge_two(merged, document)
    return merged


def _merge_two(first: Any, second: Any) -> Any:
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return {**first, **{key: _merge_two(first.get(key), value) for key, value in second.items()}}


def merged_text(files: Sequence[Path]) -> str:
    """Return the files merged into one, as YAML; `${env:...}` stays as it is, for the Collector to resolve.

    Raises:
        MissingExtraError: If PyYAML is not installed.
        FormatError: If a file is no YAML.
    """
    try:
        import yaml  # noqa: PLC0415 - an extra, and only this needs it
    except ImportError:
        raise MissingExtraError("merging needs PyYAML: pip install 'clew-opentelemetry[collector]'") from None
    documents = [_parse(path, yaml) for path in files]
    dumper = type("PlainDumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    text: str = yaml.dump(merge(documents), Dumper=dumper, sort_keys=False, width=120)
    return text


def _parse(path: Path, yaml: Any) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise FormatError(f"{str(path)!r} is no YAML: {' '.join(str(error).split())}") from None


def find_program(named: str, search_path: str | None) -> Program:
    """Return the Collector to run: the one named, else one on the path, else Docker with the official image.

    Args:
        named: A path or a name, or empty.
        search_path: The folders to look in, as in PATH; None means the system's.

    Raises:
        SettingsError: If there is none.
    """
    if named:
        path = shutil.which(named, path=search_path)
        if path is None:
            raise SettingsError(f"CLEW_OTELCOL is {named!r}, which is no program")
        return Program(path)
    for name in PROGRAMS:
        if path := shutil.which(name, path=search_path):
            return Program(path)
    if docker := shutil.which("docker", path=search_path):
        return Program(docker, in_docker=True)
    raise SettingsError(f"no Collector: set CLEW_OTELCOL, put {' or '.join(PROGRAMS)} on the path, or install Docker")


def environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the Collector's environment: the caller's, files and queues in Clew's folder unless it says otherwise."""
    places = {"OTELCOL_FILES_DIR": str(folder / "collector"), "OTELCOL_STATE_DIR": str(folder / "collector-state")}
    return {**environ, **{name: environ.get(name) or place for name, place in places.items()}}


def command_line(
    program: Program, action: Sequence[str], files: Sequence[Path], environ: Mapping[str, str]
) -> list[str]:
    """Return the command that makes `program` do `action` (none: run) with `files`."""
    if not program.in_docker:
        return [program.path, *action, *(f"--config={path}" for path in files)]
    inside = [f"{_MOUNT}/{number}-{path.name}" for number, path in enumerate(files)]
    mounts = [f"--volume={path}:{target}:ro" for path, target in zip(files, inside, strict=True)]
    options = [*mounts, *_docker_options(environ)]
    return [program.path, "run", "--rm", *options, IMAGE, *action, *(f"--config={path}" for path in inside)]


def _docker_options(environ: Mapping[str, str]) -> list[str]:
    """Return what lets a container stand in for a program: user, folders, ports on loopback, variables."""
    folders = [environ["OTELCOL_FILES_DIR"], environ["OTELCOL_STATE_DIR"]]
    ports = [environ.get(name, default) for name, default in _PORTS.items()]
    passed = [name for name in environ if name.startswith(_OURS) and name != "OTELCOL_BIND"]
    return [
        f"--user={os.getuid()}:{os.getgid()}",
        "--env=OTELCOL_BIND=0.0.0.0",
        *(f"--env={name}" for name in passed),
        *(f"--volume={folder}:{folder}" for folder in folders),
        *(f"--publish=127.0.0.1:{port}:{port}" for port in ports),
    ]


def validate(program: Program, files: Sequence[Path], environ: Mapping[str, str]) -> None:
    """Have a real Collector check the files; nothing is started and no port opened.

    Raises:
        FormatError: If it refuses them, with its own words.
        DeliveryError: If the program itself, or Docker, does not run.
    """
    command = command_line(program, ["validate"], files, environ)
    try:
        done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)  # noqa: S603 - the user's Collector
    except OSError as error:
        raise DeliveryError(f"couldn't run {program.path!r}: {error.strerror}") from None
    if program.in_docker and done.returncode == _DOCKER_FAILED:
        raise DeliveryError(f"couldn't run the Collector in Docker: {_reason(done.stderr)}")
    if done.returncode:
        raise FormatError(f"the Collector refuses the configuration: {_reason(done.stderr)}")


def _reason(stderr: str) -> str:
    """Return what a Collector said of its configuration, on one line, without its log and the usage that may follow."""
    _, _, told = f"\n{stderr}".partition("\nError: ")
    told, _, _ = (told or stderr).partition("\nUsage")
    return " ".join(told.split())[:_REASON_CHARACTERS] or "it gave no reason"


def run(program: Program, files: Sequence[Path], environ: Mapping[str, str]) -> None:
    """Become the Collector: this process is replaced, so signals and the exit status are its own.

    Raises:
        DeliveryError: If the program does not run.
    """
    for name in ("OTELCOL_FILES_DIR", "OTELCOL_STATE_DIR"):
        make_folder(Path(environ[name]))
    command = command_line(program, [], files, environ)
    try:
        os.execve(command[0], command, dict(environ))  # noqa: S606 - the user's Collector
    except OSError as error:
        raise DeliveryError(f"couldn't run {program.path!r}: {error.strerror}") from None
