"""The mark on a record that has been captured, so that it is not captured again when it comes by once more.

A record comes by again when a handler passes it to another logger, and when a `QueueHandler` sends a copy to a listener
that hands it to `Logger.handle`, in this process or in another of the same program. The mark is the record's own
`processName`, as an equal string of a type of ours: nothing is added to the record and nothing prints differently.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from clew.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.correlation.origin import CurrentIds

_REVIVE: Final = "_clew_captured"
"""Where `logging` holds the way back from a pickle; a process without Clew makes a plain string."""


class Captured(str):
    """A process name that says of its record: captured, with these IDs if they were kept.

    Pickles as a plain string, save between the processes of one program.
    """

    __slots__ = ("ids",)

    ids: CurrentIds | None

    def __deepcopy__(self, memo: object) -> Captured:
        return self

    def __reduce_ex__(self, protocol: object) -> tuple[type[str], tuple[str]]:
        return str, (str.__str__(self),)


Captured.__name__ = Captured.__qualname__ = "str"
Captured.__module__ = "builtins"


marks: Final[dict[str, Captured]] = {}
"""The one mark of each process name that serves all records, where no IDs are kept on it."""


def make_mark(name: str, ids: CurrentIds | None = None) -> Captured:
    """Return a mark for a record of process `name`; one without IDs is kept in `marks`."""
    mark = Captured(name)
    mark.ids = ids
    return marks.setdefault(name, mark) if ids is None else mark


def install() -> None:
    """Let marks survive the queues of `multiprocessing`."""
    setattr(logging, _REVIVE, _revive)
    when_imported("multiprocessing.reduction", _register)


def _revive(name: str) -> Captured:
    return make_mark(name)


def _register(module: Any) -> None:
    module.ForkingPickler.register(Captured, lambda mark: (_Reviver(), (str.__str__(mark),)))


class _Module:
    """Pickles as the module `logging`."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return import_module, ("logging",)


class _Reviver:
    """Pickles as `getattr(logging, "_clew_captured", str)`, which any Python can load."""

    def __call__(self, name: str) -> str:
        return name

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return getattr, (_Module(), _REVIVE, str)
