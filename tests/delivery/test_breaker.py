"""The breaker opens at the first failure, waits longer each time, and closes at the first success."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clew.delivery.breaker import MAX_ASKED_PAUSE_S, MAX_PAUSE_S, Breaker


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def make(jitter: float = 1.0) -> tuple[Breaker, Clock]:
    """Make a breaker with a clock of the test's."""
    clock = Clock()
    return Breaker(clock=clock, jitter=lambda: jitter), clock


def test_closed_at_first() -> None:
    """A new breaker lets everything through."""
    breaker, _ = make()

    assert (False, True) == (breaker.is_open, breaker.is_due)


def test_back_off() -> None:
    """Each failed probe doubles the pause, up to a bound."""
    breaker, clock = make()
    pauses = []
    for _ in range(9):
        breaker.fail()
        begun = clock.now_s
        while not breaker.is_due:
            clock.now_s += 0.25
        pauses.append(clock.now_s - begun)

    assert [0.5, 1, 2, 4, 8, 16, 30, 30, 30] == pauses


def test_told_once() -> None:
    """Opening and closing are told once each."""
    breaker, _ = make()

    assert [True, False, True, False] == [breaker.fail(), breaker.fail(), breaker.succeed(), breaker.succeed()]


def test_asked_pause() -> None:
    """A pause that the Collector asks for is kept, within reason."""
    breaker, clock = make(0)
    breaker.fail(7)
    clock.now_s += 6.9
    assert not breaker.is_due
    clock.now_s += 0.2
    assert breaker.is_due
    breaker.fail(1e9)
    clock.now_s += MAX_ASKED_PAUSE_S
    assert breaker.is_due


def test_hurry() -> None:
    """Word from another signal makes the next probe due at once."""
    breaker, _ = make()
    breaker.fail()
    breaker.hurry()

    assert (True, True) == (breaker.is_open, breaker.is_due)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=30), st.floats(0, 1))
def test_bounds(asked: list[float | None], jitter: float) -> None:
    """However it fails, a try is due within a bound, and a success closes it."""
    breaker, clock = make(jitter)
    for pause_s in asked:
        breaker.fail(pause_s)
    clock.now_s += max(MAX_PAUSE_S, MAX_ASKED_PAUSE_S)

    assert breaker.is_due
    breaker.succeed()
    assert (False, 0.0) == (breaker.is_open, breaker.pause_s)
