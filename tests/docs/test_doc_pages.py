"""What README and docs tell a reader to type works as written and prints what they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import ROOT, blocks, commands, files, run, shows

_PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/tutorial").glob("*.md")),
    *sorted((ROOT / "docs/explanation").glob("*.md")),
    *(path for path in sorted((ROOT / "docs/how-to").glob("*.md")) if path.stem not in {"collector", "kubernetes"}),
]
_TYPED = [path for path in _PAGES if commands(path.read_text()) and path.stem != "scaling"]
"""Pages to execute; those about tiers of Collectors need servers, which `make test-stack` has."""
_LINK = re.compile(r"\]\((?P<target>[^)#:\s]+)(#[^)]*)?\)")


@pytest.mark.slow
@pytest.mark.parametrize("page", _TYPED, ids=lambda path: path.stem)
def test_commands_work_as_written(page: Path, tmp_path: Path) -> None:
    """Each command succeeds and prints what stands under it."""
    text = page.read_text()
    done = run(text, tmp_path)

    assert [0] * len(commands(text)) == [outcome.status for outcome in done], done
    for command, outcome in zip(commands(text), done, strict=True):
        assert not command.output or shows(command.output, outcome.output), outcome


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: path.stem)
def test_every_example_is_executed(page: Path) -> None:
    """Each Python block is a file that the page's commands use."""
    text = page.read_text()
    typed = "\n".join([command.text for command in commands(text)] + list(files(text).values()))

    assert [] == [body for kind, body in blocks(text) if kind == "python" and body not in files(text).values()]
    assert [] == [name for name in files(text) if typed.count(Path(name).stem) < 2]


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: path.stem)
def test_links_lead_to_files(page: Path) -> None:
    """Each relative link leads to a file of the repository."""
    targets = {match["target"] for match in _LINK.finditer(page.read_text())}

    assert set() == {target for target in targets if not (page.parent / target).exists()}


def test_first_block_is_on_the_first_screen() -> None:
    """The README shows something to see before its 25th line."""
    lines = (ROOT / "README.md").read_text().splitlines()

    assert next(number for number, line in enumerate(lines, 1) if line.startswith("```")) < 25


def test_how_tos_end_with_verify() -> None:
    """Each how-to tells how to see that it worked, and what to do if it did not."""
    ends = {
        path.stem: re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)[-2:]
        for path in _PAGES
        if path.parent.name == "how-to" and path.stem not in {"security", "troubleshooting"}
    }

    assert {stem: ["Verify", "If it does not"] for stem in ends} == ends


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("took 3 ms\n...\nend", "took 17.5 ms\nmore\n\nend\n", True),
        ("one\n...", "one\n", True),
        ("one", "two", False),
        ("one", "one\ntwo", False),
    ],
)
def test_outputs_are_compared(expected: str, actual: str, *, same: bool) -> None:
    """Times and IDs may differ, words may not."""
    assert same is shows(expected, actual)
