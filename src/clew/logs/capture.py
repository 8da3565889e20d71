"""The hook on `logging.Logger.callHandlers`: which records are captured, each once, none at the program's expense.

A record is captured after the program's handlers have had it, on the thread that logged. No handler is installed, no
logger, level or configuration is touched, and no frame of ours is in any traceback or call stack.
"""

from __future__ import annotations

import logging
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

from clew.correlation.context import IDS, SPAN_KEY, current_ids, ids_in, is_outside
from clew.correlation.origin import NO_IDS, CurrentIds
from clew.current import current_context
from clew.logs import access, fields, intake, level, marking, unhandled
from clew.logs.bridges import loguru, structlog
from clew.logs.intake import claims, offer, refiners
from clew.logs.marking import Captured, make_mark, marks
from clew.logs.record import exception_of, translate
from clew.logs.suppression import SUPPRESS_KEY, suppressed, suppression
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from clew.entry import LogEntry
    from clew.settings import Settings

__all__ = ["capture_record", "install", "suppressed", "uninstall"]

Ticket = CurrentIds | Literal[False] | None
"""What the gate says of a call: the record's IDs to capture it, False to leave it to its handlers, None to drop it."""


class _State:
    """What `install` was told, and what `uninstall` needs."""

    original: Any = None
    keep_ids = False


def install(
    sink: Callable[[LogEntry], None],
    settings: Settings,
    measure: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda hook: hook,
) -> None:
    """Capture each record from now on and hand its entry to `sink`, on the thread that logged.

    `sink` must be quick, and safe from any thread; what it raises is counted. `measure` may wrap the hooks to see what
    they cost. A second call replaces the sink only.
    """
    intake.open_to(sink, settings)
    if _State.original is not None:
        return
    _State.keep_ids = settings.log_format == "json"
    original: Any = logging.Logger.callHandlers
    logging.Logger.callHandlers = (  # type: ignore[method-assign]  # the same function with a call at both ends
        weave(original, gate=measure(_gate), after=measure(_after)) or _wrap(original)
    )
    _State.original = original
    marking.install()
    fields.install(settings.log_fields)
    structlog.install()
    loguru.install()
    if settings.log_level is not None:
        level.install(settings.log_level, capture_record)


def uninstall() -> None:
    """Take the hook out again and emit what is still folded."""
    if _State.original is not None:
        logging.Logger.callHandlers = _State.original  # type: ignore[method-assign]  # back to the original
        _State.original = None
    fields.uninstall()
    level.uninstall()
    intake.close()


def capture_record(record: logging.LogRecord) -> None:
    """Capture `record` now, whether or not any handler has had it. Never raises."""
    _after(None, record, current_ids())


def _gate(_: object, record: logging.LogRecord) -> Ticket:
    """Decide what becomes of a record before its handlers run, and mark it as captured."""
    if suppression.get():
        return None
    try:
        own = record.__dict__
        process = own.get("processName")
        if type(process) is Captured:
            return False
        context = current_context()
        if context.get(SUPPRESS_KEY):
            return None if _is_exporters_own(own) else False
        ids: CurrentIds | None = getattr(context.get(SPAN_KEY), IDS, None)
        if ids is None or not ids[0]:
            ids = _found_ids(own, context)
        if type(process) is str:
            own["processName"] = (
                make_mark(process, ids) if _State.keep_ids else marks.get(process) or make_mark(process)
            )
        if fields.State.named:
            fields.stamp(record, ids)
        if claims and any(claimed(record) for claimed in claims):
            return False
    except Exception:  # noqa: BLE001 - whatever the record holds, its handlers get it, and so does translate
        return NO_IDS
    else:
        return ids


def _found_ids(own: dict[str, Any], context: Context) -> CurrentIds:
    """Return the IDs of a record whose context does not hold them ready."""
    ids = ids_in(context)
    return (_borrowed(own, ids) or ids) if is_outside(ids) else ids


def _borrowed(own: dict[str, Any], ids: CurrentIds) -> CurrentIds | None:
    """Return the IDs that belong to a record which was made outside any span: its request's, or its exception's."""
    if own.get("exc_info"):
        found = unhandled.ids_of(exception_of(own["exc_info"]))
        if found is not None:
            return found
    return access.recall(own.get("name"), ids, own.get("levelno"))


def _after(_: object, record: logging.LogRecord, ids: Ticket) -> None:
    """Capture a record whose handlers have run."""
    if not ids:
        return
    try:
        own = record.__dict__
        added = unhandled.note(record) if own.get("exc_info") else None
        entry = translate(record, ids, added)
        for refine in refiners:
            entry = refine(record, entry)
        offer(entry)
    except Exception as error:  # noqa: BLE001 - promise: a log call never fails because of us
        intake.failed(error)


def _is_exporters_own(own: dict[str, Any]) -> bool:
    """Return whether one of the SDK's export threads logged this: without Clew there is no such thread."""
    name = own.get("threadName")
    return type(name) is str and name.startswith(("Otel", "OTel"))


def _wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what cannot be woven, as a function that belongs to `logging` for all who skip its frames."""
    source = (
        "def callHandlers(self, record):\n"
        "    ticket = gate(self, record)\n"
        "    if ticket is None:\n"
        "        return\n"
        "    try:\n"
        "        original(self, record)\n"
        "    finally:\n"
        "        after(self, record, ticket)\n"
    )
    namespace: dict[str, Any] = {"gate": _gate, "after": _after, "original": original}
    exec(compile(source, str(logging._srcfile), "exec"), namespace)  # noqa: S102, SLF001 - our own text; the file that callers skip
    made = namespace["callHandlers"]
    return made if isinstance(made, FunctionType) else original
