"""Python tracebacks inside log text: where one begins, what it says was raised."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_START: Final = re.compile(r"^(?:  \+ Exception Group )?Traceback \(most recent call last\):\s*$", re.MULTILINE)
_RAISED: Final = re.compile(r"^(?:  [|+] )?([A-Za-z_][\w.<>]*)(?:: (.*))?$")
_CHAINED: Final = ("The above exception was the direct cause", "During handling of the above exception")


class Traceback(NamedTuple):
    """What a traceback's text says: the last exception of the chain and the whole text."""

    type: str
    message: str
    stacktrace: str


def split_traceback(text: str) -> tuple[str, Traceback | None]:
    """Split log text into what stands before the first traceback, and that traceback to its end."""
    start = _START.search(text)
    if start is None:
        return text, None
    stacktrace = text[start.start() :]
    kind, message = _raised(stacktrace)
    return text[: start.start()].rstrip("\n"), Traceback(kind, message, stacktrace)


def looks_continued(line: str) -> bool:
    """Whether a line can only belong to the line before it: indented, or a part of a traceback."""
    return line[:1].isspace() or line.startswith(("Traceback (", *_CHAINED))


def _raised(stacktrace: str) -> tuple[str, str]:
    """Return type and message of the last exception: the first line after the last frame that is not indented."""
    lines = stacktrace.splitlines()
    frames = [number for number, line in enumerate(lines) if line.lstrip(" |+").startswith(('File "', "Traceback ("))]
    for number in range(frames[-1] + 1, len(lines)):
        match = _RAISED.match(lines[number])
        if match:
            return match[1], "\n".join([match[2] or "", *lines[number + 1 :]]).rstrip()
    return "", ""
