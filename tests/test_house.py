"""The house keeps its measures: small modules and functions, no cycle, everything annotated, nothing written twice."""

from __future__ import annotations

import ast
import re
import statistics
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    imports = {name: set(_imported(name, tree.body)) for name, tree in TREES.items()}

    assert len(MODULES) == len(list(TopologicalSorter(imports).static_order()))


def _imported(module: str, body: list[ast.stmt]) -> Iterator[str]:
    """Return the modules of Clew's that are imported when `module` is."""
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names if node.module in MODULES)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, (ast.If, ast.Try)) and "TYPE_CHECKING" not in ast.unparse(getattr(node, "test", node)):
            yield from _imported(module, [*node.body, *node.orelse])


def test_nothing_is_written_twice() -> None:
    """No ten lines of code stand in two places, whatever their indentation."""
    places: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for module, path in MODULES.items():
        lines = [line.strip() for line in path.read_text().splitlines()]
        code = [
            (number, line)
            for number, line in enumerate(lines, 1)
            if line and not line.startswith(("#", "import", "from"))
        ]
        for start in range(len(code) - DUPLICATE_LINES + 1):
            run = code[start : start + DUPLICATE_LINES]
            places[tuple(line for _, line in run)].add(f"{module}:{run[0][0]}")

    assert [] == [sorted(found) for found in places.values() if len(found) > 1]


def test_tests_use_real_things() -> None:
    """There are at most five mocks in a hundred tests."""
    texts = [path.read_text() for path in TEST_FILES if path != Path(__file__)]
    tests = sum(len(re.findall(r"^\s*(?:async )?def test_", text, re.MULTILINE)) for text in texts)
    mocks = sum(len(re.findall(r"\b(?:Magic|Async)?Mock\(|\bmock\.|\bpatch\(", text)) for text in texts)

    assert tests > 900
    assert mocks <= tests * 0.05


def test_test_modules_have_names_of_their_own() -> None:
    """Two of one name cannot be collected together: pytest imports them by it."""
    names = [path.name for path in TEST_FILES if path.name.startswith("test_")]

    assert sorted(set(names)) == sorted(names)
