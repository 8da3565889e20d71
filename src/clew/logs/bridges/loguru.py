"""loguru: each event with what was bound to it, whatever its sinks are.

The hook is in the method by which every sink gets its events, so the program's list of sinks stays its own. An event
that came from `logging` was captured there; one that goes on to `logging` is captured here.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from clew import diagnostics
from clew.importing import when_imported
from clew.logs import intake
from clew.logs.bridges.event import make_entry
from clew.logs.record import quick_body
from clew.logs.suppression import suppression
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

_latest: ContextVar[object] = ContextVar("clew_loguru_latest", default=None)
"""The time of the event that was captured last: an object of its own for each event, shared by its sinks."""

_emitting: ContextVar[str | None] = ContextVar("clew_loguru_emitting", default=None)
"""The text of the event that a sink is getting."""

_forwarding: ContextVar[object] = ContextVar("clew_loguru_forwarding", default=None)
"""What is bound to the event that a sink is passing to a handler of `logging`; the record holds the same object."""


class _State:
    """Whether the hook waits or is in."""

    installed = False


def install() -> None:
    """Capture loguru's events, once the program imports loguru. A second call does nothing."""
    if _State.installed:
        return
    _State.installed = True
    when_imported("loguru._handler", _hook)
    when_imported("loguru._simple_sinks", _hook_forwarding)


def _hook(module: Any) -> None:
    woven = weave(module.Handler.emit, gate=_begin, after=_end)
    if woven is None:
        diagnostics.report(
            "loguru", "this version of loguru cannot be hooked; only what it passes to logging is captured"
        )
        return
    module.Handler.emit = woven
    if _is_ours not in intake.claims:
        intake.claims.append(_is_ours)


def _hook_forwarding(module: Any) -> None:
    woven = weave(module.StandardSink.write, gate=_forward, after=_forwarded)
    if woven is not None:
        module.StandardSink.write = woven


def _begin(_: object, record: Mapping[str, Any], *rest: object) -> Token[str | None] | bool:
    """Capture an event when the first of its sinks gets it."""
    del rest
    if suppression.get():
        return False
    token = _emitting.set(record["message"])
    try:
        if _latest.get() is not record["time"]:
            _latest.set(record["time"])
            if not _comes_from_logging(record["message"]):
                _capture(record)
    except Exception as error:  # noqa: BLE001 - promise: the sinks get the event whatever happens here
        diagnostics.report("loguru", f"an event was not captured: {type(error).__name__}: {error}")
    return token


def _end(*arguments: Any) -> None:
    token = arguments[-1]
    if token:
        _emitting.reset(token)


def _forward(_: object, message: Any) -> Token[object]:
    return _forwarding.set(message.record["extra"])


def _forwarded(_: object, message: object, token: Token[object]) -> None:
    del message
    _forwarding.reset(token)


def _capture(record: Mapping[str, Any]) -> None:
    exception = record["exception"]
    level = record["level"]
    name = record["name"] or "loguru"
    entry = make_entry(
        scope=name,
        level=level.no,
        level_name=level.name,
        body=record["message"],
        attributes=record["extra"],
        code=(record["file"].path, record["function"], record["line"]),
        error=exception.value if exception else None,
        time_ns=int(record["time"].timestamp() * 1_000_000) * 1000,
    )
    intake.offer(entry)


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether `record` is an event of loguru's that a sink passes on."""
    extra = record.__dict__.get("extra")
    if extra is not None and extra is _forwarding.get():
        return True
    text = _emitting.get()
    return text is not None and isinstance(record.msg, str) and text in record.msg


def _comes_from_logging(message: str) -> bool:
    """Return whether a handler of `logging` is passing a record of this text on."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the dispatch of the record is somewhere above
    code = logging.Logger.callHandlers.__code__
    while frame is not None:
        if frame.f_code is code:
            record = frame.f_locals["record"]
            body = quick_body(record.msg, record.args)
            return body is None or body == message
        frame = frame.f_back
    return False
