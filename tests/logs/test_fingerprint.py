"""An exception's fingerprint: equal for the same failure, different for different call sites, never in the way."""

from __future__ import annotations

import asyncio
import builtins
import gc
import json
import random
import sys
import threading
import timeit
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.logs.failure import render
from clew.logs.fingerprint import canonical_text, fingerprint_exception, fingerprint_traceback_text
from clew.logs.traceback_text import readings

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = json.loads((Path(__file__).parents[2] / "docs/reference/fingerprint-vectors.json").read_text("utf-8"))


def run_module(name: str, source: str, path: str | None = None) -> ModuleType:
    """Run `source` as the module `name` at `path`."""
    module = ModuleType(name)
    exec(compile(source, path or f"/srv/app/{name.replace('.', '/')}.py", "exec"), vars(module))
    return module


def caught(function: Callable[..., object], *arguments: object) -> BaseException:
    """Return what `function` raises as the entry into the program's code: called by a pool and no function of ours."""
    with ThreadPoolExecutor() as pool:
        error = pool.submit(function, *arguments).exception()
    assert error is not None
    return error


def fingerprint_of(function: Callable[..., object], *arguments: object) -> str | None:
    """Return the fingerprint of what `function` raises."""
    return fingerprint_exception(caught(function, *arguments))


def ids(vectors: list[dict[str, Any]]) -> list[str]:
    """Return the vectors' names."""
    return [vector["name"] for vector in vectors]


@pytest.fixture
def put_modules(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, str]]], ModuleType]:
    """Run a vector's modules so that they can import one another; the last is returned."""

    def put(modules: list[dict[str, str]]) -> ModuleType:
        for each in modules:
            package, _, name = each["name"].rpartition(".")
            module = ModuleType(each["name"])
            if package:
                parent = ModuleType(package)
                setattr(parent, name, module)
                monkeypatch.setitem(sys.modules, package, parent)
            monkeypatch.setitem(sys.modules, each["name"], module)
            exec(compile(each["source"], each["path"], "exec"), vars(module))
        return module

    return put


class TestVectors:
    """The published test vectors hold on this Python."""

    @pytest.mark.parametrize("vector", VECTORS["exceptions"], ids=ids(VECTORS["exceptions"]))
    def test_exceptions(self, vector: dict[str, Any], put_modules: Callable[..., ModuleType]) -> None:
        """A raised exception has the canonical text and the fingerprint that the contract says."""
        if sys.version_info < tuple(map(int, vector["python"].split("."))):
            pytest.skip(f"needs Python {vector['python']}")
        error = caught(getattr(put_modules(vector["modules"]), vector["call"]))

        assert (vector["canonical"], vector["fingerprint"]) == (canonical_text(error), fingerprint_exception(error))

    @pytest.mark.parametrize("vector", VECTORS["texts"], ids=ids(VECTORS["texts"]))
    def test_texts(self, vector: dict[str, Any]) -> None:
        """A traceback's text has the canonical text and the fingerprint that the contract says."""
        assert vector["canonical"] == render(readings(vector["text"])[0])
        assert vector["fingerprint"] == fingerprint_traceback_text(vector["text"])


SHOP = """
def load(order):
{shift}
    return {{}}[order]

def handle(order):
    {message}
    return load(order)
"""


class TestSameFailure:
    """What changes without a change of the failure changes nothing."""

    def test_line_shifts_and_messages(self) -> None:
        """A thousand random line shifts and message changes leave one fingerprint."""
        chance = random.Random(20)
        found = set()
        for _ in range(1000):
            shift = "\n" * chance.randrange(50) + f"    order = {chance.random()!r}"
            module = run_module("shop", SHOP.format(shift=shift, message=f"order = {chance.random()!r}"))
            found.add(fingerprint_of(module.handle, chance.random()))

        assert len(found) == 1

    def test_folder_of_the_program(self) -> None:
        """The folder that a program is installed in does not matter."""
        source = SHOP.format(shift="", message="pass")
        folders = ["/srv/app", "/home/me/checkout-7", "C:\\code"]

        found = {fingerprint_of(run_module("shop", source, f"{folder}/shop.py").handle, 1) for folder in folders}

        assert len(found) == 1

    def test_script_and_module(self) -> None:
        """A program that runs as a script has the fingerprint that it has when imported."""
        source = SHOP.format(shift="", message="pass")
        imported = run_module("shop", source)
        script = run_module("__main__", source, "/opt/shop.py")

        assert fingerprint_of(imported.handle, 1) == fingerprint_of(script.handle, 1)

    def test_depth_of_recursion(self) -> None:
        """How often functions called one another does not matter."""
        source = "def a(n):\n    return b(n - 1)\ndef b(n):\n    return a(n) if n > 0 else {}[n]"
        module = run_module("tree", source)

        assert fingerprint_of(module.a, 1) == fingerprint_of(module.a, 5) == fingerprint_of(module.a, 50)

    def test_recursion_limit(self) -> None:
        """Where the limit struck does not matter."""
        source = (
            "def helper():\n    return 1\ndef walk(n):\n    helper()\n    return walk(n) + sum(helper() for _ in 'ab')"
        )
        walk = run_module("tree", source).walk

        def at_depth(depth: int) -> str | None:
            return at_depth(depth - 1) if depth else fingerprint_of(walk, 1)

        assert len({at_depth(depth) for depth in range(20)}) == 1

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
    def test_order_of_group_members(self) -> None:
        """A group's members are a set."""
        group: Any = builtins.__dict__["ExceptionGroup"]
        members: list[Exception] = [ValueError("a"), KeyError("b"), ValueError("c")]

        first = fingerprint_exception(group("x", members))
        second = fingerprint_exception(group("y", [*reversed(members), ValueError("d")]))

        assert first == second


