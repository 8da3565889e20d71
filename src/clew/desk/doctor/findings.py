"""What an examination finds: a fact, how bad it is, and its cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Level: TypeAlias = Literal["ok", "warning", "problem"]

MASK: Final = "********"
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    level: Level
    found: str
    cure: str = ""
    """What to do about it; empty where nothing is to be done."""


def ok(topic: str, found: str) -> Finding:
    """Find that something is as it should be."""
    return Finding(topic, "ok", found)


def warning(topic: str, found: str, cure: str) -> Finding:
    """Find something that costs telemetry, or may."""
    return Finding(topic, "warning", found, cure)


def problem(topic: str, found: str, cure: str) -> Finding:
    """Find something without whose cure telemetry does not arrive."""
    return Finding(topic, "problem", found, cure)


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide the user of a URL, and each of these secrets, in a text."""
    for secret in sorted((secret for secret in secrets if secret), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _USER_IN_URL.sub(f"{MASK}@", text)
