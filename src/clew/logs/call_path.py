"""Which functions led to an error: frames reduced to what is the same on every machine and every Python.

A place is a module and a function. The call path of an error runs from where the program's own code was entered, by a
framework, a thread or an event loop, down to the raise: so it does not depend on where the exception was caught.
docs/reference/fingerprint.md publishes the rules.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import repeat
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType, FrameType, TracebackType

Kind = Literal["program", "library", "standard", "glue"]

_GLUE: Final = frozenset({"clew", "contextlib", "functools", "importlib", "opentelemetry", "wrapt"})
"""Packages whose frames are passed over: they wrap calls, and come and go with instrumentation and Python versions."""

_INLINED: Final = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
"""Frames that Python 3.12 stopped making (PEP 709)."""

_INSTALLED = re.compile(r".*/(?:site-packages|dist-packages|[^/]+\.egg)/(.+)")
_STANDARD = re.compile(r".*/lib(?:64)?/(?:python|pypy)\d[^/]*/(.+)|[A-Za-z]:/(?:.*/)?[Pp]ython[^/]*/[Ll]ib/(.+)")
_FROZEN = re.compile(r"<frozen ([\w.]+)>")
_CELL = re.compile(r"<ipython-input-.*>|.*/ipykernel_\d+/\d+\.py")

MAX_FRAMES: Final = 4096
"""Frames of one traceback that are looked at; deeper ones can only be recursion."""

_MAX_CALLERS: Final = 128
_MAX_PLACES: Final = 8192


class Place:
    """A module and a function, and whose code it is; one for each code object, compared by identity."""

    __slots__ = ("code", "function", "is_foreign", "is_program", "kind", "module", "name")

    def __init__(self, kind: Kind, module: str, function: str) -> None:
        self.kind = "glue" if function in _INLINED or module.partition(".")[0] in _GLUE else kind
        self.is_program = self.kind == "program"
        self.is_foreign = self.kind in {"library", "standard"}
        self.module = module
        self.function = function
        self.code: CodeType | None = None
        self.name: object = self

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


_places: dict[int, Place] = {}
_NOT_SEEN: Final = Place("glue", "", "")
"""Its name is that of no frame."""


def of_traceback(traceback: TracebackType | None) -> tuple[Place, ...]:
    """Return the places of a traceback, outermost first: what an error costs each time, so kept to look-ups."""
    places: list[Place] = []
    find, add = _places.get, places.append
    scope = name = None
    for _ in repeat(None, MAX_FRAMES):
        if traceback is None:
            break
        frame = traceback.tb_frame
        place = find(id(frame.f_code), _NOT_SEEN)
        if frame.f_globals is not scope:
            scope = frame.f_globals
            name = scope.get("__name__")
        if place.name is not name:
            place = of_frame(frame)
        add(place)
        traceback = traceback.tb_next
    return tuple(places)


def of_frame(frame: FrameType) -> Place:
    """Return the place of a live frame, remembered by its code object, which the memory keeps alive."""
    code = frame.f_code
    place = _places.get(id(code))
    if place is not None and place.name is frame.f_globals.get("__name__"):
        return place
    if len(_places) >= _MAX_PLACES:
        _places.clear()
    place = _make_place(frame)
    place.code, place.name = code, frame.f_globals.get("__name__")
    _places[id(code)] = place
    return place


def _make_place(frame: FrameType) -> Place:
    path, function = frame.f_code.co_filename, frame.f_code.co_name
    kind, module = of_path(path)
    return Place(kind, module or _module_name(frame, file_stem(path)), function)


def _module_name(frame: FrameType, stem: str) -> str:
    """Return the name of a program's module; a script and `python -m` are named as if they were imported."""
    name = frame.f_globals.get("__name__")
    if name in {"__main__", "__mp_main__"}:
        name = getattr(frame.f_globals.get("__spec__"), "name", None)
    if not isinstance(name, str):
        return stem
    if stem.startswith("<") or stem in {name.rpartition(".")[2], "__init__"}:
        return name
    return f"{name}/{stem}"


