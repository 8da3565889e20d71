"""Write the generated parts of the reference pages: `python tests/docs/reference.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clew import schema, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAGES: Final = Path(__file__).parents[2] / "docs" / "reference"
BEGIN: Final = "<!-- made from the code by tests/docs/reference.py: begin -->\n"
END: Final = "<!-- end -->\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _configuration() -> str:
    rows = [(f"`{item.name}`", f"`{item.default}`", item.doc) for item in settings.VARIABLES]
    return _table(("Variable", "Default", "What it does"), rows)


def _attributes() -> str:
    attributes = [(f"`{name}`", doc) for name, doc in schema.ATTRIBUTES.items()]
    fields = [(f"`{name}`", doc) for name, doc in schema.RECORD_FIELDS.items()]
    metrics = [(f"`{name}`", f"`{unit}`", doc) for name, (unit, doc) in schema.METRICS.items()]
    return "\n".join(
        [
            "## Attributes\n\n" + _table(("Attribute", "What it holds"), attributes),
            "## Fields of a log record\n\n" + _table(("Field", "What it holds"), fields),
            "## Metrics\n\n" + _table(("Metric", "Unit", "What it counts"), metrics),
        ]
    )


GENERATED: Final[dict[str, Callable[[], str]]] = {"configuration.md": _configuration, "attributes.md": _attributes}
"""What makes the generated part of each page."""


def generated_part(page: str) -> str:
    """Return the generated part of `page` as it stands in the file."""
    text = (PAGES / page).read_text()
    return text.split(BEGIN)[1].split(END)[0]


def write(page: str) -> None:
    """Put the generated part of `page` in place."""
    path = PAGES / page
    before, rest = path.read_text().split(BEGIN)
    path.write_text(before + BEGIN + "\n" + GENERATED[page]() + "\n" + END + rest.split(END, 1)[1])


if __name__ == "__main__":
    for name in sys.argv[1:] or GENERATED:
        write(name)
