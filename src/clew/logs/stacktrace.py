"""The text of an exception's full chain, as `traceback.format_exception` has it, at a fiftieth of its cost.

The lines of one frame are made once for each place in the code. Left out are the carets under a line, lines after the
first of a long expression, and the suggestions of Python 3.12 and newer, which look through the program's objects.
"""

from __future__ import annotations

import builtins
import linecache
import traceback
from typing import TYPE_CHECKING, Any, Final

from clew.logs.values import MAX_TEXT, Sanitizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType, TracebackType

_HEADER: Final = "Traceback (most recent call last):\n"
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_GROUPS: Final[Any] = getattr(builtins, "BaseExceptionGroup", ())

# The slots of BaseException itself: what a subclass puts over them is not ours to run.
_cause: Final = vars(BaseException)["__cause__"].__get__
_context: Final = vars(BaseException)["__context__"].__get__
_suppressed: Final = vars(BaseException)["__suppress_context__"].__get__
_dict: Final = vars(BaseException)["__dict__"].__get__
_traceback: Final = vars(BaseException)["__traceback__"].__get__

_REPEATS_SHOWN: Final = 3
_PLACES_MAX: Final = 8192
"""Places whose lines are remembered; a program that compiles code all the time starts over at this number."""

_places: dict[tuple[int, int], tuple[CodeType, str]] = {}


def format_exception(error: BaseException, sanitizer: Sanitizer) -> str:
    """Return the text of `error` and all that it was raised from; never raises what the exceptions themselves raise."""
    chain = list(_chain(error))
    if any(isinstance(link, _GROUPS) for link, _ in chain):
        text = "".join(traceback.TracebackException(type(error), error, error.__traceback__).format())
    else:
        text = "".join(f"{joint}{_format_one(link, sanitizer)}" for link, joint in reversed(chain))
    return sanitizer.text(_shorten(text))


def type_name(kind: type) -> str:
    """Return the type's name, qualified by its module unless that is `builtins`."""
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def message_of(error: BaseException, sanitizer: Sanitizer) -> str:
    """Return `str(error)`, guarded."""
    arguments = error.args
    if len(arguments) == 1 and type(arguments[0]) is str and type(error).__str__ is BaseException.__str__:
        return sanitizer.text(arguments[0])
    return sanitizer.render(error)


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yield `error` and what it was raised from, each with the words that lead from the next to it."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None:
        seen.add(id(link))
        cause, context = _cause(link), _context(link)
        following, joint = None, ""
        if cause is not None and id(cause) not in seen:
            following, joint = cause, _CAUSE
        elif context is not None and not _suppressed(link) and id(context) not in seen:
            following, joint = context, _CONTEXT
        yield link, joint
        link = following


def _format_one(error: BaseException, sanitizer: Sanitizer) -> str:
    """Return the text of one link of the chain."""
    stack: TracebackType | None = _traceback(error)
    head = f"{_HEADER}{''.join(_frames(stack))}" if stack is not None else ""
    if isinstance(error, SyntaxError) or _dict(error).get("__notes__"):
        return head + "".join(traceback.format_exception_only(type(error), error))
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in {"__main__", "builtins"} else type_name(kind)
    message = message_of(error, sanitizer)
    return f"{head}{name}: {message}\n" if message else f"{head}{name}\n"


def _frames(stack: TracebackType | None) -> Iterator[str]:
    """Yield the lines of each frame; a frame that repeats is told once with a count, as a deep recursion's are."""
    last, repeats = "", 0
    while stack is not None:
        text = _place(stack.tb_frame, stack.tb_lineno)
        if text is last:
            repeats += 1
        else:
            yield _repeated(repeats)
            last, repeats = text, 1
        if repeats <= _REPEATS_SHOWN:
            yield text
        stack = stack.tb_next
    yield _repeated(repeats)


def _repeated(repeats: int) -> str:
    more = repeats - _REPEATS_SHOWN
    return f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n" if more > 0 else ""


def _place(frame: FrameType, line: int) -> str:
    """Return the lines of a frame. The key is the code's identity: two equal code objects may come from two files."""
    code = frame.f_code
    known = _places.get((id(code), line))
    if known is not None and known[0] is code:
        return known[1]
    if len(_places) >= _PLACES_MAX:
        _places.clear()
    text = _describe(code, line, frame.f_globals)
    _places[id(code), line] = (code, text)
    return text


def _describe(code: CodeType, line: int, module: dict[str, Any]) -> str:
    source = linecache.getline(code.co_filename, line, module).strip() if line else ""
    shown = f"    {source}\n" if source else ""
    return f'  File "{code.co_filename}", line {line}, in {code.co_name}\n{shown}'


def _shorten(text: str) -> str:
    """Cut what is too long in the middle: where it began and what it was stand at the ends."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2 - 64
    return f"{text[:half]}\n  [{len(text) - 2 * half} characters left out]\n{text[-half:]}"
