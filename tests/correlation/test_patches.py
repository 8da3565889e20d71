"""Hooks are set at their first use, taken out without a trace, and left out where they cannot be set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew import diagnostics
from clew.correlation.patches import Patches, guarded

if TYPE_CHECKING:
    import pytest


class Owner:
    """A class to hook."""

    def greet(self, name: str) -> str:
        """Greet."""
        return f"hello {name}"

    @staticmethod
    def add(first: int, second: int) -> int:
        """Add."""
        return first + second

    builtin = len


def test_methods_are_woven_at_their_first_use() -> None:
    """A method is replaced when it is looked up, whether through an instance or the class."""
    seen: list[object] = []
    original, patches = Owner.greet, Patches()

    patches.weave(Owner, "greet", before=lambda _, name: seen.append(name))
    patches.weave(Owner, "greet", before=lambda *_: seen.append("twice"))
    patches.weave(Owner, "add", rebind=lambda first, second: first * second, rebound="second")

    assert original is not Owner.__dict__["greet"]
    assert ("hello Ann", "hello Bob", 8) == (Owner().greet("Ann"), Owner.greet(Owner(), "Bob"), Owner.add(2, 3))
    assert ["Ann", "Bob"] == seen
    patches.remove()
    assert original is Owner.__dict__["greet"]
    assert 5 == Owner().add(2, 3)


def test_unused_hooks_are_taken_out() -> None:
    """A hook that was never used goes as it came."""
    original, patches = Owner.__dict__["greet"], Patches()

    patches.weave(Owner, "greet", before=lambda *_: None)
    assert patches
    patches.remove()

    assert original is Owner.__dict__["greet"]
    assert not patches


def test_hooks_of_others_stay() -> None:
    """What somebody has put over a hook since is not taken out with it."""
    original, patches = Owner.greet, Patches()
    patches.weave(Owner, "greet", before=lambda *_: None)

    def other(self: Owner, name: str) -> str:
        return name

    Owner.greet = other  # type: ignore[method-assign]
    patches.remove()
    try:
        assert other is Owner.greet
    finally:
        Owner.greet = original  # type: ignore[method-assign]


def test_what_has_no_source_is_left(capfd: pytest.CaptureFixture[str]) -> None:
    """A function that cannot be woven works as before, one that is missing stays missing, and each is told once."""
    diagnostics.forget()
    patches = Patches()

    patches.weave(Owner, "builtin", before=lambda *_: None)
    patches.weave(Owner, "missing", before=lambda *_: None)

    assert 3 == Owner.builtin("abc")
    assert not hasattr(Owner, "missing")
    told = capfd.readouterr().err.splitlines()
    assert [
        "clew: correlation IDs do not pass through Owner.missing: no source to weave into",
        "clew: correlation IDs do not pass through Owner.builtin: no source to weave into",
    ] == told
    patches.remove()


def test_guarded_calls_never_raise(capfd: pytest.CaptureFixture[str]) -> None:
    """What goes wrong in a hook is told, not raised."""
    diagnostics.forget()

    @guarded
    def fail(*_: object) -> None:
        raise ValueError("no")

    fail(1, 2)

    assert "clew: a correlation ID was not carried: ValueError: no\n" == capfd.readouterr().err
