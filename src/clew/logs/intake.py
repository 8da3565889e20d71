"""Where all that was captured comes in: sampling, folding, then the sink; and the counts of what did not get there."""

from __future__ import annotations

import atexit
import math
from typing import TYPE_CHECKING, Final

from clew import diagnostics
from clew.logs.limits import bound
from clew.logs.sampling import Folding
from clew.otel_variables import AttributeLimits, log_attribute_limits
from clew.settings import process_environment

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from clew.entry import LogEntry
    from clew.settings import Settings

WARN: Final = 13
"""The lowest severity number that sampling never leaves out."""

claims: Final[list[Callable[[logging.LogRecord], bool]]] = []
"""Bridges that say whether a record is another form of an event which they have captured."""

refiners: Final[list[Callable[[logging.LogRecord, LogEntry], LogEntry]]] = []
"""Bridges that know more of a record than it holds."""


class _State:
    """What `open_to` was told, and the counts."""

    sink: Callable[[LogEntry], None] | None = None
    folding: Folding | None = None
    limits = AttributeLimits(None, None)
    most_attributes: float = math.inf
    """How many attributes a record may have without a look at them; 0 where their lengths are bounded."""
    by_trace = False
    sampled_out = 0
    failed = 0


def open_to(sink: Callable[[LogEntry], None], settings: Settings) -> None:
    """Hand what comes in to `sink` from now on."""
    flush()
    if settings.log_fold_s:
        atexit.unregister(flush)
        atexit.register(flush)
    _State.folding = Folding(sink, settings.log_fold_s) if settings.log_fold_s else None
    _State.sink = _State.folding.put if _State.folding else sink
    _State.limits = log_attribute_limits(process_environment())
    _State.most_attributes = 0 if _State.limits.length is not None else _most(_State.limits.count)
    _State.by_trace = settings.log_sampling == "trace"


def close() -> None:
    """Take nothing more, after what is folded."""
    flush()
    _State.sink = _State.folding = None


def flush() -> None:
    """Emit the counts of folded records that have not been emitted yet."""
    if _State.folding is not None:
        _State.folding.flush()


def counts() -> dict[str, int]:
    """Return how many records sampling left out, and how many could not be captured."""
    return {"sampled_out": _State.sampled_out, "failed": _State.failed}


def offer(entry: LogEntry) -> None:
    """Take an entry in, unless its trace is not sampled. May raise what the sink raises."""
    sink = _State.sink
    if sink is None or (_State.by_trace and _leaves_out(entry)):
        return
    attributes = entry.attributes
    sink(entry if not attributes or len(attributes) <= _State.most_attributes else bound(entry, _State.limits))


def _most(count: int | None) -> float:
    return math.inf if count is None else count


def _leaves_out(entry: LogEntry) -> bool:
    """Return whether sampling leaves a record out: below WARN, and in a trace that is not sampled.

    As the specification has it for `trace_based` loggers: a record outside any trace is kept.
    """
    if entry.severity_number >= WARN or not entry.trace_id or entry.trace_flags & 1:
        return False
    _State.sampled_out += 1
    return True


def failed(error: Exception) -> None:
    """Count a record that could not be captured, and say so."""
    _State.failed += 1
    diagnostics.report("log-capture", f"a log record was not captured: {type(error).__name__}: {error}")
