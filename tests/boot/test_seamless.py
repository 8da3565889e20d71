"""A wrapper takes itself off a traceback, and nothing else."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import traceback
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from clew.tracebacks import CAN_BE_CUT, seamless, seamless_application, seamless_iterator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not CAN_BE_CUT, reason="Python 3.10 keeps a traceback of its own")


def _of_upstream(function: Callable[..., Any], module: str = "opentelemetry.instrumentation.shop") -> Any:
    """Return a function as if its module were one of upstream's."""
    scope = {**globals(), "__name__": module}
    assert isinstance(function, FunctionType)
    return FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)


def _fail(*_: object) -> None:
    raise LookupError("no shelf")


def _functions(work: Callable[[], object]) -> list[str]:
    """Return the functions in the traceback of a work that fails, below the work itself."""
    try:
        work()
    except (LookupError, ValueError, sqlite3.Error) as error:
        found = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        return [name for name in found if name not in {"_functions", "<lambda>"}]
    raise AssertionError("nothing failed")


def _wrapper(inner: Callable[..., Any]) -> Any:
    return inner()


def test_a_wrapper_is_not_shown() -> None:
    """The functions above and below it are."""
    wrapper = seamless(_of_upstream(_wrapper))

    assert ["_fail"] == _functions(lambda: wrapper(_fail))


def test_a_coroutine_function_is_not_shown() -> None:
    """Neither at once nor after it has waited."""

    async def wrapper(inner: Callable[..., Any]) -> None:
        await asyncio.sleep(0)
        inner()

    made = seamless(_of_upstream(wrapper))

    async def program() -> None:
        await made(_fail)

    assert inspect.iscoroutinefunction(made)
    assert ["program", "_fail"] == _functions(lambda: asyncio.run(program()))[-2:]


def test_an_application_asks_for_its_arguments() -> None:
    """An ASGI application is called with three; with none it fails at once, so that nobody takes it for a factory."""

    class Application:
        async def __call__(self, scope: object, receive: object, send: object) -> None:
            _fail()

    kind: Any = Application
    kind.__call__ = seamless_application(kind.__call__)
    made: Any = Application()

    assert inspect.iscoroutinefunction(made.__call__)
    with pytest.raises(TypeError, match="missing 3 required positional arguments"):
        made()
    assert "_fail" == _functions(lambda: asyncio.run(made(None, None, None)))[-1]


def test_an_iterator_is_not_shown() -> None:
    """What has been yielded before has arrived."""

    def wrapped() -> Iterator[int]:
        yield 1
        _fail()

    seen: list[int] = []

    assert ["_fail"] == _functions(lambda: seen.extend(seamless_iterator(_of_upstream(wrapped)())))
    assert [1] == seen


def test_wrappers_in_between_stay() -> None:
    """What the program's function calls is the program's business, as is an exception that it raises anew."""

    def program() -> None:
        _of_upstream(_wrapper)(_fail)

    wrapper = seamless(_of_upstream(_wrapper))

    assert ["program", "_wrapper", "_fail"] == _functions(lambda: wrapper(program))


def test_a_wrappers_own_error_is_shown() -> None:
    """An instrumentation that fails by itself can be told from the program."""
    wrapper = seamless(_of_upstream(_fail))

    assert ["call", "_fail"] == _functions(wrapper)


def test_an_error_of_compiled_code_is_not_the_wrappers() -> None:
    """A library's exception that no function raised came out of what the wrapper called."""
    wrapper = seamless(_of_upstream(_wrapper))
    with closing(sqlite3.connect(":memory:")) as connection:
        assert [] == _functions(lambda: wrapper(partial(connection.execute, "nonsense")))
    assert ["call", "_wrapper"] == _functions(lambda: wrapper(partial(int, "one")))


@dataclass(frozen=True)
class FrozenError(LookupError):
    """An exception none of whose attributes can be set."""

    reason: str


def test_an_exception_that_cannot_be_changed_is_the_programs() -> None:
    """It goes on as it is, without the wrapper."""

    def program() -> None:
        raise FrozenError("no shelf")

    wrapper = seamless(_of_upstream(_wrapper))
    with pytest.raises(FrozenError) as caught:
        wrapper(program)

    assert ["program"] == [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][1:]


def test_functions_of_a_named_module_go_too() -> None:
    """What is called only because there is a wrapper is not shown either, where it is named."""
    passing = _of_upstream(_wrapper, "shop.middlewares")

    assert ["_wrapper", "_fail"] == _functions(lambda: seamless(passing)(_fail))
    assert ["_fail"] == _functions(lambda: seamless(passing, also="shop.middlewares")(_fail))


def test_it_looks_like_the_wrapper() -> None:
    """Name, documentation, and the attributes by which an instrumentation finds and undoes its own."""

    def wrapper(one: int, two: int = 2) -> None:
        """Do it."""

    def original(one: int, two: int = 2) -> None:
        """Do it."""

    wrapper.__dict__.update(applied=True, __wrapped__=original)
    made = seamless(wrapper)

    assert (wrapper.__name__, wrapper.__qualname__, wrapper.__doc__, wrapper.__dict__) == (
        made.__name__,
        made.__qualname__,
        made.__doc__,
        {name: held for name, held in made.__dict__.items() if name != "__signature__"},
    )
    assert inspect.signature(original) == inspect.signature(made)
    assert inspect.signature(_of_upstream(_wrapper)) == inspect.signature(seamless(_of_upstream(_wrapper)))
