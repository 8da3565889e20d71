"""What a root span starts from: the request's correlation ID and the trace ID that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import baggage
from opentelemetry.context import create_key, set_value

from clew import settings
from clew.correlation import ids
from clew.schema import BAGGAGE_CORRELATION_ID

if TYPE_CHECKING:
    from opentelemetry.context import Context


class CurrentIds(NamedTuple):
    """The IDs that a log record carries; 0 and None where there is none."""

    trace_id: int
    span_id: int
    trace_flags: int
    correlation_id: str | None


NO_IDS: Final = CurrentIds(0, 0, 0, None)


class Origin(NamedTuple):
    """A correlation ID with its trace ID.

    A `trace_id` of 0 leaves it to the ID generator. `is_random` says whether it may carry the W3C random flag. `ids`
    are those of a log record before the first span.
    """

    correlation_id: str
    trace_id: int
    is_random: bool
    ids: CurrentIds


_ORIGIN_KEY = create_key("clew-origin")


class _State:
    """What `configure` set for the whole process."""

    settings: settings.Settings | None = None
    makes_ids: bool | None = None


def configure(resolved: settings.Settings | None) -> None:
    """Use these settings for every ID from now on; without them the environment is read at the first use."""
    _State.settings, _State.makes_ids = resolved, None


def resolved_settings() -> settings.Settings:
    """Return the settings that IDs follow."""
    if _State.settings is None:
        _State.settings = settings.read_process()
    return _State.settings


def origin_in(context: Context) -> Origin | None:
    """Return what a root span in `context` starts from, if a request came in or an ID was bound."""
    origin = context.get(_ORIGIN_KEY)
    return origin if isinstance(origin, Origin) else None


def correlation_headers(chosen: settings.Settings) -> tuple[str, ...]:
    """Return the headers that hold a correlation ID, in order; the first is written, all are read.

    `correlation_id` is never one: it is Celery's own name for the ID of a task.
    """
    return tuple(name for name in chosen.correlation_headers if name != "correlation_id")


def with_origin(origin: Origin, context: Context) -> Context:
    """Return `context` with `origin` in it."""
    return set_value(_ORIGIN_KEY, origin, context)


def baggage_correlation_id(context: Context) -> str | None:
    """Return the correlation ID in the baggage of `context`, if it is a usable one."""
    value = baggage.get_baggage(BAGGAGE_CORRELATION_ID, context)
    return ids.clean(value) if isinstance(value, str) else None


def with_baggage(correlation_id: str, context: Context) -> Context:
    """Return `context` with `correlation_id` in its baggage; the other baggage stays."""
    if baggage.get_baggage(BAGGAGE_CORRELATION_ID, context) == correlation_id:
        return context
    return baggage.set_baggage(BAGGAGE_CORRELATION_ID, correlation_id, context)


def without_baggage(context: Context) -> Context:
    """Return `context` without a correlation ID in its baggage; the other baggage stays."""
    if baggage.get_baggage(BAGGAGE_CORRELATION_ID, context) is None:
        return context
    return baggage.remove_baggage(BAGGAGE_CORRELATION_ID, context)


def origin_for(correlation_id: str, trace_id: int | None = None) -> Origin:
    """Return what a root span of the request `correlation_id` starts from; `trace_id` if it is known, else derived."""
    chosen = resolved_settings()
    if chosen.correlation_mode == "attribute":
        return _origin(correlation_id, 0, is_random=True)
    if trace_id is None:
        trace_id = ids.derive_trace_id(correlation_id, chosen.correlation_key)
    return _origin(correlation_id, trace_id, is_random=False)


def new_origin(trace_id: int = 0) -> Origin:
    """Return what a root span starts from where nothing came in: a random ID, `trace_id` if the caller has made one.

    The correlation ID is the trace ID in hex. Under a key the correlation ID is the random one and the trace ID follows
    from it, as in the service that gets it in a header.
    """
    trace_id = trace_id or ids.new_trace_id()
    text = ids.trace_id_hex(trace_id)
    return origin_for(text) if makes_ids() else _origin(text, trace_id, is_random=True)


def makes_ids() -> bool:
    """Return whether even a random trace ID has to follow from a correlation ID: there is a key to derive it by."""
    if _State.makes_ids is None:
        chosen = resolved_settings()
        _State.makes_ids = chosen.correlation_key is not None and chosen.correlation_mode == "trace"
    return _State.makes_ids


def _origin(correlation_id: str, trace_id: int, *, is_random: bool) -> Origin:
    return Origin(correlation_id, trace_id, is_random, CurrentIds(0, 0, 0, correlation_id))
