"""A traceback as Python prints it, read back into types and call paths: chains and exception groups included."""

from __future__ import annotations

import re
from posixpath import commonpath, dirname
from typing import TYPE_CHECKING, Final, NamedTuple

from clew.logs import call_path
from clew.logs.call_path import Place
from clew.logs.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADERS: Final = frozenset(
    {"Traceback (most recent call last):", "Exception Group Traceback (most recent call last):"}
)
_FRAME = re.compile(r' +File "([^"\n]+)", line \d+, in (.+)')
_TYPE = re.compile(r"([^\W\d]\w*(?:\.(?:\w+|<locals>))*)(?::.*)?")
_LINKS: Final = {
    "The above exception was the direct cause of the following exception:": "cause",
    "During handling of the above exception, another exception occurred:": "context",
}
_FIRST_MEMBER = re.compile(r"( *)\+-\+-+ (?:\d+|\.\.\.) -+")
_NEXT_MEMBER = re.compile(r"( *)\+-+ (?:\d+|\.\.\.) -+")
_LAST_MEMBER = re.compile(r"( *)\+-{20,}")
_MARGIN = re.compile(r"( *)[|+](?: (.*))?")
_MAX_ROOTS: Final = 12


class _Line(NamedTuple):
    """A line without its margin: `level` counts the groups around it, `text` is None where a member begins or ends."""

    level: int
    text: str | None


class _Block:
    """One exception of the text."""

    def __init__(self, link: str = "", earlier: _Block | None = None) -> None:
        self.type = ""
        self.frames: list[tuple[str, str]] = []
        self.link = link
        self.earlier = earlier
        self.members: list[_Block] = []

    def walk(self) -> Iterator[_Block]:
        """Yield this block and every one that it hangs together with."""
        yield self
        for other in [*self.members, *([self.earlier] if self.earlier else [])]:
            yield from other.walk()


def readings(text: str) -> list[Failure]:
    """Return the first traceback of `text` as it reads from each root that its modules may have, likeliest first.

    Empty if there is no traceback.
    """
    lines = text.splitlines()
    start = next((index for index, line in enumerate(lines) if _margin_free(line) in _HEADERS), None)
    if start is None:
        return []
    lines = lines[_start_of_chain(lines, start) :]
    grouped = any("Exception Group Traceback" in line for line in lines)
    block = _read([_line(line) for line in lines] if grouped else [_Line(0, line) for line in lines], 0)
    if block is None:
        return []
    return list(dict.fromkeys(_failure(block, root) for root in _roots(block)))


def _margin_free(line: str) -> str:
    return line.strip(" |+")


def _start_of_chain(lines: list[str], header: int) -> int:
    """Return where the chain begins: before its first header if its first exception was never raised."""
    before = [index for index in range(header) if lines[index].strip()]
    if len(before) >= 2 and lines[before[-1]] in _LINKS:  # noqa: PLR2004 - a link and what it links from
        return before[-2]
    return header


def _line(line: str) -> _Line:
    """Read a line of a text that has groups: the outermost's margin is in column 2, each inner one's two further."""
    if first := _FIRST_MEMBER.fullmatch(line):
        return _Line(_level(first) + 1, None)
    if border := _NEXT_MEMBER.fullmatch(line) or _LAST_MEMBER.fullmatch(line):
        return _Line(_level(border), None)
    if margin := _MARGIN.fullmatch(line):
        return _Line(_level(margin), margin[2] or "")
    return _Line(0, line)


def _level(margin: re.Match[str]) -> int:
    return max(len(margin[1]) // 2 - 1, 0)


def _read(lines: list[_Line], level: int) -> _Block | None:
    """Read the chain of exceptions at `level`; the newest is returned."""
    block = _Block()
    for index, line in enumerate(lines):
        if line.level > level:
            _read_member(block, lines, index, level + 1)
        elif line.text in _LINKS:
            block = _Block(_LINKS[line.text], block)
        elif line.text in _HEADERS and block.type:
            break
        elif line.text is not None and not block.type:
            _read_line(block, line.text)
    return _last_typed(block)


def _read_line(block: _Block, text: str) -> None:
    if frame := _FRAME.fullmatch(text):
        block.frames.append((frame[1].replace("\\", "/"), frame[2]))
    elif text not in _HEADERS and (named := _TYPE.fullmatch(text)):
        block.type = named[1]


def _read_member(block: _Block, lines: list[_Line], index: int, level: int) -> None:
    """Read the member that begins at `index`, if one does."""
    if lines[index].level != level or lines[index].text is not None:
        return
    end = index + 1
    while end < len(lines) and lines[end].level >= level and lines[end] != (level, None):
        end += 1
    member = _read(lines[index + 1 : end], level)
    if member is not None:
        block.members.append(member)


def _last_typed(block: _Block | None) -> _Block | None:
    """Return the newest exception that was read whole: a text may be cut off."""
    while block is not None and not block.type:
        block = block.earlier
    return block


def _roots(block: _Block) -> list[str]:
    """Return the folders that the program's modules may be named from, likeliest first.

    A script's folder is one for certain; else all that is known is that it holds all the program's files.
    """
    blocks = list(block.walk())
    paths = [path for each in blocks for path, _ in each.frames if call_path.of_path(path) == ("program", "")]
    scripts = [dirname(each.frames[0][0]) for each in blocks if each.frames and each.frames[0][1] == "<module>"]
    roots = scripts[:1]
    try:
        root = commonpath([dirname(path) for path in paths if not path.startswith("<")])
    except ValueError:
        return roots or [""]
    while len(roots) < _MAX_ROOTS and root not in roots[-1:]:
        roots.append(root)
        root = dirname(root)
    return roots


def _failure(block: _Block, root: str) -> Failure:
    places = [_place(path, function, root) for path, function in block.frames[: call_path.MAX_FRAMES]]
    return Failure(
        block.type,
        tuple(call_path.call_path(places, recursion_error=block.type == "RecursionError")),
        block.link if block.earlier else "",
        None if block.earlier is None else _failure(block.earlier, root),
        tuple(_failure(member, root) for member in block.members),
    )


def _place(path: str, function: str, root: str) -> Place:
    kind, module = call_path.of_path(path)
    if module:
        return Place(kind, module, function)
    below = root.rstrip("/") + "/"
    if root and path.startswith(below):
        return Place(kind, call_path.dotted(path[len(below) :]), function)
    return Place(kind, call_path.file_stem(path), function)
