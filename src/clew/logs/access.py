"""The IDs of a request for what its server logs about it once the request's span is over.

Servers write the access line outside the application's context: gunicorn after the response, werkzeug and Django's
runserver while they send it, uvicorn after an application that failed. Some are known by their logger. Where a program
gives a server a logger of its own, the server's function that writes the line is known.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind

from clew import schema
from clew.correlation.origin import CurrentIds
from clew.correlation.patches import Patches, guarded
from clew.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

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

_ALL: Final = ACCESS_LOGGERS | ERROR_LOGGERS

FRESH_S: Final = 5.0
"""How long a request's IDs wait for its error lines once its span has ended; its access line may come at any time."""

_latest: ContextVar[tuple[CurrentIds, list[float]] | None] = ContextVar("clew_latest_request", default=None)
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
    """Remembers the server span that was last started in this thread or task."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember a server span's IDs; it is the request's until its access line is written."""
        del parent_context
        if span.kind is not SpanKind.SERVER:
            return
        context = span.get_span_context()
        attributes = span.attributes or {}
        correlation_id = attributes.get(schema.CORRELATION_ID)
        if context is not None:
            found = str(correlation_id) if correlation_id is not None else None
            remember(CurrentIds(context.trace_id, context.span_id, context.trace_flags, found))

    def on_end(self, span: ReadableSpan) -> None:
        """Start the time in which error lines still belong to the request."""
        latest = _latest.get()
        if latest is not None and span.context is not None and span.context.span_id == latest[0].span_id:
            latest[1][0] = time.monotonic()


def remember(ids: CurrentIds) -> None:
    """Make `ids` those of the request that this thread or task serves."""
    _latest.set((ids, [float("inf")]))


def recall(logger: object) -> CurrentIds | None:
    """Return the request's IDs for a record of a server's logger, made outside any span."""
    if type(logger) is not str or (logger not in _ALL and not _telling.get()):
        return None
    latest = _latest.get()
    if latest is None:
        return None
    ids, ended = latest
    if logger in ACCESS_LOGGERS:
        _latest.set(None)
        return ids
    return ids if _telling.get() or time.monotonic() - ended[0] < FRESH_S else None
