"""What Clew costs the process: CPU time of its hooks, measured on one call in 64, and of its start.

Delivery counts its own thread. What an instrumentation does around a request is counted as a whole, the spans and
metrics that it makes included. What is not counted: the code of instrumentations that are not measured, and what the
processor's caches lose.
"""

from __future__ import annotations

import os
import threading
import time
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from opentelemetry.sdk.trace import Span, Tracer

from clew import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import MeterProvider

F = TypeVar("F", bound="Callable[..., Any]")

ONE_IN: Final = 64
"""How many calls one measured call stands for; the clock of a thread's CPU time costs about 0.3 µs each time."""

_MEASURED_FIRST: Final = 64
"""Calls that are all measured, for themselves: the first ones import and fill caches, and stand for no others."""

_RARE: Final = 16
"""How many times the usual time a call takes that stands for no others, such as one in which garbage is collected."""

_REMEMBERED: Final = 16
"""How many of the last measured calls the usual one is a mean of, about."""

_HOOK: Final = "_clew_overhead"

# Not the program's: its random numbers must be the same with us.
_random: Final = Random()  # noqa: S311 - chooses which calls are measured


class _Here(threading.local):
    """Whether this thread is in a function that is measured as a whole."""

    whole = False


_here: Final = _Here()


class CallTimer:
    """Estimates the CPU time of calls from a random sample of them. Safe from any thread; takes no lock.

    Two threads that add at the very same moment may lose one of the two samples.
    """

    def __init__(self) -> None:
        self._total_s = 0.0
        self._empty_s = min(_empty_interval_s() for _ in range(20))

    def total_s(self) -> float:
        """Return the CPU seconds estimated so far in this process."""
        return self._total_s

    def reset(self) -> None:
        """Start from nothing, as a forked child does: its parent's calls are its parent's."""
        self._total_s = 0.0

    def measure(self, function: F) -> F:
        """Return `function` with a sample of its calls measured; its name, text and signature stay."""
        sample = _Sample(self, function)

        def measured(*args: Any, **kwargs: Any) -> Any:
            if sample.skip:
                sample.skip -= 1
                return function(*args, **kwargs)
            return sample(*args, **kwargs)

        return _named_after(function, measured)

    def measure_hook(self, function: F) -> F:
        """Do the same for a hook of two or three arguments that is called by position: a third of the cost."""
        sample = _Sample(self, function)

        def two(first: Any, second: Any) -> Any:
            if sample.skip:
                sample.skip -= 1
                return function(first, second)
            return sample(first, second)

        def three(first: Any, second: Any, third: Any) -> Any:
            if sample.skip:
                sample.skip -= 1
                return function(first, second, third)
            return sample(first, second, third)

        return _named_after(function, two if function.__code__.co_argcount == 2 else three)  # noqa: PLR2004 - as it says

    def measure_whole(self, function: F) -> F:
        """Return `function`, called by position and in one go, with all that it calls counted here and nowhere else."""
        sample = _Sample(self, function, is_part=False)

        def whole(*args: Any) -> Any:
            if _here.whole:
                return function(*args)
            _here.whole = True
            try:
                if sample.skip:
                    sample.skip -= 1
                    return function(*args)
                return sample(*args)
            finally:
                _here.whole = False

        return _named_after(function, whole)

    def add(self, used_s: float, times: int) -> None:
        """Add the CPU time of one call that stands for so many, the measuring itself taken off."""
        self._total_s += max(0.0, used_s - self._empty_s) * times


