"""Clew: one ID follows each request through every log line, span, error and latency metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.version import __version__

__all__ = ["__version__", "bind", "correlation_id", "timed"]

if TYPE_CHECKING:
    from clew.correlation.context import bind, correlation_id
    from clew.latency.instruments import timed


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing `clew` costs nothing in a process that only wraps."""
    if name in {"bind", "correlation_id"}:
        from clew.correlation import context  # noqa: PLC0415 - lazy on purpose

        return getattr(context, name)
    if name == "timed":
        from clew.latency.instruments import timed  # noqa: PLC0415 - lazy on purpose

        return timed
    raise AttributeError(f"module 'clew' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
