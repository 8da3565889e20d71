"""One run of a timed operation: its span, its duration, its error, on whatever providers are in force."""

from __future__ import annotations

import functools
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import INVALID_SPAN, Status, StatusCode, set_span_in_context

from clew import diagnostics
from clew.latency.cardinality import BoundedNames
from clew.schema import ERROR_TYPE, METRIC_OPERATION_DURATION, METRICS, OPERATION_NAME
from clew.version import __version__

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

_SCOPE: Final = "clew"

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds that the semantic conventions give for durations, in seconds; an exponential histogram ignores them."""

MAX_NAMES: Final = 256
_MAX_ERROR_TYPES: Final = 128

_names = BoundedNames(MAX_NAMES, "operation names of clew.timed (a name must not hold values)")
_error_types = BoundedNames(_MAX_ERROR_TYPES, "types of errors that ended timed operations")


class _Instruments(NamedTuple):
    """The tracer and the histogram of the providers in force."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    tracer: Tracer
    duration: Histogram


_instruments: _Instruments | None = None


def _current_instruments() -> _Instruments:
    """Return the instruments of the providers in force, which may be set after the first operation was timed."""
    global _instruments  # noqa: PLW0603 - a memory of what can always be made again
    tracer_provider, meter_provider = trace.get_tracer_provider(), metrics.get_meter_provider()
    known = _instruments
    if known is not None and known.tracer_provider is tracer_provider and known.meter_provider is meter_provider:
        return known
    unit, description = METRICS[METRIC_OPERATION_DURATION]
    histogram = meter_provider.get_meter(_SCOPE, __version__).create_histogram(
        METRIC_OPERATION_DURATION, unit, description, explicit_bucket_boundaries_advisory=BUCKETS_S
    )
    tracer = tracer_provider.get_tracer(_SCOPE, __version__)
    known = _instruments = _Instruments(tracer_provider, meter_provider, tracer, histogram)
    return known


class Operation:
    """A run in progress: measured from its making to `end`, its span current between `resume` and `pause`."""

    __slots__ = ("_context", "_duration", "_name", "_started_s", "_token", "span")

    def __init__(self, name: str) -> None:
        instruments = _current_instruments()
        self._name = name
        self._duration = instruments.duration
        self.span: Span = instruments.tracer.start_span(name)
        self._context: Context = set_span_in_context(self.span)
        self._token: Token[Context] | None = None
        self._started_s = perf_counter()

    def resume(self) -> None:
        """Make the operation's span the current one."""
        self._token = attach(self._context)

    def pause(self) -> None:
        """Give back the context that was current before `resume`."""
        if self._token is not None:
            detach(self._token)
            self._token = None

    def end(self, error: BaseException | None = None) -> None:
        """Record the duration, and the error if one ended the run. Never raises."""
        duration_s = perf_counter() - self._started_s
        try:
            self._end(duration_s, error)
        except Exception as trouble:  # noqa: BLE001 - promise: what the program does does not depend on being timed
            _report(trouble)

    def _end(self, duration_s: float, error: BaseException | None) -> None:
        attributes = _attributes(self._name, error)
        self._duration.record(duration_s, attributes, self._context)
        # As upstream's own context managers: what is no Exception (an exit, a cancellation) is no failure of the span.
        if isinstance(error, Exception) and self.span.is_recording():
            self.span.record_exception(error)
            self.span.set_attribute(ERROR_TYPE, attributes[ERROR_TYPE])
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()


class _Untimed(Operation):
    """What runs in place of an operation that could not be begun: nothing is measured."""

    __slots__ = ()

    def __init__(self) -> None:
        self.span = INVALID_SPAN

    def resume(self) -> None:
        """Leave the context as it is."""

    def pause(self) -> None:
        """Leave the context as it is."""

    def end(self, error: BaseException | None = None) -> None:
        """Record nothing."""


def begin(name: str) -> Operation:
    """Begin a run of the operation `name`. Never raises."""
    try:
        return Operation(name)
    except Exception as trouble:  # noqa: BLE001 - as in Operation.end
        _report(trouble)
        return _Untimed()


def _report(trouble: Exception) -> None:
    diagnostics.report("timed", f"an operation was not timed: {type(trouble).__name__}: {trouble}")


@functools.lru_cache(maxsize=MAX_NAMES)
def _attributes_without_error(name: str) -> dict[str, str]:
    return {OPERATION_NAME: _names.admit(name)}


def _attributes(name: str, error: BaseException | None) -> dict[str, str]:
    attributes = _attributes_without_error(name)
    if error is None or isinstance(error, GeneratorExit):
        return attributes
    kind = type(error)
    qualified = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {**attributes, ERROR_TYPE: _error_types.admit(qualified)}
