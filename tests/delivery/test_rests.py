"""A long batch lets other threads run, and is the same batch."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from otlp_strategies import entries, spans
from pipelines import make_entry

from clew.delivery import json, protobuf
from clew.delivery.counts import Counts
from clew.delivery.encoding import SLICE
from clew.delivery.lanes import Lane
from clew.delivery.sdk import fields_of, read_span
from clew.delivery.thread import rest
from clew.delivery.worker import Worker
from clew.otel_variables import Batching

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

CODECS = pytest.mark.parametrize("codec", [protobuf, json])


@CODECS
@given(batch=st.lists(entries(), max_size=3), times=st.integers(1, 100))
def test_logs_are_the_same(codec: Any, batch: list[Any], times: int) -> None:
    """Rests between slices of log records change nothing, and there are as many as there are full slices behind."""
    rests: list[None] = []
    resource = Resource({})
    long = batch * times
    rested = codec.encode_logs(long, resource, rest=lambda: rests.append(None))

    assert codec.encode_logs(long, resource) == rested
    assert max(0, len(long) - 1) // SLICE == len(rests)


@CODECS
@given(batch=st.lists(spans(), max_size=3), times=st.integers(1, 100))
def test_spans_are_the_same(codec: Any, batch: list[ReadableSpan], times: int) -> None:
    """Nor do they with spans, nor does it matter whether these are read before they are encoded."""
    rests: list[None] = []
    long = batch * times
    rested = codec.encode_spans([fields_of(span) for span in long], rest=lambda: rests.append(None))

    assert codec.encode_spans(long) == rested
    assert max(0, len(long) - 1) // SLICE == len(rests)


class Route:
    """Takes all, and notes whether it was given a rest."""

    is_remote = True

    def __init__(self) -> None:
        self.rested: list[bool] = []

    def deliver(self, items: list[Any], deadline: float, rest: Any = None) -> int:
        """Take a batch."""
        assert deadline > time.monotonic()
        self.rested.append(rest is not None)
        return len(items)

    def replay(self, *_: Any) -> int:
        """Have nothing stored."""
        return 0


class _Durable:
    def release(self, entries: Any) -> None:
        """Hold nothing."""


@pytest.mark.parametrize(
    ("queued", "drain", "rested"), [(10, False, [True]), (25, False, [False, True, True]), (10, True, [False])]
)
def test_who_rests(queued: int, drain: bool, rested: list[bool]) -> None:
    """A batch is encoded at leisure unless another one waits behind it, or the process ends."""
    route, lane = Route(), Lane("logs", Batching(queue_size=100, batch_size=10, delay_s=0, timeout_s=60))
    lane.routes.append(route)
    lane.queue.extend(make_entry() for _ in range(queued))
    durable: Any = _Durable()
    worker = Worker((lane,), durable, Counts(), replay_bytes_per_s=0, keep_house=Counts, rest=rest)
    worker.step(drain=drain)

    assert rested == route.rested


def test_rest_lets_others_run() -> None:
    """A thread that waits for the interpreter has it during a rest, not after the switch interval."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(5)
    try:
        ran = threading.Event()
        thread = threading.Thread(target=ran.set)
        thread.start()
        for _ in range(100):
            rest()
        has_run = ran.is_set()
    finally:
        sys.setswitchinterval(interval_s)
        thread.join()

    assert has_run


def test_unreadable_span_is_kept_whole() -> None:
    """A span that cannot be read where it ends is queued as it is, and counted where it is encoded."""
    odd: Any = object()

    assert odd is fields_of(odd)
    with pytest.raises(AttributeError):
        read_span(odd)
