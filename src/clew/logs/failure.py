"""What a fingerprint is taken over: a failure's type, path, chain and members, and their canonical text."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

VERSION: Final = "clew.fingerprint/1"
"""First line of every canonical text; a change of the rules changes it, and with it every fingerprint."""


class Failure(NamedTuple):
    """An exception without its values.

    `frames` are `module:function`, outermost first; `link` says how `earlier` led to it: `cause`, `context` or empty.
    """

    type: str
    frames: tuple[str, ...]
    link: str = ""
    earlier: Failure | None = None
    members: tuple[Failure, ...] = ()


def render(failure: Failure) -> str:
    """Return the canonical text: one line for each fact, newest exception first."""
    return "\n".join([VERSION, *_lines(failure)]) + "\n"


def _lines(failure: Failure) -> list[str]:
    lines: list[str] = []
    at: Failure | None = failure
    while at is not None:
        lines.append(f"type {_one_line(at.type)}")
        lines.extend(f"frame {_one_line(frame)}" for frame in at.frames)
        # A set, since the members' order is the one in which tasks happened to end.
        lines.extend(sorted({f"member {fingerprint(member)}" for member in at.members}))
        if at.earlier is not None:
            lines.append(at.link)
        at = at.earlier
    return lines


def fingerprint(failure: Failure) -> str:
    """Return the first 16 bytes of the SHA-256 over the canonical text, as 32 hex digits."""
    return hashlib.sha256(render(failure).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _one_line(name: str) -> str:
    """Names are code's own and may hold anything, a line break included, which would forge a fact."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", "?", name)
