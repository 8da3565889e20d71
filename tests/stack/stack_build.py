"""Build the real programs that the stack tests run, with Go, once, into a cache outside the tree.

    python tests/stack/stack_build.py [otelcol|prometheus|jaeger|loki|compose ...]

Each binary lies under a folder named after a hash of its recipe, so a changed recipe builds again and an unchanged one
never does. Modules come through the ordinary Go proxy with checksum verification on. One build at a time: two would not
fit the memory of a small machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = Path(__file__).parents[2] / "collector-config" / "builder.yaml"
BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.159.0"


@dataclass(frozen=True)
class Server:
    """A server as a Go module: what to fetch, what to compile, and where its own go.mod must be bent."""

    name: str
    module: str
    version: str
    package: str
    tags: str = ""
    replaces: dict[str, str] = field(default_factory=dict)


SERVERS = (
    Server(
        "prometheus",
        "github.com/prometheus/prometheus",
        "v0.314.0",
        "github.com/prometheus/prometheus/cmd/prometheus",
        tags="netgo,remove_all_sd",
        replaces={"cloud.google.com/go": "cloud.google.com/go@v0.123.0"},
    ),
    Server(
        "jaeger",
        "github.com/jaegertracing/jaeger",
        "v1.65.0",
        "github.com/jaegertracing/jaeger/cmd/jaeger",
        replaces={"github.com/Shopify/sarama": "github.com/Shopify/sarama@v1.33.0"},
    ),
    Server(
        "loki",
        "github.com/grafana/loki/v3",
        "v3.7.8",
        "github.com/grafana/loki/v3/cmd/loki",
        replaces={
            "github.com/grafana/loki/pkg/push": "github.com/grafana/loki/pkg/push@v0.0.0-20250630054201-94c0ba7b0952"
        },
    ),
    Server("compose", "github.com/docker/compose/v5", "v5.5.0", "github.com/docker/compose/v5/cmd"),
)
NAMES = ("otelcol", *(server.name for server in SERVERS))


def cache_folder() -> Path:
    """Return where binaries are kept: `$XDG_CACHE_HOME/clew-stack`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew-stack"


def binary_path(name: str) -> Path:
    """Return where the binary of `name` is, or will be, by its recipe."""
    recipe = BUILDER + MANIFEST.read_text(encoding="utf-8") if name == "otelcol" else repr(_server(name))
    return cache_folder() / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}" / name


def build(name: str) -> Path:
    """Return the binary of `name`, built first if the cache has none.

    Raises:
        subprocess.CalledProcessError: If Go refuses; its own words are on stderr.
    """
    target = binary_path(name)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        print(f"building {name} into {target.parent}", flush=True)  # noqa: T201 - a build says what it does
        made = _build_collector(Path(folder)) if name == "otelcol" else _build_server(_server(name), Path(folder))
        made.replace(target)
    return target


def _server(name: str) -> Server:
    return next(server for server in SERVERS if server.name == name)


def _build_collector(folder: Path) -> Path:
    _go(folder, "install", BUILDER, GOBIN=str(folder))
    command = [str(folder / "builder"), "--config", str(MANIFEST)]
    subprocess.run(_gently(command), cwd=folder, env=_environment(), check=True)
    return folder / "clew-otelcol" / "clew-otelcol"


def _build_server(server: Server, folder: Path) -> Path:
    (folder / "go.mod").write_text(_tools_module(server, folder), encoding="utf-8")
    _go(folder, "list", "-mod=mod", "-deps", server.package, quiet=True)
    output = folder / server.name
    tags = ["-tags", server.tags] if server.tags else []
    _go(folder, "build", "-mod=mod", "-trimpath", *tags, "-ldflags", "-s -w", "-o", str(output), server.package)
    return output


def _tools_module(server: Server, folder: Path) -> str:
    """Return a go.mod that requires the server and repeats what counts in a main module only: excludes and replaces."""
    (folder / "go.mod").write_text("module clew.example/download\n", encoding="utf-8")
    fetched = json.loads(_go(folder, "mod", "download", "-json", f"{server.module}@{server.version}", quiet=True))
    upstream = json.loads(_go(folder, "mod", "edit", "-json", fetched["GoMod"], quiet=True))
    replaces = {
        item["Old"]["Path"]: _replacement(item["New"]) for item in upstream.get("Replace") or ()
    } | server.replaces
    lines = ["module clew.example/stack", f"go {upstream['Go']}", f"require {server.module} {server.version}"]
    lines += [f"exclude {item['Path']} {item['Version']}" for item in upstream.get("Exclude") or ()]
    lines += [f"replace {old} => {new.replace('@', ' ')}" for old, new in replaces.items()]
    return "\n".join([*lines, f"tool {server.package}"]) + "\n"


def _replacement(new: dict[str, str]) -> str:
    return f"{new['Path']}@{new['Version']}" if "Version" in new else new["Path"]


def _go(folder: Path, *arguments: str, quiet: bool = False, **environment: str) -> str:
    done = subprocess.run(
        _gently(["go", *arguments]),
        cwd=folder,
        env=_environment() | environment,
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=True,
    )
    return done.stdout or ""


def _gently(command: list[str]) -> list[str]:
    return ["nice", "-n", "19", *command] if shutil.which("nice") else command


def _environment() -> dict[str, str]:
    flags = f"{os.environ.get('GOFLAGS', '')} -p=1".strip()
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": flags, "GOTOOLCHAIN": "local"}


def main() -> int:
    """Build what the command line names, or all, holding a lock so that two runs never build at once."""
    names = sys.argv[1:] or NAMES
    if shutil.which("go") is None:
        print("no Go on this machine to build servers with: the stack tests will skip")  # noqa: T201 - it is a command
        return 0
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names:
            print(build(name), flush=True)  # noqa: T201 - it is a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
