"""Guess `service.name` from how the program was started, for those who set none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

UNKNOWN: Final = "unknown_service"
"""The specification's own word for a service without a name (resource semantic conventions, `service.name`)."""

_SERVERS: Final = frozenset(
    {"gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve", "flask", "celery", "fastapi"}
)
_APP_OPTIONS: Final = frozenset({"-A", "--app", "--application"})
_PLAIN_NAMES: Final = frozenset({"__main__", "app", "application", "asgi", "main", "manage", "run", "server", "wsgi"})


def guess_service_name(command: list[str], folder: Path) -> str:
    """Guess the name from the command line, interpreter first, and the folder that it was started in.

    A server is named after the application that it loads, a module after its package, a script after its file; a name
    that says nothing, such as `main` or `wsgi`, gives way to the package or folder round it.
    """
    arguments = _without_interpreter(command)
    if not arguments:
        return UNKNOWN
    program = Path(arguments[0]).name
    if program in _SERVERS:
        named = _application(arguments[1:])
        return _clean(_from_module(named, folder) if named else folder.name)
    if arguments[0] == "-m":
        return guess_service_name(["python", *arguments[1:]], folder) if len(arguments) > 1 else UNKNOWN
    return _clean(_from_path(arguments[0], folder))


def _without_interpreter(command: list[str]) -> list[str]:
    """Drop the interpreter and its own options; `-m` stays, as what follows it is a module."""
    arguments = command[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-m":
        if arguments[0] == "-c":
            return []
        arguments = arguments[2 if arguments[0] in {"-W", "-X"} else 1 :]
    return arguments


def _application(arguments: list[str]) -> str | None:
    """Find the `package.module:attribute` or `-A module` that a server was told to load."""
    for index, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option in _APP_OPTIONS:
            return value or (arguments[index + 1] if index + 1 < len(arguments) else None)
    targets = [argument for argument in arguments if re.fullmatch(r"[\w./]+:[\w.()]+", argument)]
    return targets[0] if targets else None


def _from_module(target: str, folder: Path) -> str:
    """Name `package.module:attribute` after the last part that says something."""
    parts = [part for part in re.split(r"[./]", target.partition(":")[0].removesuffix(".py")) if part]
    telling = [part for part in parts if part not in _PLAIN_NAMES]
    return telling[-1] if telling else folder.name


def _from_path(path: str, folder: Path) -> str:
    """Name a script after its file, or after the folder round it."""
    script = Path(path)
    if "/" not in path and not path.endswith(".py"):
        return _from_module(path, folder)
    if script.stem not in _PLAIN_NAMES:
        return script.stem
    parent = (folder / script).resolve().parent
    return parent.name


def _clean(name: str) -> str:
    """Keep what every backend takes in a service's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or UNKNOWN
