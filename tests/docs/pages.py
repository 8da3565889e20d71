"""Executable pages: what a Markdown page tells its reader to write and to type, and a shell that does it.

A `python`, `text` or `ini` block whose first line is a comment with a file's name is that file.
A `console` block holds commands after `$ `, each followed by what it prints; a line `...` stands for any lines.
A command without output shown may print anything; its exit status has to be 0.
Port 8000 becomes a free one, `pip` and `make` only check that what is asked for is there; `make demo` runs the demo.
"""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from programs import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(?P<kind>[\w-]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (?P<name>[\w./-]+\.\w+)\n")
_MARK = "<<clew page: "

_VALUES: Final = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:?\d\d)?", "TIME"),
    (r"\d\d/\w{3}/\d{4}[: ]\d\d:\d\d:\d\d( [+-]\d{4})?", "TIME"),
    (r"\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f…]+", "UUID"),
    (r"\b[0-9a-f]{32}\b", "TRACE_ID"),
    (r"\b[0-9a-f]{16}\b", "SPAN_ID"),
    (r"order-[0-9a-f]{4}-", "order-"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\+?\d+(\.\d+)? (ns|µs|ms|s|min)\b", "DURATION"),
    (r"\(\d+ files, \d+(\.\d+)? kB\)", "SIZE"),
    (r"Python-urllib/[\d.]+", "CLIENT"),
    (r"[━╸╺ ]+", " "),
)
"""What differs from run to run, and the word that stands for it when outputs are compared."""

_SHELL = r"""
pip() { python "$REQUIREMENTS" "$@"; }
make() {
  command make --no-print-directory -n -C "$ROOT" "$@" >/dev/null || return
  if [ "$1" = demo ]; then clew demo; fi
}
serving() {
  for _ in $(seq 300); do
    (: </dev/tcp/127.0.0.1/"$PORT") 2>/dev/null && return
    command sleep 0.1
  done
}
sleep() {  # what a reader waits for may take longer on a busy machine
  command sleep "$@"
  for _ in $(seq 600); do grep -qs ' succeeded in ' background-*.txt && return; command sleep 0.1; done
}
kill() {  # some servers log a request only when it has been answered
  for _ in $(seq 50); do grep -qsE 'HTTP/1.1"| succeeded in ' background-*.txt && break; command sleep 0.1; done
  builtin kill "$@"
}
"""


class Command(NamedTuple):
    """A command, and the output that the page shows for it."""

    text: str
    output: str


class Outcome(NamedTuple):
    """What a command did."""

    text: str
    status: int
    output: str


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each fenced block."""
    for match in _BLOCK.finditer(text):
        yield match["kind"], match["text"]


def files(text: str) -> dict[str, str]:
    """Return the files that a page tells its reader to write, by name."""
    found = ((_FILE_NAME.match(body), body) for kind, body in blocks(text) if kind != "console")
    return {match["name"]: body for match, body in found if match}


def commands(text: str) -> list[Command]:
    """Return the commands of a page in order."""
    typed = "\n".join(body for kind, body in blocks(text) if kind == "console")
    parts = re.split(r"^\$ ", typed, flags=re.MULTILINE)[1:]
    return [Command(_continued(part)[0], _continued(part)[1]) for part in parts]


def _continued(part: str) -> tuple[str, str]:
    lines = part.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.endswith("\\")), len(lines) - 1) + 1
    return "\n".join(lines[:end]), "\n".join(lines[end:])


def run(text: str, folder: Path) -> list[Outcome]:
    """Write the page's files to `folder`, run its commands in one shell there, and return what they did."""
    place = _reserve()
    port = str(place.getsockname()[1])
    for name, body in files(text).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body.replace("8000", port))
    typed = [command.text.replace("8000", port) for command in commands(text)]
    environ = {
        **clean_environment(folder),
        "PORT": port,
        "ROOT": str(ROOT),
        "REQUIREMENTS": str(Path(__file__).with_name("requirements.py")),
        "COLUMNS": "110",
        "CLEW_SHUTDOWN_TIMEOUT": "20",
    }
    script = "\n".join([_SHELL, *(_step(number, command) for number, command in enumerate(typed)), _end()])
    with (
        place,
        subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environ,
        ) as shell,
    ):
        printed, _ = shell.communicate(script, timeout=200)
    return _outcomes(typed, printed)


def _step(number: int, command: str) -> str:
    background = command.rstrip().endswith("&")
    served = background and "celery" not in command
    redirected = re.sub(r"&\s*$", f"> background-{number}.txt 2>&1 &", command) if background else command
    return f"{redirected}\nstatus=$?\n{'serving' if served else ''}\nprintf '\\n{_MARK}%s\\n' $status"


def _end() -> str:
    return 'left=$(jobs -p); [ -z "$left" ] || kill $left\nwait 2>/dev/null'


def _outcomes(typed: list[str], printed: str) -> list[Outcome]:
    output, *rest = printed.split(_MARK)
    found = []
    for command, part in zip(typed, rest, strict=False):
        status, _, following = part.partition("\n")
        found.append(Outcome(command, int(status), output))
        output = following
    return found


def normalised(output: str) -> list[str]:
    """Return the lines of an output with words in the place of what differs from run to run, empty lines left out."""
    for pattern, word in _VALUES:
        output = re.sub(pattern, word, output)
    return [line.strip() for line in output.splitlines() if line.strip()]


def shows(expected: str, actual: str) -> bool:
    """Tell whether an output is the one that a page shows, a line `...` standing for any lines."""
    lines = ["(?:.*\n)*" if line == "..." else f"{re.escape(line)}\n" for line in normalised(expected)]
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in normalised(actual))) is not None


def _reserve() -> socket.socket:
    """Bind without listening: the port stays ours until a page's server, which may share it, listens there."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return place
