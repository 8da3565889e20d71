"""Weaving calls into a function leaves everything that a program can see of it as it was."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import traceback
from concurrent.futures import thread as executor
from multiprocessing import pool
from typing import TYPE_CHECKING, Any

import pytest

from clew.weaving import weave

if TYPE_CHECKING:
    from types import CodeType


class _RaisingHandler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise ValueError(record.msg)


def _traceback_out_of(call_handlers: Any) -> str:
    logger = logging.Logger("woven")  # noqa: LOG001 - one that no other test can reach
    logger.addHandler(_RaisingHandler())
    record = logger.makeRecord("woven", logging.INFO, __file__, 1, "no", (), None)
    try:
        call_handlers(logger, record)
    except ValueError:
        return traceback.format_exc()
    return ""


def test_traceback_is_the_original_one() -> None:
    """An exception out of a woven function shows the same frames, lines and carets."""
    original = logging.Logger.callHandlers
    woven = weave(original, before=lambda *_: None, after=lambda *_: None)

    assert _traceback_out_of(original) == _traceback_out_of(woven)


def test_before_and_after_see_the_parameters() -> None:
    """Both calls get the positional parameters, in order, around the body."""
    seen: list[Any] = []
    woven = weave(
        logging.Filter.filter,
        before=lambda *arguments: seen.append(("before", arguments)),
        after=lambda *arguments: seen.append(("after", arguments)),
    )
    assert woven is not None
    rule = logging.Filter("a")
    record = logging.makeLogRecord({"name": "a.b"})

    result = woven(rule, record)

    assert bool(result) is True
    assert [("before", (rule, record)), ("after", (rule, record))] == seen


def test_after_runs_when_the_body_raises() -> None:
    """The call behind the body is made on the way out of an exception."""
    seen: list[str] = []
    woven = weave(logging.Logger.callHandlers, after=lambda _, record: seen.append(record.msg))

    assert "ValueError: no" in _traceback_out_of(woven)
    assert ["no"] == seen


@pytest.mark.parametrize(
    "function",
    [
        logging.Logger.callHandlers,
        logging.LogRecord.__init__,
        logging.PercentStyle.__init__,
        threading.Thread.start,
        threading.Thread._bootstrap_inner,
        executor.ThreadPoolExecutor.submit,
    ],
    ids=lambda function: function.__qualname__,
)
def test_metadata_is_kept(function: Any) -> None:
    """Name, signature, module, documentation, file and line are those of the original."""
    woven = weave(function, after=lambda *_: None)
    assert woven is not None

    def facts(subject: Any) -> list[Any]:
        code = subject.__code__
        return [
            subject.__name__,
            subject.__qualname__,
            subject.__module__,
            subject.__doc__,
            str(inspect.signature(subject)),
            code.co_filename,
            code.co_firstlineno,
            code.co_name,
        ]

    assert facts(function) == facts(woven)


def test_what_cannot_be_woven_is_none() -> None:
    """A function in C, a closure, or one without source gives None, so that the caller falls back."""
    held = 1
    namespace: dict[str, Any] = {}
    exec("def sourceless(): return 1", namespace)

    subjects: list[Any] = [len, lambda: held, namespace["sourceless"]]

    assert [None, None, None] == [weave(subject, after=lambda *_: None) for subject in subjects]


def _greet(name: str, *rest: str, **options: str) -> list[object]:
    """Return what it was called with."""
    return [name, rest, options]


def test_gate_stops_the_function_or_hands_on_its_ticket() -> None:
    """A gate that returns None ends the function at once; what it returns otherwise reaches `after`."""
    told: list[object] = []
    woven = weave(
        logging.Filterer.filter,
        gate=lambda _, record: record,
        after=lambda *arguments: told.append(arguments[1:]),
    )
    assert woven is not None
    filterer = logging.Filterer()

    assert (woven(filterer, None), told) == (None, [])
    woven(filterer, 7)
    assert told == [(7, 7)]


def test_rebind_replaces_the_first_parameter() -> None:
    """The body runs with what `rebind` returned in place of its first parameter."""
    woven = weave(_greet, rebind=lambda name: name.upper())
    assert woven is not None

    assert woven("ada", "x", y="z") == ["ADA", ("x",), {"y": "z"}]


def test_variadic_calls_get_everything() -> None:
    """With `variadic` the calls see the tuple and the dict of the remaining arguments."""
    told: list[object] = []
    woven = weave(_greet, before=lambda *arguments: told.append(arguments), variadic=True)
    assert woven is not None
    woven("ada", "x", y="z")

    assert told == [("ada", ("x",), {"y": "z"})]


def _address(name: str, greeting: str = "hello") -> str:
    return f"{greeting} {name}"


def test_a_named_parameter_can_be_rebound() -> None:
    """The parameter that is named gets what the call makes of them all; a name that is none weaves nothing."""
    woven = weave(_address, rebind=lambda name, greeting: f"{greeting}, dear", rebound="greeting")

    assert woven is not None
    assert "hello, dear Ann" == woven("Ann")
    assert weave(_address, rebind=lambda *_: None, rebound="missing") is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="columns came with Python 3.11")
def test_carets_of_a_module_level_function_stay() -> None:
    """A function that stands in column 0 of its module keeps its columns as a method does."""
    woven = weave(pool.worker, after=lambda *_: None)
    assert woven is not None

    def columns(code: CodeType) -> list[tuple[int | None, ...]]:
        return [tuple(place) for place in code.co_positions()]

    original = set(columns(pool.worker.__code__))
    assert original <= set(columns(woven.__code__))


class _Greeter:
    async def greet(self, name: str, say: Any) -> str:
        """Say hello."""
        if not name:
            raise ValueError("nobody")
        return str(await say(f"hello {name}"))


def _coroutine_traceback(greet: Any) -> str:
    try:
        greet(_Greeter(), "", None).send(None)
    except ValueError:
        return traceback.format_exc()
    return ""


def test_coroutine_functions_are_entered_and_left() -> None:
    """A woven coroutine function runs with the parameter that `enter` gave it, and `after` gets the ticket."""
    seen: list[Any] = []

    async def say(text: str) -> str:
        return text.upper()

    def enter(*arguments: Any) -> tuple[object, object]:
        seen.append(arguments)
        return "ticket", say

    woven = weave(
        _Greeter.greet,
        enter=enter,
        after=lambda *arguments: seen.append(arguments),
        rebound="say",
    )
    assert woven is not None
    greeter = _Greeter()

    assert inspect.iscoroutinefunction(woven)
    assert "HELLO BOB" == asyncio.run(woven(greeter, "bob", None))
    assert [(greeter, "bob", None), (greeter, "bob", say, "ticket")] == seen
    assert _coroutine_traceback(_Greeter.greet) == _coroutine_traceback(woven)
