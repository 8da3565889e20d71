"""The house keeps its measures: small modules and functions, no cycle, everything annotated, nothing written twice."""

from __future__ import annotations

import ast
import re
import statistics
from collections import defaultdict
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (SOURCE / "clew").rglob("*.py")
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
TEST_FILES = tuple((ROOT / "tests").rglob("*.py"))

DUPLICATE_LINES = 10
"""From so many lines on that are the same in two places, the mechanism should be one."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions() -> Iterator[tuple[str, Function]]:
    for name, tree in TREES.items():
        yield from (
            (name, node) for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        )


def _lines(module: str) -> int:
    return len(MODULES[module].read_text().splitlines())


def test_modules_are_small() -> None:
    """Half of them have 200 lines at most, and none more than 600."""
    assert statistics.median(map(_lines, MODULES)) <= 200
    assert [] == [module for module in MODULES if _lines(module) > 600]


@pytest.mark.parametrize("module", [name for name in MODULES if _lines(name) > 400])
def test_a_long_module_says_why(module: str) -> None:
    """One of more than 400 lines has a reason in its docstring."""
    assert re.search("The module is long since .+", ast.get_docstring(TREES[module]) or "")


def test_functions_are_small() -> None:
    """Half of them have ten lines at most."""
    lengths = [(node.end_lineno or 0) - node.lineno + 1 for _, node in _functions()]

    assert len(lengths) > 1000
    assert statistics.median(lengths) <= 10


def test_everything_is_annotated() -> None:
    """Each parameter and each result has a type."""
    assert [] == [f"{module}.{node.name}" for module, node in _functions() if not _is_annotated(node)]


def _is_annotated(node: Function) -> bool:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    missing = [
        item for item in named if item is not None and item.annotation is None and item.arg not in {"self", "cls"}
    ]
    return node.returns is not None and not missing


def test_no_import_cycle() -> None:
    """Modules can be put in an order in which each imports only those before it."""
    imports = {name: _imported(name, tree, MODULES) for name, tree in TREES.items()}

    assert len(MODULES) == len(list(TopologicalSorter(imports).static_order()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("try:\n  import a.b\nexcept ImportError:\n  from a import c", {"a.b", "a.c"}),
        ("from .b import x\nfrom . import c", {"a.b", "a.c"}),
        ("class X:\n  if y:\n    from a.b import x", {"a.b"}),
        ("if TYPE_CHECKING:\n  import a.b\nelse:\n  import a.c", {"a.c"}),
        ("async def f():\n  import a.b", set()),
    ],
)
def test_imports_are_found(text: str, found: set[str]) -> None:
    """Relative ones count, and those in conditions, handlers and classes; those for types and in functions do not."""
    assert found == _imported("a.d", ast.parse(text), {"a.b", "a.c"})


def _loaded(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is run when a module is loaded."""
    yield node
    inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        inner = ()
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        inner = node.orelse
    for child in inner:
        yield from _loaded(child)


def _imported(module: str, tree: ast.Module, known: Container[str]) -> set[str]:
    """Return which of the known modules are imported when `module` is."""
    package = module if MODULES.get(module, Path()).name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in _loaded(tree):
        if isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            names = (f"{origin}.{alias.name}" for alias in node.names)
            found.update(name if name in known else origin for name in names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {name for name in found if name in known} - {module}


@pytest.mark.parametrize("files", [tuple(MODULES.values()), TEST_FILES], ids=["source", "tests"])
def test_nothing_is_written_twice(files: tuple[Path, ...]) -> None:
    """No ten lines of code stand in two places."""
    assert [] == _repeated(files)


def test_a_repetition_is_found(tmp_path: Path) -> None:
    """Other indentation, comments, docstrings and blank lines do not hide it."""
    lines = [f"x{number} = {number}" for number in range(DUPLICATE_LINES)]
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("\n".join(["import x", *lines]))
    two.write_text("\n\n  # Why.\n".join(["def f():", "  'Say.'", *(f"  {line}" for line in lines)]))

    [[first, second]] = _repeated((one, two))
    assert (f"{one}:2", f"{two}:7") == (first, second)


def _repeated(files: Iterable[Path]) -> list[list[str]]:
    """Return the places, by file and line, where the same lines of code begin."""
    places: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in files:
        code = _code(path.read_text())
        for start in range(len(code) - DUPLICATE_LINES + 1):
            run = code[start : start + DUPLICATE_LINES]
            places[tuple(line for _, line in run)].append(f"{path}:{run[0][0]}")
    return [found for found in places.values() if len(found) > 1]


def _code(text: str) -> list[tuple[int, str]]:
    """Return the numbered lines without indentation, blank lines, comments, docstrings and imports."""
    passed_over: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_docstring or isinstance(node, (ast.Import, ast.ImportFrom)):
            passed_over.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return [(number, line) for number, line in lines if number not in passed_over and line and line[0] != "#"]


def test_tests_use_real_things() -> None:
    """There are at most five mocks in a hundred tests; what `monkeypatch` sets in another's place is one, too."""
    texts = [path.read_text() for path in TEST_FILES if path != Path(__file__)]
    tests = sum(len(re.findall(r"^\s*(?:async )?def test_", text, re.MULTILINE)) for text in texts)
    mocks = sum(
        len(re.findall(r"\b(?:Magic|Async)?Mock\(|\bmock\.|\bpatch\(|\bmonkeypatch\.setattr\(", text)) for text in texts
    )

    assert tests > 900
    assert mocks <= tests * 0.05


def test_test_modules_have_names_of_their_own() -> None:
    """Pytest imports them, and what stands beside them, by name from one path, where one hides another of its name."""
    folders = {path.parent for path in TEST_FILES if path.name.startswith("test_")}
    names = [path.name for path in TEST_FILES if path.parent in folders and path.name != "conftest.py"]

    assert sorted(set(names)) == sorted(names)
