"""JSON lines on the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.settings import Settings


def install(settings: Settings) -> None:
    """Make each line that logging writes to stdout or stderr one JSON object, where `CLEW_LOG_FORMAT` says so."""
    del settings
