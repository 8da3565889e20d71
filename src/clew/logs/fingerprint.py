"""A stable hash of an exception: the same for the same failure, whatever its values, lines, machine and Python.

The hash is taken over a canonical text of types and call paths; docs/reference/fingerprint.md publishes it with test
vectors, and `canonical_text` shows it. Nothing here raises, and no exception, frame or traceback is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from clew.logs import call_path, traceback_text
from clew.logs.failure import Failure, fingerprint, render

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from types import TracebackType

    from clew.logs.call_path import Place

_MAX_CHAIN: Final = 16
_MAX_MEMBERS: Final = 256
_MAX_DEPTH: Final = 8
_MAX_REMEMBERED: Final = 4096
_UNNAMED_MODULES: Final = frozenset({"builtins", "__main__", "__mp_main__"})
"""Modules that a type is named without; a traceback leaves out the first two."""
_GROUP_NAMES: Final = frozenset({"BaseExceptionGroup", "ExceptionGroup"})

# The slots of BaseException itself: a subclass may put a property of the same name over them, which is not ours to run.
_cause: Callable[[BaseException], BaseException | None] = vars(BaseException)["__cause__"].__get__
_context: Callable[[BaseException], BaseException | None] = vars(BaseException)["__context__"].__get__
_suppressed: Callable[[BaseException], bool] = vars(BaseException)["__suppress_context__"].__get__
_traceback: Callable[[BaseException], TracebackType | None] = vars(BaseException)["__traceback__"].__get__


_Sighting: TypeAlias = "tuple[str, tuple[Place, ...], tuple[Place, ...], str, _Sighting | None, tuple[_Sighting, ...]]"
"""What a fingerprint depends on, cheap to make and to compare: the key of the memory.

The type, the places of the traceback, outermost first, their callers, innermost first, the link to what came earlier,
that, and the members of a group.
"""

_remembered: dict[_Sighting, str] = {}
_types: dict[int, tuple[type | None, str, bool]] = {}
"""By `id`, since a metaclass may make hashing its own business; the class is held so that no other takes its place."""
_NO_TYPE: Final = (None, "", False)


def fingerprint_exception(exception: BaseException) -> str | None:
    """Return the fingerprint of an exception: 32 hex digits, or None where none can be made.

    While the functions that led to the exception still run, it is the same wherever on their way it is caught. An
    error that repeats is looked up, not computed again. Never raises; safe from any thread.
    """
    try:
        sighting = _see(exception)
        found = _remembered.get(sighting)
        if found is None:
            found = fingerprint(_failure(sighting))
            _remember(sighting, found)
    except Exception:  # noqa: BLE001 - a hostile exception class goes without a fingerprint, and the program on
        return None
    return found


def canonical_text(exception: BaseException) -> str | None:
    """Return the text over which the fingerprint is taken, or None where none can be made. Never raises."""
    try:
        return render(_failure(_see(exception)))
    except Exception:  # noqa: BLE001 - see fingerprint_exception
        return None


def fingerprint_traceback_text(text: str, known: Container[str] = ()) -> str | None:
    """Return the fingerprint of the first standard traceback in `text`, or None if there is none.

    A text has paths where an exception has module names. `known` are fingerprints that were made from exceptions: if
    naming the modules from one of the possible roots gives one of them, it is returned; otherwise the likeliest root
    is taken. Never raises.
    """
    try:
        fingerprints = [fingerprint(failure) for failure in traceback_text.readings(text)]
    except Exception:  # noqa: BLE001 - text of any origin; without a fingerprint it is only not grouped
        return None
    return next((found for found in fingerprints if found in known), fingerprints[0] if fingerprints else None)


def _remember(sighting: _Sighting, found: str) -> None:
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()
    _remembered[sighting] = found


def _see(exception: BaseException) -> _Sighting:
    """Look at an exception that was just caught: its callers, where they still run, belong to its path."""
    traceback = _traceback(exception)
    places = call_path.of_traceback(traceback)
    callers = () if traceback is None else call_path.callers(places, traceback.tb_frame)
    return _with_earlier(exception, places, callers, 0, None)


def _with_earlier(
    exception: BaseException,
    places: tuple[Place, ...],
    callers: tuple[Place, ...],
    depth: int,
    seen: set[int] | None,
) -> _Sighting:
    """Add what the exception was raised from or while handling, and its members if it is a group."""
    cls = type(exception)
    held, name, is_group = _types.get(id(cls), _NO_TYPE)
    if held is not cls:
        name, is_group = _name_type(cls)
    members = _members(exception, depth) if is_group else ()
    link = "cause"
    earlier = _cause(exception)
    if earlier is None:
        link = "context"
        earlier = _context(exception)
        if earlier is None or _suppressed(exception):
            return (name, places, callers, "", None, members)
    seen = {id(exception)} if seen is None else seen
    if id(earlier) in seen or len(seen) >= _MAX_CHAIN:
        return (name, places, callers, "", None, members)
    seen.add(id(earlier))
    before = _with_earlier(earlier, call_path.of_traceback(_traceback(earlier)), (), depth, seen)
    return (name, places, callers, link, before, members)


def _members(exception: BaseException, depth: int) -> tuple[_Sighting, ...]:
    """Return the members of an exception group (PEP 654) or of its backport."""
    members: Any = getattr(exception, "exceptions", ()) if depth < _MAX_DEPTH else ()
    return tuple(
        _with_earlier(member, call_path.of_traceback(_traceback(member)), (), depth + 1, None)
        for member in members[:_MAX_MEMBERS]
        if isinstance(member, BaseException)
    )


def _name_type(cls: type[BaseException]) -> tuple[str, bool]:
    """Return the type as a traceback names it, without its module for builtins and the script; and if it is a group."""
    module = cls.__module__
    name = cls.__qualname__ if module in _UNNAMED_MODULES else f"{module}.{cls.__qualname__}"
    is_group = any(base.__name__ in _GROUP_NAMES for base in cls.__mro__)
    if len(_types) >= _MAX_REMEMBERED:
        _types.clear()
    _types[id(cls)] = (cls, name, is_group)
    return name, is_group


def _failure(sighting: _Sighting) -> Failure:
    name, places, callers, link, earlier, members = sighting
    return Failure(
        name,
        tuple(call_path.call_path([*reversed(callers), *places], recursion_error=name == "RecursionError")),
        link,
        None if earlier is None else _failure(earlier),
        tuple(_failure(member) for member in members),
    )
