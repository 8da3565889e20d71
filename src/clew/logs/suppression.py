"""When a log call is not the program's: one of Clew's own threads made it, or a value that Clew renders did."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from collections.abc import Iterator

suppression: Final[ContextVar[bool]] = ContextVar("clew_logs_suppressed", default=False)
"""Whether log calls of this context reach neither handlers nor capture.

A context variable, so that it also holds for one greenlet of a thread."""


@contextmanager
def suppressed() -> Iterator[None]:
    """Keep what this thread, task or greenlet logs away from handlers and from capture."""
    token = suppression.set(True)
    try:
        yield
    finally:
        suppression.reset(token)


SUPPRESS_KEY: Final = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
"""What is true in the context of telemetry's own work, such as that of upstream's exporters."""
