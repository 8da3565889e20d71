"""The correlation ID in carriers: out of an inbound request, into an outbound one.

Carriers are whatever the instrumentations hand to the global propagator: HTTP headers, gRPC metadata, message headers.
What comes in is untrusted: it is cleaned, or counted and forgotten, and never echoed.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import DefaultGetter, TextMapPropagator, default_getter, default_setter
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clew import diagnostics
from clew.correlation import responses
from clew.correlation.context import correlation_id_in, current_ids
from clew.correlation.ids import MAX_LENGTH, amazon_root, fault, trace_id_hex
from clew.correlation.origin import (
    baggage_correlation_id,
    configure,
    correlation_headers,
    origin_for,
    resolved_settings,
    with_baggage,
    with_origin,
    without_baggage,
)
from clew.settings import process_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.propagators.textmap import Getter, Setter

    from clew.settings import Settings

AMAZON_HEADER: Final = "x-amzn-trace-id"
_MAX_REPEATS: Final = 64
"""Values of one header that are looked at; more are ambiguous without looking."""

_READ: Final[Mapping[type, frozenset[str]]] = {
    TraceContextTextMapPropagator: frozenset({"traceparent"}),
    W3CBaggagePropagator: frozenset({"baggage"}),
}
"""The headers without which upstream's default propagators find nothing."""

_rejected: Counter[str] = Counter()
_lock = threading.Lock()


def rejected() -> Mapping[str, int]:
    """Return how many inbound IDs were not taken since the start, by reason: characters, length, ambiguous, type."""
    with _lock:
        return dict(_rejected)


class ClewPropagator(TextMapPropagator):
    """Reads the correlation headers into the Context and writes the first of them out.

    Runs after the propagators for the trace and the baggage, whose findings it needs. Never raises; safe from any
    thread.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Follow `settings`, or what the environment says."""
        chosen = settings or resolved_settings()
        self._headers = correlation_headers(chosen)
        self._trusts = chosen.correlation_trust == "all"
        self.headers = frozenset({*self._headers, AMAZON_HEADER})

    def extract(self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter) -> Context:
        """Return `context` with the request's correlation ID and, where no trace came in, its trace ID."""
        context = Context() if context is None else context
        try:
            return self._read(carrier, context, getter) if self._trusts else without_baggage(context)
        except Exception as error:  # noqa: BLE001 - a carrier may do anything; the request goes on without its ID
            diagnostics.report(
                "correlation-extract", f"could not read a request's correlation ID: {type(error).__name__}"
            )
            return context

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        """Write the correlation ID of `context` under the first header of the list."""
        try:
            found = _outbound_id(context)
            if found and self._headers:
                setter.set(carrier, self._headers[0], found)
        except Exception as error:  # noqa: BLE001 - the application's request goes out in any case
            diagnostics.report("correlation-inject", f"a correlation ID did not go out: {type(error).__name__}")

    @property
    def fields(self) -> set[str]:
        """Return the header that `inject` writes."""
        return set(self._headers[:1])

    def _read(self, carrier: Any, context: Context, getter: Getter[Any]) -> Context:
        parent = get_current_span(context).get_span_context()
        handed = baggage_correlation_id(context)
        found = self._header(carrier, getter)
        trace_id = 0 if parent.is_valid else None
        if found is None and parent.is_valid and parent.is_remote:
            found = handed or trace_id_hex(parent.trace_id)
        elif found is None and not parent.is_valid:
            found, trace_id = _amazon(carrier, getter)
            found = found or handed
        if found != handed:
            context = without_baggage(context)
        return context if found is None else with_origin(origin_for(found, trace_id), context)

    def _header(self, carrier: Any, getter: Getter[Any]) -> str | None:
        """Return the first usable ID in the order of the settings."""
        for name in self._headers:
            values = _values(carrier, getter, name)
            found = _one_of(values) if values else None
            if found is not None:
                return found
        return None


class _Propagators(CompositePropagator):
    """The propagators that were there, then ours; what goes out has the correlation ID in its baggage too."""

    def __init__(self, others: TextMapPropagator, ours: ClewPropagator) -> None:
        super().__init__([others, ours])
        read = _read_by(others)
        self.headers = None if read is None else read | ours.headers

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        """Inject as all of them do, from a Context whose baggage holds the correlation ID."""
        try:
            found = _outbound_id(context)
            here = get_current() if context is None else context
            context = with_baggage(found, here) if found else context
        except Exception as error:  # noqa: BLE001 - the application's request goes out in any case
            diagnostics.report("correlation-inject", f"a correlation ID did not go out: {type(error).__name__}")
        super().inject(carrier, context, setter)


