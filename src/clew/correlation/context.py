"""Where the correlation ID lives: on the span, in the Context, in baggage; who reads it and who binds one.

The ID of a Context is, first match wins: the one on its span (each span of this process has one), the one that came
in or was bound, baggage `correlation.id`, the trace ID of a remote span in hex. Outside all of them it is that of
the process, where the one who started this process handed one on.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry.context import Context, attach, create_key, get_current, set_value
from opentelemetry.trace import INVALID_SPAN, get_current_span, set_span_in_context

from clew import diagnostics
from clew.correlation import ids, running
from clew.correlation.origin import (
    NO_IDS,
    CurrentIds,
    baggage_correlation_id,
    new_origin,
    origin_for,
    origin_in,
    with_baggage,
    with_origin,
)
from clew.current import current_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.trace import Span

F = TypeVar("F", bound="Callable[..., object]")

__all__ = ["CurrentIds", "adopt", "bind", "correlation_id", "current_ids", "ids_in"]


SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Where OpenTelemetry keeps the span in a Context: read directly, since each log record asks for it."""

MARK: Final = "_clew_correlation_id"
"""The attribute of a span object of this process that holds its correlation ID."""

IDS: Final = "_clew_ids"
"""The attribute of a span object that holds the IDs of log records made in it, once these were asked for."""

_LEFT_KEY: Final = create_key("clew-left")


class _State:
    """What `adopt` set for the whole process."""

    process_context: Context | None = None
    process_ids: CurrentIds = NO_IDS


def adopt(context: Context | None) -> None:
    """Make `context` the one that this process was started in; None forgets it.

    It serves where there is no other: log records outside a request, and root spans that are not a server's or a
    consumer's, since those begin requests of their own.
    """
    _State.process_ids = _ids_in(context) if context is not None else NO_IDS
    _State.process_context = context if _State.process_ids is not NO_IDS else None


def process_context() -> Context | None:
    """Return the Context that this process was started in, if it was started in one."""
    return _State.process_context


def correlation_id() -> str | None:
    """Return the correlation ID of the work that is going on here, or None outside any.

    Costs less than a microsecond, never raises, needs no SDK.
    """
    return current_ids().correlation_id


def current_ids() -> CurrentIds:
    """Return the IDs of the work that is going on here, for a log record.

    Never raises. Inside `bind` and outside any span there is a correlation ID and no trace ID.
    """
    return ids_in(current_context())


def ids_in(context: Context) -> CurrentIds:
    """Return the IDs of `context`, the current one, for a log record made in it. Never raises."""
    if not context:
        return _State.process_ids
    span = context.get(SPAN_KEY)
    found: CurrentIds | None = getattr(span, IDS, None)
    if found is not None:
        return found
    try:
        if span is None or span is INVALID_SPAN:
            origin = origin_in(context)
            if origin is not None:
                return origin.ids
        found = _ids_in(context)
    except Exception as error:  # noqa: BLE001 - a Context may hold anything; the log call goes on
        diagnostics.report("correlation-context", f"could not read the current IDs: {type(error).__name__}")
        return NO_IDS
    return _State.process_ids if found is NO_IDS else found


def is_outside(ids: CurrentIds) -> bool:
    """Return whether `ids`, just read, are no span's: none, a bound one, or those that the process was started with."""
    return not ids.trace_id or ids is _State.process_ids


class bind(AbstractContextManager[str]):  # noqa: N801 - used as a function: `with bind("job-42"):`, `@bind()`
    """Give work that no request started an ID of its own: a context manager and a decorator.

    Inside there is no span: the first root span gets the trace ID that follows from the ID, and everything below
    carries it. What was current before is current again afterwards, also when binds are nested. As a decorator it
    takes functions, coroutine functions, generators and async generators; each call is bound on its own, and between
    two items of a generator its caller's own IDs are current. Works without an SDK; never raises: an ID that is not
    usable is told once, and a new one is made instead.

    Args:
        correlation_id: The ID, 1 to 128 characters of `A-Za-z0-9._:/+=@~-`; None makes a new one at each entry.
    """

    def __init__(self, correlation_id: str | None = None) -> None:
        self._correlation_id = _checked(correlation_id)

    def __enter__(self) -> str:
        bound = self._context()
        # What to go back to stands in the Context, not here: one bind may be entered by several threads and tasks.
        attach(set_value(_LEFT_KEY, (self, get_current()), bound))
        return correlation_id_in(bound) or ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left = get_current().get(_LEFT_KEY)
        # Closed from another task, as an abandoned async generator is, there is nothing of ours to leave.
        if isinstance(left, tuple) and left[0] is self:
            attach(left[1])

    def __call__(self, function: F) -> F:
        """Return `function` so that each call of it is bound."""
        return running.run_in(function, self._context)

    def _context(self) -> Context:
        """Make the Context of one binding: no span, the ID, and all else as it is here."""
        origin = origin_for(self._correlation_id) if self._correlation_id else new_origin()
        rootless = set_span_in_context(INVALID_SPAN)
        return with_baggage(origin.correlation_id, with_origin(origin, rootless))


def _checked(correlation_id: str | None) -> str | None:
    """Return the ID that the program gave, or None where it can't be used; that is told."""
    usable = ids.clean(correlation_id) if isinstance(correlation_id, str) else None
    if correlation_id is not None and usable is None:
        diagnostics.report(
            "correlation-bind",
            "clew.bind got an ID it can't use and made a new one; use 1 to 128 of A-Z a-z 0-9 . _ : / + = @ ~ -",
        )
    return usable


def mark(span: Span, correlation_id: str) -> None:
    """Leave `correlation_id` on `span`, so that whoever holds the span knows it: children, log records, responses."""
    if span is not INVALID_SPAN:
        setattr(span, MARK, correlation_id)


def mark_ids(span: Any, correlation_id: str) -> CurrentIds:
    """Leave on a marked span, and return, the IDs that log records made in it carry."""
    trace_id, span_id, _, flags, _, _ = span.get_span_context()
    found: CurrentIds = tuple.__new__(CurrentIds, (trace_id, span_id, flags, correlation_id))
    setattr(span, IDS, found)
    return found


def correlation_id_in(context: Context) -> str | None:
    """Return the correlation ID of `context` itself, whatever the process was started in."""
    return _ids_in(context).correlation_id


def _ids_in(context: Context) -> CurrentIds:
    """Return the IDs of `context` the long way, and leave them on a span of this process for the next time."""
    span = get_current_span(context)
    marked: str | None = getattr(span, MARK, None)
    here = span.get_span_context()
    found = marked or _unmarked_id(context)
    if not here.is_valid:
        return CurrentIds(0, 0, 0, found) if found else NO_IDS
    resolved = CurrentIds(here.trace_id, here.span_id, here.trace_flags, found or ids.trace_id_hex(here.trace_id))
    if marked is not None:
        setattr(span, IDS, resolved)
    return resolved


def _unmarked_id(context: Context) -> str | None:
    """Return what came in with `context` or was bound in it."""
    origin = origin_in(context)
    return origin.correlation_id if origin is not None else baggage_correlation_id(context)
