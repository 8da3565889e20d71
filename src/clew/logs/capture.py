"""The hook on `logging.Logger.callHandlers`: which records are captured, each once, none at the program's expense.

A record is captured after the program's handlers have had it, on the thread that logged. No handler is installed, no
logger, level or configuration is touched, and no frame of ours is in any traceback or call stack.
"""

from __future__ import annotations

import logging
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Literal

from clew import diagnostics
from clew.correlation.context import current_ids
from clew.correlation.origin import NO_IDS, CurrentIds
from clew.logs import access, fields, level, marking, unhandled
from clew.logs.marking import Captured, make_mark, marks
from clew.logs.record import exception_of, translate
from clew.logs.sampling import Folding
from clew.logs.suppression import SUPPRESS_KEY, current_context, suppressed, suppression
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.entry import LogEntry
    from clew.settings import Settings

__all__ = ["capture_record", "claims", "counts", "install", "refiners", "suppressed", "uninstall"]

Ticket = CurrentIds | Literal[False] | None
"""What the gate says of a call: the record's IDs to capture it, False to leave it to its handlers, None to drop it."""

claims: Final[list[Callable[[logging.LogRecord], bool]]] = []
"""Bridges that say whether a record is another form of an event which they have captured."""

refiners: Final[list[Callable[[logging.LogRecord, LogEntry], LogEntry]]] = []
"""Bridges that know more of a record than it holds."""


class _State:
    """What `install` was told, and what `uninstall` needs."""

    sink: Callable[[LogEntry], None] | None = None
    original: Any = None
    sampled_only = False
    keep_ids = False
    folding: Folding | None = None
    sampled_out = 0
    failed = 0


def install(sink: Callable[[LogEntry], None], settings: Settings) -> None:
    """Capture each record from now on and hand its entry to `sink`, on the thread that logged.

    `sink` must be quick, and safe from any thread; what it raises is counted. A second call replaces the sink only.
    """
    _State.folding = Folding(sink, settings.log_fold_s) if settings.log_fold_s else None
    _State.sink = _State.folding.put if _State.folding else sink
    _State.sampled_only = settings.log_sampling == "trace"
    _State.keep_ids = settings.log_format == "json"
    if _State.original is not None:
        return
    original: Any = logging.Logger.callHandlers
    logging.Logger.callHandlers = (  # type: ignore[method-assign]  # the same function with a call at both ends
        weave(original, gate=_gate, after=_after) or _wrap(original)
    )
    _State.original = original
    marking.install()
    fields.install(settings.log_fields)
    if settings.log_level is not None:
        level.install(settings.log_level, capture_record)


def uninstall() -> None:
    """Take the hook out again and emit what is still folded."""
    if _State.original is not None:
        logging.Logger.callHandlers = _State.original  # type: ignore[method-assign]  # back to the original
    fields.uninstall()
    level.uninstall()
    flush()
    _State.original = _State.sink = _State.folding = None


def flush() -> None:
    """Emit the counts of folded records that have not been emitted yet."""
    if _State.folding is not None:
        _State.folding.flush()


def counts() -> dict[str, int]:
    """Return how many records were left out by sampling, and how many could not be captured."""
    return {"sampled_out": _State.sampled_out, "failed": _State.failed}


def capture_record(record: logging.LogRecord, ids: CurrentIds | None = None) -> None:
    """Capture `record` now, whether or not any handler has had it. Never raises."""
    _after(None, record, current_ids() if ids is None else ids)


def _gate(_: object, record: logging.LogRecord) -> Ticket:
    """Decide what becomes of a record before its handlers run, and mark it as captured."""
    if suppression.get():
        return None
    try:
        own = record.__dict__
        process = own.get("processName")
        if type(process) is Captured:
            return False
        if current_context().get(SUPPRESS_KEY):
            return None if _is_exporters_own(own) else False
        if claims and any(claimed(record) for claimed in claims):
            return False
        ids = current_ids()
        if not ids[0]:
            ids = _borrowed(own) or ids
        if type(process) is str:
            own["processName"] = (
                make_mark(process, ids) if _State.keep_ids else marks.get(process) or make_mark(process)
            )
        if fields.active():
            fields.stamp(record, ids)
    except Exception:  # noqa: BLE001 - whatever the record holds, its handlers get it, and so does translate
        return NO_IDS
    else:
        return ids


def _borrowed(own: dict[str, Any]) -> CurrentIds | None:
    """Return the IDs that belong to a record which was made outside any span: its request's, or its exception's."""
    if own.get("exc_info"):
        found = unhandled.ids_of(exception_of(own["exc_info"]))
        if found is not None:
            return found
    return access.recall(own.get("name"))


def _after(_: object, record: logging.LogRecord, ids: Ticket) -> None:
    """Capture a record whose handlers have run."""
    if not ids or _State.sink is None:
        return
    try:
        own = record.__dict__
        if _State.sampled_only and own["levelno"] < logging.WARNING and ids[0] and not ids[2] & 1:
            _State.sampled_out += 1
            return
        added = unhandled.note(record) if own.get("exc_info") else None
        entry = translate(record, ids, added)
        for refine in refiners:
            entry = refine(record, entry)
        _State.sink(entry)
    except Exception as error:  # noqa: BLE001 - promise: a log call never fails because of us
        _failed(error)


def _failed(error: Exception) -> None:
    _State.failed += 1
    diagnostics.report("log-capture", f"a log record was not captured: {type(error).__name__}: {error}")


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
