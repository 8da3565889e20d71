"""An event of another logging library as a `LogEntry`."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from clew import schema
from clew.correlation.context import current_ids, is_outside
from clew.entry import LogEntry
from clew.logs import access
from clew.logs.record import describe_exception, severity_number
from clew.logs.values import Sanitizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clew.entry import Attributes

LEVELS: Final[Mapping[str, int]] = {
    "trace": 5,
    "debug": 10,
    "info": 20,
    "success": 25,
    "warn": 30,
    "warning": 30,
    "err": 40,
    "error": 40,
    "exception": 40,
    "fatal": 50,
    "critical": 50,
}
"""The levels of `logging` by the names of methods that log at them."""


def make_entry(
    *,
    scope: str,
    level: int,
    level_name: str,
    body: object,
    attributes: Mapping[Any, Any],
    code: tuple[str, str, int] | None,
    error: BaseException | None,
    time_ns: int | None = None,
) -> LogEntry:
    """Return the entry of an event that is being logged here and now; never raises what its values raise."""
    sanitizer = Sanitizer()
    text = sanitizer.text(body) if type(body) is str else sanitizer.render(body)
    exception = describe_exception(error, sanitizer) if error is not None else None
    ids = current_ids()
    if is_outside(ids):
        ids = access.recall(scope, ids) or ids
    thread = threading.current_thread()
    return LogEntry(
        time_ns=time.time_ns() if time_ns is None else time_ns,
        severity_number=severity_number(level),
        severity_text=level_name,
        scope=scope,
        body=text,
        event_name=None,
        trace_id=ids.trace_id,
        span_id=ids.span_id,
        trace_flags=ids.trace_flags,
        correlation_id=ids.correlation_id,
        attributes=sanitized(attributes, sanitizer),
        code=code,
        thread=(thread.ident or 0, thread.name),
        exception=exception,
        uid=None,
    )


def sanitized(attributes: Mapping[Any, Any], sanitizer: Sanitizer) -> Attributes | None:
    """Return the key-values of an event as they can be sent, with what had to be replaced."""
    found = {sanitizer.key(key): sanitizer.value(value) for key, value in attributes.items()}
    if sanitizer.flaws:
        found[schema.LOG_SANITIZED] = ",".join(sorted(sanitizer.flaws))
    return found or None


def caller(library: str) -> tuple[str, tuple[str, str, int]] | None:
    """Return module name and place of the first frame that is neither ours nor `library`'s."""
    frame = sys._getframe(1)  # noqa: SLF001 - as every logging library finds its caller
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in {library, "clew", "logging", "asyncio", "concurrent", "threading"}:
            return module, (frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None
