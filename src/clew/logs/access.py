"""The IDs of a request for what is logged about it outside its span's Context, mostly by its server afterwards.

Servers write the access line outside the application's context: gunicorn after the response, werkzeug and Django's
runserver while they send it, uvicorn after an application that failed. Some are known by their logger. Where a program
gives a server a logger of its own, the server's function that writes the line is known.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from clew.correlation.origin import NO_IDS, CurrentIds
from clew.correlation.patches import Patches, guarded
from clew.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

ACCESS_LOGGERS: Final = frozenset(
    {
        "aiohttp.access",
        "django.server",
        "gunicorn.access",
        "hypercorn.access",
        "tornado.access",
        "uvicorn.access",
        "werkzeug",
    }
)
"""Loggers that write one line for each request: the line takes the IDs, so that no later request's line can."""

ERROR_LOGGERS: Final = frozenset(
    {"aiohttp.server", "django.request", "gunicorn.error", "tornado.application", "tornado.general", "uvicorn.error"}
)
"""Loggers that may tell of a request before its access line."""

FRESH_S: Final = 5.0
"""How long a request's IDs wait for its error lines once its span has ended; its access line may come at any time."""


class _Request:
    """What is known of a request: its IDs, and whether its span is still open."""

    __slots__ = ("_span", "ended_s", "ids")

    def __init__(self, ids: CurrentIds, span: Span | None) -> None:
        self.ids = ids
        self.ended_s = float("inf")
        self._span = ref(span) if span is not None else None

    def is_open(self) -> bool:
        """Return whether the span is recorded and has not ended, in whatever thread or task it does."""
        span = self._span() if self._span is not None else None
        return span is not None and span.is_recording()


_latest: ContextVar[_Request | None] = ContextVar("clew_latest_request", default=None)
_telling: ContextVar[int] = ContextVar("clew_telling_of_request", default=0)
"""How many of the servers' functions that log about the request are running here, one inside the other."""

_patches: Final = Patches()


def install() -> None:
    """Know when a server logs about a request, whatever logger the program has given it. Idempotent."""
    when_imported("http.server", lambda module: _know(module.BaseHTTPRequestHandler, "log_request", _end_request))
    when_imported("tornado.web", lambda module: _know(module.RequestHandler, "_log", _end_telling))
    when_imported("tornado.web", lambda module: _know(module.RequestHandler, "_handle_request_exception", _end_telling))


def _know(owner: Any, function: str, end: Callable[..., None]) -> None:
    _patches.weave(owner, function, before=_begin_telling, after=end)


@guarded
def _begin_telling(*_: object) -> None:
    _telling.set(_telling.get() + 1)


@guarded
def _end_telling(*_: object) -> None:
    _telling.set(_telling.get() - 1)


@guarded
def _end_request(*_: object) -> None:
    """Forget the request: the next one of the same connection runs in this thread and may have no span."""
    _telling.set(_telling.get() - 1)
    _latest.set(None)


class AccessSpanProcessor(SpanProcessor):
    """Takes note of the end of the request that this thread or task serves."""

    takes_span = True
    """`on_end` may be given the ended span itself: `correlation.sdk_spans`."""

    def on_end(self, span: ReadableSpan) -> None:
        """Start the time in which error lines still belong to the request."""
        latest, context = _latest.get(), span.context
        if latest is not None and context is not None and context[1] == latest.ids[1]:
            latest.ended_s = time.monotonic()


def remember(ids: CurrentIds, span: Span | None = None) -> None:
    """Make `ids` those of the request that this thread or task serves until its access line is written.

    `span` is its own, where it is recorded.
    """
    _latest.set(_Request(ids, span))


def recall(logger: object, ids: CurrentIds = NO_IDS, level: object = logging.WARNING) -> CurrentIds | None:
    """Return the request's IDs for a record made outside any span: a server's, or the program's inside the request.

    The program's own code may have attached an empty Context on top of the request's, as Airflow does.

    Args:
        logger: The name of the record's logger.
        ids: What is current where the record was made: an ID that the program has bound stays, except on a line that a
            server writes.
        level: The record's level: what a server says below WARNING, of workers and signals, is of no request.
    """
    latest = _latest.get()
    if latest is None or type(logger) is not str:
        return None
    if logger in ACCESS_LOGGERS:
        _latest.set(None)
        return latest.ids
    is_bound = ids.correlation_id is not None and not ids.trace_id
    if _telling.get() or (latest.is_open() and not is_bound):
        return latest.ids
    if logger not in ERROR_LOGGERS or not isinstance(level, int) or level < logging.WARNING:
        return None
    return latest.ids if time.monotonic() - latest.ended_s < FRESH_S else None