class TestOneFailureToldOften:
    """Wherever on its way an exception is caught and recorded, its fingerprint is the same."""

    def test_inside_and_outside(self) -> None:
        """Each function on the way sees the same fingerprint, and so does who asks the pool for the result."""
        seen: list[str | None] = []
        source = """
def charge():
    try:
        {}["money"]
    except KeyError as error:
        see(error)
        raise

def checkout():
    try:
        charge()
    except KeyError as error:
        see(error)
        raise

def view():
    checkout()
"""
        module = run_module("shop", source)
        vars(module)["see"] = lambda error: seen.append(fingerprint_exception(error))

        seen.append(fingerprint_of(module.view))

        assert seen == [seen[0]] * 3

    def test_awaits(self) -> None:
        """Coroutines that await one another see the same fingerprint."""
        seen: list[str | None] = []

        async def inner() -> None:
            try:
                {}["x"]
            except KeyError as error:
                seen.append(fingerprint_exception(error))
                raise

        async def outer() -> None:
            try:
                await inner()
            except KeyError as error:
                seen.append(fingerprint_exception(error))

        asyncio.run(outer())

        assert seen == [seen[0]] * 2


class TestDifferentFailures:
    """What differs in type or way differs in fingerprint."""

    def test_pairs_of_sites(self) -> None:
        """Of two hundred pairs of call sites that differ in one name no two are one."""
        found = set()
        for number in range(200):
            for package in ("orders", "users"):
                module = run_module(f"shop.{package}.views", f"def get_{number}():\n    raise KeyError('x')\n")
                found.add(fingerprint_of(getattr(module, f"get_{number}")))

        assert len(found) == 400

    def test_callers_of_one_function(self) -> None:
        """Two ways to the function that raises are two failures."""
        module = run_module("shop", "def fail():\n    raise KeyError\ndef one():\n    fail()\ndef two():\n    fail()")

        assert fingerprint_of(module.one) != fingerprint_of(module.two)

    def test_links(self) -> None:
        """A cause, a context and a suppressed context are told apart."""
        source = """
def fail(how):
    try:
        raise KeyError("k")
    except KeyError as error:
        if how == "cause":
            raise ValueError("v") from error
        if how == "context":
            raise ValueError("v")
        raise ValueError("v") from None
"""
        module = run_module("shop", source)

        assert len({fingerprint_of(module.fail, how) for how in ("cause", "context", "suppressed")}) == 3

    def test_types_of_one_name(self) -> None:
        """A type is told by its module."""
        errors = [type("Missing", (Exception,), {"__module__": module})("x") for module in ("shop.a", "shop.b")]

        assert len({fingerprint_exception(error) for error in errors}) == 2


