"""structlog: each event with its key-values, as the last processor but the renderer left them.

The hook is in the method that runs the processors, on the class from which all bound loggers derive, so loggers that
exist and configurations that follow are covered. An event that goes on to `logging` is captured there, if its level
lets it through, with the event's own text and key-values.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clew import diagnostics
from clew.importing import when_imported
from clew.logs import intake
from clew.logs.bridges.event import LEVELS, caller, make_entry, sanitized
from clew.logs.record import describe_exception, exception_of
from clew.logs.suppression import suppression
from clew.logs.values import Sanitizer
from clew.weaving import weave

if TYPE_CHECKING:
    from clew.entry import Attributes, ExceptionEntry, LogEntry

_ADDED: Final = ("level", "timestamp", "logger", "logger_name", "exc_info", "exception", "stack_info", "log_level")
"""What processors add to an event that a record has fields for; kept where the program gave them itself."""

_NOT_ATTRIBUTES: Final = frozenset({"event", "exc_info"})
_BRIDGE_EXTRAS: Final = frozenset({"_logger", "_name", "_from_structlog", "_record"})


class _Pending(NamedTuple):
    """An event on its way to `logging`: what the record's message will be, and what it really says."""

    message: object
    body: str
    attributes: Attributes | None
    exception: ExceptionEntry | None


_pending: ContextVar[_Pending | None] = ContextVar("clew_structlog_pending", default=None)


class _State:
    """Whether the hook waits or is in."""

    installed = False


def install() -> None:
    """Capture structlog's events, once the program imports structlog. A second call does nothing."""
    if _State.installed:
        return
    _State.installed = True
    when_imported("structlog._base", _hook)


def _hook(module: Any) -> None:
    woven = weave(module.BoundLoggerBase._process_event, rebind=_observe)  # noqa: SLF001 - custom loggers call it too
    if woven is None:
        diagnostics.report(
            "structlog", "this version of structlog cannot be hooked; only what it passes to logging is captured"
        )
        return
    module.BoundLoggerBase._process_event = woven  # noqa: SLF001 - as above
    if _refine not in intake.refiners:
        intake.refiners.append(_refine)


def _observe(bound: Any, method: str, event: object, keys: dict[str, Any]) -> Any:
    """Return what stands in for the bound logger while its processors run."""
    del method, event
    try:
        return bound if suppression.get() else _Observed(bound, keys)
    except Exception:  # noqa: BLE001 - a logger class of the program's own may be anything
        return bound


class _Observed:
    """A bound logger as its processors see it, with two more: one before the renderer, one after it."""

    def __init__(self, bound: Any, keys: dict[str, Any]) -> None:
        self._context = bound._context  # noqa: SLF001 - what structlog's own method reads
        self._logger = bound._logger  # noqa: SLF001 - likewise
        processors = list(bound._processors)  # noqa: SLF001 - likewise
        self._processors = [*processors[:-1], self._before, *processors[-1:], self._after]
        self._given = keys
        self._event: dict[Any, Any] = {}
        self._error = _exception(keys.get("exc_info"))

    def _before(self, logger: object, method: str, event: Any) -> Any:
        """Keep the event as it is before it becomes text."""
        del logger
        if isinstance(event, dict):
            self._event = dict(event)
            exc_info = event.get("exc_info", method == "exception")
            self._error = self._error or _exception(exc_info)
        return event

    def _after(self, logger: object, method: str, rendered: Any) -> Any:
        """Capture the event: nothing has dropped it."""
        try:
            if isinstance(logger, (logging.Logger, logging.LoggerAdapter)):
                self._leave_to_logging(rendered)
            else:
                self._capture(method, rendered)
        except Exception as error:  # noqa: BLE001 - promise: the event is logged whatever happens here
            diagnostics.report("structlog", f"an event was not captured: {type(error).__name__}: {error}")
        return rendered

    def _capture(self, method: str, rendered: object) -> None:
        found = caller("structlog")
        name = str(self._event.get("level") or method)
        level = LEVELS.get(name.lower(), logging.INFO)
        scope = self._event.get("logger") or self._event.get("logger_name") or (found[0] if found else "structlog")
        entry = make_entry(
            scope=str(scope),
            level=level,
            level_name=logging.getLevelName(level),
            body=self._event.get("event", rendered),
            attributes=self._attributes(),
            code=found[1] if found else None,
            error=self._error,
        )
        intake.offer(entry)

    def _leave_to_logging(self, rendered: Any) -> None:
        """Tell the capture of `logging` what a rendered text or a dict stands for; all else speaks for itself."""
        message = rendered[0][0] if isinstance(rendered, tuple) and rendered[0] else rendered
        if isinstance(message, str) == isinstance(rendered, tuple) or "event" not in self._event:
            return
        sanitizer = Sanitizer()
        body = self._event["event"]
        text = sanitizer.text(body) if type(body) is str else sanitizer.render(body)
        exception = describe_exception(self._error, sanitizer) if self._error is not None else None
        _pending.set(_Pending(message, text, sanitized(self._attributes(), sanitizer), exception))

    def _attributes(self) -> dict[Any, Any]:
        """Return the key-values of the event that are the program's."""
        given = {**self._context, **self._given}
        return {
            key: value
            for key, value in self._event.items()
            if key not in _NOT_ATTRIBUTES and (key not in _ADDED or key in given)
        }


def _refine(record: logging.LogRecord, entry: LogEntry) -> LogEntry:
    """Give a record of structlog's the event's own text and key-values."""
    pending = _pending.get()
    if pending is None or record.msg is not pending.message:
        return entry
    _pending.set(None)
    kept = {key: value for key, value in (entry.attributes or {}).items() if key not in _BRIDGE_EXTRAS}
    return entry._replace(
        body=pending.body,
        attributes={**kept, **(pending.attributes or {})} or None,
        exception=entry.exception or pending.exception,
    )


def _exception(exc_info: Any) -> BaseException | None:
    return sys.exc_info()[1] if exc_info is True or exc_info == 1 else exception_of(exc_info)
