"""JSON lines on the console: each line that logging writes to stdout or stderr, by `schema.CONSOLE_LINE_SCHEMA`.

Nothing is installed unless `CLEW_LOG_FORMAT` asks for it. The hook sits on the class of all handlers, so no later
configuration undoes it, and handlers of files and sockets write what they always did.
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import orjson

from clew import diagnostics
from clew.correlation.context import current_ids
from clew.logs import fields
from clew.logs.marking import Captured
from clew.logs.record import translate
from clew.logs.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.correlation.origin import CurrentIds
    from clew.entry import ExceptionEntry, LogEntry
    from clew.settings import Settings

_CONSOLE_DESCRIPTORS: Final = frozenset({1, 2})


class _State:
    """What was replaced."""

    original: Callable[..., str] | None = None


def install(settings: Settings) -> None:
    """Make each line that logging writes to stdout or stderr one JSON object, where `CLEW_LOG_FORMAT` says so."""
    if settings.log_format != "json" or _State.original is not None:
        return
    original = logging.Handler.format
    renderer = LineRenderer(Redactor(settings) if settings.redact else None)

    def format(self: logging.Handler, record: logging.LogRecord) -> str:  # noqa: A001 - it takes the place of one
        line = renderer.line(self, record) if isinstance(self, logging.StreamHandler) else None
        return original(self, record) if line is None else line

    # The file that logging skips when it prints where a call came from.
    format.__code__ = format.__code__.replace(co_filename=str(logging._srcfile))  # noqa: SLF001 - no public name
    logging.Handler.format = format  # type: ignore[method-assign]  # the same for all but the console's handlers
    _State.original = original


def uninstall() -> None:
    """Let handlers format their records themselves again."""
    if _State.original is not None:
        logging.Handler.format = _State.original  # type: ignore[method-assign]  # back to the original
        _State.original = None


class LineRenderer:
    """Renders records for handlers whose stream is the process's stdout or stderr."""

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor

    def line(self, handler: logging.StreamHandler[Any], record: logging.LogRecord) -> str | None:
        """Return the line for `record`, without the handler's terminator, or None where its stream is not the console.

        Also None if the line cannot be made; the handler's own formatter then does what it always did.
        """
        try:
            if not is_console(handler.stream):
                return None
            line = self.render(translate(record, _ids_of(record)))
        except Exception as error:  # noqa: BLE001 - the program's line is shown, in whatever form
            diagnostics.report("log-console", f"a line could not be made JSON: {type(error).__name__}: {error}")
            return None
        return line if "\n" in handler.terminator else line + "\n"

    def render(self, entry: LogEntry) -> str:
        """Return `entry` as one JSON object on one line."""
        entry = self._redacted(entry)
        seconds, microseconds = divmod(entry.time_ns // 1000, 1_000_000)
        moment = datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None, microsecond=microseconds)
        line: dict[str, Any] = {
            "timestamp": f"{moment.isoformat(timespec='microseconds')}Z",
            "level": entry.severity_text,
            "logger": entry.scope,
            "message": entry.body,
            "service": fields.service_name() or None,
            "correlation_id": entry.correlation_id,
            "trace_id": f"{entry.trace_id:032x}" if entry.trace_id else None,
            "span_id": f"{entry.span_id:016x}" if entry.span_id else None,
            "trace_flags": f"{entry.trace_flags:02x}" if entry.trace_id else None,
            "code": entry.code and dict(zip(("file", "function", "line"), entry.code, strict=True)),
            "thread": entry.thread and entry.thread[1],
            "exception": entry.exception and _exception(entry.exception),
            "attributes": entry.attributes or None,
        }
        present = {key: value for key, value in line.items() if value is not None}
        return orjson.dumps(present, default=_other).decode()

    def _redacted(self, entry: LogEntry) -> LogEntry:
        redactor = self._redactor
        if redactor is None:
            return entry
        exception = entry.exception
        if exception is not None:
            exception = exception._replace(
                message=redactor.text(exception.message), stacktrace=redactor.text(exception.stacktrace)
            )
        attributes = entry.attributes and dict(redactor.attributes(entry.attributes))
        return entry._replace(body=redactor.text(str(entry.body)), exception=exception, attributes=attributes)


def is_console(stream: Any) -> bool:
    """Return whether `stream` is the process's stdout or stderr, under whatever wrapper."""
    if stream is sys.stdout or stream is sys.stderr:
        return True
    try:
        return stream.fileno() in _CONSOLE_DESCRIPTORS or stream.name in {"/dev/stdout", "/dev/stderr"}
    except Exception:  # noqa: BLE001 - a stream in memory has no descriptor, one of the program's may raise anything
        return False


def _ids_of(record: logging.LogRecord) -> CurrentIds:
    """Return the IDs of the call that made `record`, also where another thread writes it."""
    mark = record.__dict__.get("processName")
    ids = mark.ids if type(mark) is Captured else None
    return ids or current_ids()


def _exception(exception: ExceptionEntry) -> dict[str, str]:
    found = dict(zip(("type", "message", "stacktrace"), exception[:3], strict=True))
    return found if exception.fingerprint is None else {**found, "fingerprint": exception.fingerprint}


def _other(value: object) -> str:
    """Return what JSON has no type for: bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(type(value).__name__)