class TestNeverInTheWay:
    """No exception can make the fingerprint fail, hang, or keep what is not its own."""

    def test_cycle(self) -> None:
        """A chain that bites its tail ends."""
        first, second = ValueError("a"), KeyError("b")
        first.__cause__, second.__cause__ = second, first

        assert canonical_text(first) == "clew.fingerprint/1\ntype ValueError\ncause\ntype KeyError\n"

    def test_long_chain(self) -> None:
        """A chain is followed sixteen links."""
        error = ValueError("a")
        for _ in range(1000):
            error, cause = ValueError("a"), error
            error.__cause__ = cause

        assert str(canonical_text(error)).count("type ValueError") == 16

    def test_properties_over_slots(self) -> None:
        """A property that a class put over BaseException's own is not run."""

        class HostileError(Exception):
            @property
            def __cause__(self) -> Any:
                raise AssertionError("was run")

            __context__ = __traceback__ = __suppress_context__ = __cause__

        assert fingerprint_exception(HostileError("x")) is not None

    def test_members_that_raise(self) -> None:
        """A group whose members can't be read goes without."""
        exception_group = type("ExceptionGroup", (Exception,), {"exceptions": property(lambda self: 1 / 0)})

        assert fingerprint_exception(exception_group("x")) is None

    def test_names_with_line_breaks(self) -> None:
        """A name can't forge a line of the canonical text."""
        forged = type("A\ncause\ntype B", (Exception,), {})

        assert canonical_text(forged()) == f"clew.fingerprint/1\ntype {__name__}.A?cause?type B\n"

    def test_values_are_not_kept(self) -> None:
        """What is remembered between errors holds no exception and no local variable."""

        class Value:
            pass

        alive: list[weakref.ref[Value]] = []

        def fail() -> None:
            value = Value()
            alive.append(weakref.ref(value))
            {}[value]

        assert fingerprint_of(fail) is not None
        gc.collect()

        assert alive[0]() is None

    def test_threads(self) -> None:
        """Threads that fingerprint at once agree."""
        module = run_module("shop", SHOP.format(shift="", message="pass"))
        found: set[str | None] = set()

        def work() -> None:
            try:
                module.handle(1)
            except KeyError as error:
                found.update(fingerprint_exception(error) for _ in range(200))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(found) == 1

    def test_cost(self) -> None:
        """An error of a known site costs at most a tenth of formatting its traceback, where that points with carets."""
        source = (
            "\n".join(f"def f{n}():\n    return [f{n + 1}(), 1][0]" for n in range(8)) + "\ndef f8():\n    return 1 / 0"
        )
        error = caught(run_module("shop", source).f0)

        def fingerprint() -> object:
            return fingerprint_exception(error)

        def form() -> object:
            return traceback.format_exception(type(error), error, error.__traceback__)

        ratio = min(timeit.repeat(fingerprint, number=50, repeat=20)) / min(timeit.repeat(form, number=50, repeat=20))

        assert ratio < (0.1 if sys.version_info >= (3, 11) else 0.25)


@st.composite
def call_chains(draw: st.DrawFn) -> str:
    """Make the source of a module whose functions call one another and fail with a chain of exceptions."""
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6))
    kinds = draw(
        st.lists(st.sampled_from(["call", "comprehension", "cause", "context", "suppress"]), min_size=6, max_size=6)
    )
    bodies = {
        "call": "    return {next}()\n",
        "comprehension": "    return [{next}() for _ in [1]]\n",
        "cause": "    try:\n        {next}()\n    except Exception as e:\n        raise TypeError('a: b') from e\n",
        "context": "    try:\n        {next}()\n    except Exception:\n        raise OSError('x\\ny')\n",
        "suppress": "    try:\n        {next}()\n    except Exception:\n        raise ValueError from None\n",
    }
    source = "def end():\n    raise KeyError('k')\n"
    following = "end"
    for index, (name, kind) in enumerate(zip(names, kinds, strict=False)):
        function = f"{name}{index}"
        source += f"def {function}():\n" + bodies[kind].format(next=following)
        following = function
    return source + f"start = {following}\n"


class TestTracebackText:
    """The text of a traceback gives the fingerprint of its exception."""

    @given(call_chains())
    def test_module_beside_the_script(self, source: str) -> None:
        """A module in the folder of the program's files is named without help."""
        error = caught(run_module("shop", source).start)
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))

        assert fingerprint_exception(error) == fingerprint_traceback_text(text)

    @given(call_chains())
    def test_module_of_a_package(self, source: str) -> None:
        """A module of a package is named with the help of the fingerprints that are known."""
        error = caught(run_module("shop.orders.views", source).start)
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))

        assert fingerprint_exception(error) == fingerprint_traceback_text(text, known={fingerprint_exception(error)})

    def test_in_a_test(self) -> None:
        """What a function catches itself agrees too, if a library called the function."""
        found: list[str | None] = []
        try:
            {}["x"]
        except KeyError as error:
            found = [fingerprint_exception(error), fingerprint_traceback_text(traceback.format_exc())]

        assert found == [found[0]] * 2

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text has a fingerprint or none, and never fails."""
        header = "Traceback (most recent call last):\n"

        assert fingerprint_traceback_text(text) is None or header.strip() in text
        fingerprint_traceback_text(header + text)

    @given(st.sampled_from(VECTORS["texts"]), st.data())
    def test_cut_off_text(self, vector: dict[str, Any], data: st.DataObject) -> None:
        """A text that is cut off anywhere never fails."""
        text = vector["text"]
        cut = data.draw(st.integers(0, len(text)))

        fingerprint_traceback_text(text[:cut])
        fingerprint_traceback_text(text[cut:])

    def test_text_without_a_traceback(self) -> None:
        """Other text has no fingerprint."""
        assert fingerprint_traceback_text('File "x.py", line 3, in f\nValueError: x') is None
