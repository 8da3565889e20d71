"""Weave calls of ours into a function of somebody else's without a frame of ours.

A wrapper shows: in tracebacks, in the call stack that logging prints, in whatever counts frames to find a caller.
A woven function, or coroutine function, is the original source compiled again at its own file, name, lines and columns,
with a call before the first statement and one after the last. What it raises looks as it always did.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_BEFORE = "_clew_before"
_AFTER = "_clew_after"
_GATE = "_clew_gate"
_REBIND = "_clew_rebind"
_ENTER = "_clew_enter"
_TICKET = "_clew_ticket"


def weave(
    function: Callable[..., Any],
    *,
    before: Callable[..., object] | None = None,
    after: Callable[..., object] | None = None,
    gate: Callable[..., object] | None = None,
    rebind: Callable[..., object] | None = None,
    enter: Callable[..., tuple[object, object]] | None = None,
    rebound: str | None = None,
    variadic: bool = False,
) -> FunctionType | None:
    """Return `function` with `before` and `after` called on its positional parameters, or None if that can't be.

    `after` runs whether the body returns or raises, and sees the parameters as the body left them. Both must take
    the function's positional parameters and must not raise. None means: no Python source, a closure, a generator, or a
    source that does not match the code; the caller then has to fall back to a wrapper.

    Args:
        function: A plain function; it stays as it is.
        before: Called first.
        after: Called last.
        gate: Called first; where it returns None the function returns None at once, anything else is handed to
            `after` as one more argument.
        rebind: Called first; what it returns takes the place of the parameter `rebound`.
        enter: Called first; of what it returns the first is handed to `after` as one more argument, and the second
            takes the place of the parameter `rebound`.
        rebound: The name of a positional parameter, the first one by default.
        variadic: Whether the calls also get the function's `*args` as a tuple and its `**kwargs` as a dict.
    """
    if not isinstance(function, FunctionType) or function.__closure__:
        return None
    given = {_BEFORE: before, _AFTER: after, _GATE: gate, _REBIND: rebind, _ENTER: enter}
    calls = {name: call for name, call in given.items() if call is not None}
    try:
        code = _compile(function, calls.keys(), rebound, variadic=variadic)
    except (OSError, SyntaxError, ValueError, IndexError, TypeError):
        return None
    if code is None:
        return None
    return _bind(function, code, calls)


def _compile(function: FunctionType, calls: Collection[str], rebound: str | None, *, variadic: bool) -> CodeType | None:
    """Compile the woven source; the code keeps the original's file, name, line and column numbers."""
    original = function.__code__
    lines = linecache.getlines(original.co_filename)
    block = inspect.getblock(lines[original.co_firstlineno - 1 :])
    definition = _parse("".join(block), original.co_firstlineno)
    if not isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)) or definition.name != original.co_name:
        return None
    definition.decorator_list = []
    definition.returns = None
    _insert(definition, calls, rebound, variadic=variadic)
    outer = _enclose(definition)
    woven = compile(outer, original.co_filename, "exec", dont_inherit=True)
    return _find(woven, original)


def _parse(source: str, first_line: int) -> ast.stmt:
    """Parse one definition as it stands in its file, at its own lines.

    An `if` around a method keeps its indentation, and so its columns, valid.
    """
    if not source[:1].isspace():
        tree = ast.parse(source)
        ast.increment_lineno(tree, first_line - 1)
        return tree.body[0]
    tree = ast.parse("if True:\n" + source)
    ast.increment_lineno(tree, first_line - 2)
    return cast("ast.If", tree.body[0]).body[0]


def _insert(
    definition: ast.FunctionDef | ast.AsyncFunctionDef, calls: Collection[str], rebound: str | None, *, variadic: bool
) -> None:
    """Put the calls round the body of `definition`."""
    arguments = definition.args
    parameters = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
    passed = parameters + [item.arg for item in (arguments.vararg, arguments.kwarg) if item is not None and variadic]
    body = definition.body
    docstring = body[:1] if ast.get_docstring(definition, clean=False) is not None else []
    rest = body[len(docstring) :]
    first, last = rest[0], rest[-1]
    if _AFTER in calls:
        told = [*passed, _TICKET] if _GATE in calls or _ENTER in calls else passed
        end = _statements(f"{_AFTER}({', '.join(told)})", last)
        rest = [ast.copy_location(ast.Try(body=rest, handlers=[], orelse=[], finalbody=end), first)]
    start = []
    if _BEFORE in calls:
        start += _statements(f"{_BEFORE}({', '.join(passed)})", first)
    if _GATE in calls:
        start += _statements(f"{_TICKET} = {_GATE}({', '.join(passed)})\nif {_TICKET} is None:\n  return None", first)
    place = parameters[parameters.index(rebound) if rebound else 0] if parameters else ""
    if _REBIND in calls:
        start += _statements(f"{place} = {_REBIND}({', '.join(passed)})", first)
    if _ENTER in calls:
        start += _statements(f"{_TICKET}, {place} = {_ENTER}({', '.join(passed)})", first)
    definition.body = [*docstring, *start, *rest]


def _statements(source: str, place: ast.stmt) -> list[ast.stmt]:
    """Parse `source` and give each of its nodes the position of `place`."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, (ast.stmt, ast.expr)):
            ast.copy_location(node, place)
    return module.body


def _enclose(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.Module:
    """Wrap `definition` in a function whose parameters are the calls: they become free variables, not globals."""
    outer = ast.parse(f"def outer({_BEFORE}, {_AFTER}, {_GATE}, {_REBIND}, {_ENTER}):\n    pass")
    function = cast("ast.FunctionDef", outer.body[0])
    function.body = [definition]
    return ast.fix_missing_locations(outer)


def _find(module: CodeType, original: CodeType) -> CodeType | None:
    """Find the woven function's code inside the compiled module and give it the original's names."""
    outer = next(const for const in module.co_consts if isinstance(const, CodeType))
    woven = next(
        const for const in outer.co_consts if isinstance(const, CodeType) and const.co_name == original.co_name
    )
    arguments = (
        original.co_argcount,
        original.co_posonlyargcount,
        original.co_kwonlyargcount,
        original.co_flags & 0x2C,
    )
    if (
        woven.co_argcount,
        woven.co_posonlyargcount,
        woven.co_kwonlyargcount,
        woven.co_flags & 0x2C,
    ) != arguments:
        return None
    if hasattr(original, "co_qualname"):
        names: dict[str, Any] = {"co_qualname": original.co_qualname}
        return woven.replace(**names)
    return woven


def _bind(function: FunctionType, code: CodeType, calls: dict[str, Callable[..., object]]) -> FunctionType:
    """Make the function object: the original's globals, defaults and metadata, our calls as its closure."""
    cells = tuple(_cell(calls[name]) for name in code.co_freevars)
    woven = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, cells)
    woven.__kwdefaults__ = cast("dict[str, Any]", function.__kwdefaults__)
    woven.__doc__ = function.__doc__
    woven.__qualname__ = function.__qualname__
    woven.__module__ = function.__module__
    woven.__annotations__ = dict(function.__annotations__)
    woven.__dict__.update(function.__dict__)
    return woven


def _cell(value: object) -> Any:
    """Make a closure cell that holds `value`."""
    return (lambda: value).__closure__[0]  # type: ignore[index]  # the lambda closes over `value`, so it has one cell
