"""Hooks in other people's functions that can be taken out again: woven where a frame of ours would show."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from clew import diagnostics
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable


class Patches:
    """The hooks that one capability has set.

    A hook that cannot be set is told once and left out: the program runs, and its IDs do not go that way.
    """

    def __init__(self) -> None:
        self._set: list[tuple[Any, str, Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._set)

    def weave(self, owner: Any, name: str, **calls: Any) -> None:
        """Weave `calls` into function `name` of `owner`, a method at its first use; see `clew.weaving.weave`."""
        original = vars(owner).get(name)
        if any(owner is known and name == taken for known, taken, _, _ in self._set):
            return
        if original is None:
            _tell(owner, name)
        elif isinstance(owner, type):
            self.replace(owner, name, _Unwoven(owner, name, original, calls))
        else:
            self.replace(owner, name, _woven(owner, name, original, calls))

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Put `value` in the place of attribute `name` of `owner`."""
        self._set.append((owner, name, vars(owner).get(name), value))
        setattr(owner, name, value)

    def remove(self) -> None:
        """Put back what was there, the last first, except where someone has put something else there since."""
        while self._set:
            owner, name, original, value = self._set.pop()
            current = vars(owner).get(name)
            if current is not value and current is not getattr(value, "woven", value):
                continue
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


class _Unwoven:
    """Stands for a method until it is looked up, then weaves it: that takes milliseconds, and few programs need it."""

    def __init__(self, owner: type, name: str, original: Any, calls: dict[str, Any]) -> None:
        self.woven: Any = None
        self._place = owner, name, original, calls

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        self.woven = _woven(*self._place)
        setattr(self._place[0], self._place[1], self.woven)
        bind = getattr(type(self.woven), "__get__", None)
        return bind(self.woven, instance, owner) if bind is not None else self.woven


def _woven(owner: Any, name: str, original: Any, calls: dict[str, Any]) -> Any:
    """Return `original` woven; itself where there is no source to weave into, which is told."""
    is_static = isinstance(original, staticmethod)
    woven = weave(getattr(original, "__func__", original), **calls)
    if woven is None:
        _tell(owner, name)
        return original
    return staticmethod(woven) if is_static else woven


def _tell(owner: Any, name: str) -> None:
    place = f"{owner.__name__}.{name}"
    diagnostics.report(f"carrier-{place}", f"correlation IDs do not pass through {place}: no source to weave into")


def guarded(call: Callable[..., None]) -> Callable[..., None]:
    """Return `call` so that it never raises: it runs inside the program's own functions."""

    @functools.wraps(call)
    def guard(*args: Any) -> None:
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001 - promise: the program's function does what it did without us
            diagnostics.report(
                f"carrier-{call.__name__}", f"a correlation ID was not carried: {type(error).__name__}: {error}"
            )

    return guard
