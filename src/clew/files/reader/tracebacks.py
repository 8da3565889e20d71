"""Python tracebacks inside log text: where one begins, what it says was raised."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

_START: Final = re.compile(r"^(?:  \+ Exception Group )?Traceback \(most recent call last\):\s*$", re.MULTILINE)
_RAISED: Final = re.compile(r"^(?:  [|+] )?([A-Za-z_][\w.<>]*)(?:: (.*))?$")
_CAUSE: Final = "The above exception was the direct cause of the following exception:"
_CONTEXT: Final = "During handling of the above exception, another exception occurred:"
_CHAINED: Final = (_CAUSE.partition(" of ")[0], _CONTEXT.partition(",")[0])
HEADER: Final = "Traceback (most recent call last):"
"""The line that a traceback begins with."""


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


def of_stacks(stacks: list[Any]) -> str:
    """Write the exceptions of structlog's `dict_tracebacks`, the last one first, as Python prints them."""
    text = ""
    for stack in reversed([stack for stack in stacks if isinstance(stack, dict)]):
        frames = stack.get("frames")
        lines = [_frame(frame) for frame in frames if isinstance(frame, dict)] if isinstance(frames, list) else []
        text += f"{HEADER}\n{''.join(lines)}{stack.get('exc_type', '')}: {stack.get('exc_value', '')}\n"
        if stack is not stacks[0]:
            text += f"\n{_CAUSE if stack.get('is_cause') else _CONTEXT}\n\n"
    return text


def _frame(frame: dict[str, Any]) -> str:
    head = f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}\n'
    return f"{head}    {frame['line']}\n" if frame.get("line") else head


class TracebackLines:
    """Follows a traceback each line of which has a head of its own, as in syslog, Apache's and OpenStack's logs."""

    def __init__(self) -> None:
        self._is_inside = self._is_told = False

    @property
    def is_under_way(self) -> bool:
        """Whether the next line may be part of a traceback."""
        return self._is_inside or self._is_told

    def begin(self, message: str) -> None:
        """Take the first line of a record; a traceback may begin with it."""
        self._is_inside, self._is_told = message.rstrip() == HEADER, False

    def goes_on(self, message: str, *, is_same_moment: bool) -> bool:
        """Tell whether a line that its writer wrote next is part of the record's traceback, or begins one.

        Args:
            message: The line without its head.
            is_same_moment: Whether its head says the same fraction of a second: what was raised may have more lines.
        """
        if message.rstrip() == HEADER:
            self._is_inside, self._is_told = True, False
        elif self._is_inside:
            is_raised = message[:1].strip() != "" and not message.startswith("|")
            if is_raised and _RAISED.match(message) is None:
                self._is_inside = False
                return False
            self._is_inside, self._is_told = not is_raised, is_raised
        elif self._is_told:
            self._is_told = not message.strip() or message.startswith(_CHAINED) or is_same_moment
        return self.is_under_way


def _raised(stacktrace: str) -> tuple[str, str]:
    """Return type and message of the last exception: the first line after the last frame that is not indented."""
    lines = stacktrace.splitlines()
    frames = [number for number, line in enumerate(lines) if line.lstrip(" |+").startswith(('File "', "Traceback ("))]
    for number in range(frames[-1] + 1 if frames else 1, len(lines)):
        match = _RAISED.match(lines[number])
        if match:
            return match[1], "\n".join([match[2] or "", *lines[number + 1 :]]).rstrip()
    return "", ""