def of_path(path: str) -> tuple[Kind, str]:
    """Return whose code a source file is, and its module's name: empty for the program's own, as no path tells it."""
    path = path.replace("\\", "/")
    if installed := _INSTALLED.fullmatch(path):
        return "library", dotted(installed[1])
    if standard := _STANDARD.fullmatch(path):
        return "standard", dotted(standard[1] or standard[2])
    if frozen := _FROZEN.fullmatch(path):
        return "standard", frozen[1]
    return "program", "<cell>" if _CELL.fullmatch(path) else ""


def dotted(relative_path: str) -> str:
    """Return the module name of a path below a root: `a/b.py` is `a.b`, `a/__init__.py` is `a`."""
    name = re.sub(r"\.\w+$", "", relative_path.replace("\\", "/")).replace("/", ".")
    return name.removesuffix(".__init__") or name


def file_stem(path: str) -> str:
    """Return a source file's name without folder and suffix; `<string>` and the like stay."""
    return path if path.startswith("<") else re.sub(r"\.\w+$", "", re.split(r"[/\\]", path)[-1])


def callers(places: Sequence[Place], frame: FrameType) -> tuple[Place, ...]:
    """Return the callers of a traceback's outermost `frame` that belong to the path, innermost first.

    They go out to the program's innermost run, and to its end. None where `places`, the traceback itself, shows how
    the program's own code was entered.
    """
    inside = foreign = False
    for place in places:
        if place.is_program:
            if foreign:
                return ()
            inside = True
        elif place.is_foreign:
            foreign = True
    found: list[Place] = []
    find = _places.get
    caller = frame.f_back
    while caller is not None and len(found) < _MAX_CALLERS:
        place = find(id(caller.f_code), _NOT_SEEN)
        if place.name is not caller.f_globals.get("__name__"):
            place = of_frame(caller)
        if place.is_program:
            inside = True
        elif inside and place.is_foreign:
            break
        found.append(place)
        caller = caller.f_back
    return tuple(found) if inside else ()


def call_path(places: Iterable[Place], *, recursion_error: bool = False) -> list[str]:
    """Return the canonical frames of an error, outermost first.

    They are the innermost run of the program's own functions and, below it, the library's function that was called and
    the one that raised. Without any of the program's: the library's alone; without those: the standard library's
    modules.
    """
    ordered = [place for place in places if place.kind != "glue"]
    if not any(place.kind == "program" for place in ordered):
        return _foreign(ordered)
    run, tail = _innermost_run(ordered)
    if recursion_error:
        return _until_recursion([str(place) for place in [*run, *tail]])
    return _without_loops([str(place) for place in run]) + _ends(_without_loops([str(place) for place in tail]))


def _innermost_run(ordered: list[Place]) -> tuple[list[Place], list[Place]]:
    """Return the innermost run of the program's functions, and the library's below it."""
    end = max(index for index, place in enumerate(ordered) if place.kind == "program") + 1
    start = end
    while start and ordered[start - 1].kind == "program":
        start -= 1
    return ordered[start:end], [place for place in ordered[end:] if place.kind == "library"]


def _foreign(ordered: list[Place]) -> list[str]:
    libraries = [str(place) for place in ordered if place.kind == "library"]
    if libraries:
        return _ends(_without_loops(libraries))
    return _without_loops([place.module.partition(".")[0] for place in ordered])


def _ends(frames: list[str]) -> list[str]:
    """Return the first and the last: what lies between is a library's own business and moves with its releases."""
    return frames if len(frames) <= 1 else [frames[0], frames[-1]]


def _without_loops(frames: list[str]) -> list[str]:
    """Fold recursion: a function that comes again takes the path back to its first occurrence."""
    position: dict[str, int] = {}
    path: list[str] = []
    for frame in frames:
        if frame in position:
            for dropped in path[position[frame] + 1 :]:
                del position[dropped]
            del path[position[frame] + 1 :]
        else:
            position[frame] = len(path)
            path.append(frame)
    return path


def _until_recursion(frames: list[str]) -> list[str]:
    """Return the frames up to the first function that recurs: where the limit struck below it is chance."""
    times = Counter(frames)
    for index, frame in enumerate(frames):
        if times[frame] > 1:
            return frames[: index + 1]
    return frames