class _Sample:
    """Which calls of a function are measured, and the measuring."""

    __slots__ = ("_first", "_function", "_is_part", "_timer", "_usual_s", "skip")

    def __init__(self, timer: CallTimer, function: Callable[..., Any], *, is_part: bool = True) -> None:
        self._timer = timer
        self._function = function
        self._is_part = is_part
        self._first = _MEASURED_FIRST
        self._usual_s = 0.0
        self.skip = 0
        """Calls that go unmeasured until the next measured one."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, measured unless it is a part of a whole that is."""
        if self._is_part and _here.whole:
            self.skip = _random.randrange(2 * ONE_IN - 1)
            return self._function(*args, **kwargs)
        times = 1
        if self._first:
            self._first -= 1
        else:
            times, self.skip = ONE_IN, _random.randrange(2 * ONE_IN - 1)
        started_s = time.thread_time()
        try:
            return self._function(*args, **kwargs)
        finally:
            self._add(time.thread_time() - started_s, times)

    def _add(self, used_s: float, times: int) -> None:
        """Add a measured call: a rare one, in which Python collected garbage or imported, stands for itself alone."""
        if times > 1 and used_s > _RARE * self._usual_s:
            self._timer.add(used_s, 1)
            used_s, times = self._usual_s, times - 1
        else:
            self._usual_s += (used_s - self._usual_s) / _REMEMBERED
        self._timer.add(used_s, times)


def _named_after(function: F, measured: Any) -> F:
    """Return `measured` with what `functools.wraps` takes over, save the marks that other hooks have left."""
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(measured, name, getattr(function, name, None))
    measured.__wrapped__ = function
    return cast("F", measured)


def _empty_interval_s() -> float:
    started_s = time.thread_time()
    return time.thread_time() - started_s


logs: Final = CallTimer()
"""The hooks around log calls."""

spans: Final = CallTimer()
"""Spans: their start and their end, up to the queue of delivery."""

instruments: Final = CallTimer()
"""Metrics: what is recorded, until it is collected."""

requests: Final = CallTimer()
"""What instrumentations do when a request begins, is answered and ends."""

_MEASURED: Final[tuple[tuple[type, str, CallTimer], ...]] = (
    (Tracer, "start_span", spans),
    (Span, "end", spans),
    (Counter, "add", instruments),
    (UpDownCounter, "add", instruments),
    (Histogram, "record", instruments),
)


class _Start:
    """CPU seconds that the process had used when the boot ended; 0 in a forked child, which did not boot."""

    cpu_s = 0.0


def boot_ended() -> None:
    """Note what the start cost: Python's own included, since ours begins with it."""
    _Start.cpu_s = time.process_time()


def install() -> None:
    """Measure spans and metrics of the SDK. Idempotent; to be called after all other hooks on the same methods."""
    for owner, name, timer in _MEASURED:
        original = getattr(owner, name)
        if not getattr(original, _HOOK, False):
            measured = timer.measure(original)
            setattr(measured, _HOOK, True)
            setattr(owner, name, measured)


def uninstall() -> None:
    """Take the hooks away, unless someone has hooked over them."""
    for owner, name, _ in _MEASURED:
        measured = getattr(owner, name)
        if getattr(measured, _HOOK, False):
            setattr(owner, name, measured.__wrapped__)


def register_metrics(provider: MeterProvider) -> None:
    """Observe the costs in a meter of `provider`; once for each provider."""
    unit, description = schema.METRICS[schema.METRIC_OVERHEAD_CPU]
    meter = provider.get_meter("clew.latency")
    meter.create_observable_counter(schema.METRIC_OVERHEAD_CPU, [_observe], unit=unit, description=description)


def _observe(_: CallbackOptions) -> Iterable[Observation]:
    costs_s = {
        "logs": logs.total_s(),
        "spans": spans.total_s(),
        "metrics": instruments.total_s(),
        "requests": requests.total_s(),
        "start": _Start.cpu_s,
    }
    return [Observation(cost_s, {schema.COMPONENT: component}) for component, cost_s in costs_s.items()]


def _after_fork() -> None:
    for timer in (logs, spans, instruments, requests):
        timer.reset()
    _Start.cpu_s = 0.0


os.register_at_fork(after_in_child=_after_fork)