def install(settings: Settings) -> None:
    """Append ours to the global propagator, and put the IDs on responses. Idempotent.

    `OTEL_PROPAGATORS=none` turns all propagation off, ours too.
    """
    configure(settings)
    chosen = process_environment().get("OTEL_PROPAGATORS", "").lower().split(",")
    current = propagate.get_global_textmap()
    if not isinstance(current, _Propagators) and "none" not in [name.strip() for name in chosen]:
        propagate.set_global_textmap(_Propagators(current, ClewPropagator(settings)))
        responses.install(settings)


def uninstall() -> None:
    """Put back the propagator that was there, unless someone has set another since."""
    responses.uninstall()
    current = propagate.get_global_textmap()
    if isinstance(current, _Propagators):
        propagate.set_global_textmap(current._propagators[0])  # noqa: SLF001 - our own class; the first is what was there


def inbound_headers() -> frozenset[str] | None:
    """Return the names of the headers that the global propagator reads, in lower case; None where it alone can tell.

    A request that has none of them comes without a trace, an ID and baggage: to extract from it gives an empty Context.
    """
    current = propagate.get_global_textmap()
    return current.headers if isinstance(current, _Propagators) else None


def _read_by(propagator: TextMapPropagator) -> frozenset[str] | None:
    """Return the headers that `propagator` reads, if it is one of upstream's defaults or a composite of them."""
    if type(propagator) is not CompositePropagator:
        return _READ.get(type(propagator))
    parts = [_read_by(part) for part in propagator._propagators]  # noqa: SLF001 - no public way to its parts
    known = [part for part in parts if part is not None]
    return frozenset().union(*known) if len(known) == len(parts) else None


def _outbound_id(context: Context | None) -> str | None:
    """Return the ID that goes out of `context`; None is the current one, and then the process's where it has none."""
    return current_ids().correlation_id if context is None else correlation_id_in(context)


def _values(carrier: Any, getter: Getter[Any], name: str) -> list[Any]:
    """Return what `carrier` holds under `name`, in any case where its getter minds the case: mappings, lists."""
    values = getter.get(carrier, name)
    if values is None and (isinstance(getter, DefaultGetter) or isinstance(carrier, (list, tuple))):
        spelled = [key for key in getter.keys(carrier) if isinstance(key, str) and key.lower() == name]
        values = [value for key in spelled for value in getter.get(carrier, key) or ()]
    return [values] if isinstance(values, (str, bytes)) else list(values or ())


def _one_of(values: list[Any]) -> str | None:
    """Return the one usable ID among the values of a header, or None; what is not taken is counted."""
    parts = _parts(values)
    if not parts:
        return None
    reason = parts if isinstance(parts, str) else ("ambiguous" if len(parts) > 1 else fault(next(iter(parts))))
    if reason is None:
        return next(iter(parts))
    with _lock:
        _rejected[reason] += 1
    return None


def _parts(values: list[Any]) -> set[str] | str:
    """Return the different values of a header, or why not. Servers join the values of a repeated header by commas."""
    if not all(isinstance(value, str) for value in values):
        return "type"
    if len(values) > _MAX_REPEATS or sum(map(len, values)) > _MAX_REPEATS * MAX_LENGTH:
        return "length"
    if len(values) == 1 and "," not in values[0]:
        return {values[0]} - {""}
    return {part for value in values for part in (piece.strip(" \t") for piece in value.split(",")) if part}


def _amazon(carrier: Any, getter: Getter[Any]) -> tuple[str | None, int | None]:
    """Return the ID and the trace ID in a load balancer's header; under a key the trace ID is derived like any."""
    values = _values(carrier, getter, AMAZON_HEADER)
    roots = {amazon_root(value) if isinstance(value, str) else None for value in values}
    root = roots.pop() if len(roots) == 1 else None
    if root is None:
        return None, None
    return trace_id_hex(root), root if resolved_settings().correlation_key is None else None
