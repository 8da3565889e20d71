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
        """Weave `calls` into the function `name` of `owner`, as `clew.weaving.weave` names them."""
        if any(owner is known and name == taken for known, taken, _, _ in self._set):
            return
        original = vars(owner).get(name)
        is_static = isinstance(original, staticmethod)
        woven = weave(getattr(original, "__func__", original), **calls) if original is not None else None
        if woven is None:
            place = f"{getattr(owner, '__module__', '')}.{owner.__name__}.{name}".lstrip(".")
            diagnostics.report(
                f"carrier-{place}", f"correlation IDs do not pass through {place}: no source to weave into"
            )
        else:
            self.replace(owner, name, staticmethod(woven) if is_static else woven)

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Put `value` in the place of attribute `name` of `owner`."""
        self._set.append((owner, name, vars(owner).get(name), value))
        setattr(owner, name, value)

    def remove(self) -> None:
        """Put back what was there, the last first, except where someone has put something else there since."""
        while self._set:
            owner, name, original, value = self._set.pop()
            if vars(owner).get(name) is not value:
                continue
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


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
