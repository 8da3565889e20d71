"""The terminal: colour where a person looks, paging, progress on stderr, no control codes out of telemetry."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import click

from clew import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console, OverflowMethod
    from rich.text import Text

DEFAULT_WIDTH: Final = 120
"""Columns where output goes to a file or a pipe and `COLUMNS` does not say."""

_PROGRESS_AFTER_BYTES: Final = 32 * 1024**2
"""Reads shorter than about a tenth of a second show no progress."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def is_terminal() -> bool:
    """Tell whether a person reads standard output."""
    return sys.stdout.isatty()


def has_colour() -> bool:
    """Tell whether output may be coloured: on terminals, unless `NO_COLOR` is set or the terminal is dumb."""
    environ = settings.process_environment()
    return is_terminal() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def width() -> int:
    """Return the columns to draw in."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 40)).columns


def is_unicode() -> bool:
    """Tell whether standard output takes more than ASCII."""
    return (sys.stdout.encoding or "").lower().startswith("utf")


def clean(text: str) -> str:
    """Make control characters visible, so that what was logged cannot drive the terminal of whoever reads it."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def page(lines: Iterable[str]) -> None:
    """Print lines; through a pager if a person reads and they do not fit on the screen."""
    lines = iter(lines)
    height = shutil.get_terminal_size((DEFAULT_WIDTH, 40)).lines - 1
    first = list(islice(lines, height)) if is_terminal() else []
    if len(first) == height and height > 0:
        click.echo_via_pager((line + "\n" for line in chain(first, lines)), color=has_colour())
        return
    write = sys.stdout.write
    for line in chain(first, lines):
        write(line + "\n")
    sys.stdout.flush()


def styled(texts: Iterable[Text]) -> Iterator[str]:
    """Turn rich's texts into lines of the terminal's width; far faster than printing each on a console."""
    overflow: OverflowMethod = "ellipsis" if is_unicode() else "crop"
    if not has_colour():
        for text in texts:
            text.truncate(width(), overflow=overflow)
            yield text.plain.rstrip()
        return
    from rich.color import ColorSystem  # noqa: PLC0415 - rich takes longer to import than most answers without colour

    console, columns = make_console(), width()
    for text in texts:
        text.truncate(columns, overflow=overflow)
        parts = text.render(console)
        yield "".join(
            part.style.render(part.text, color_system=ColorSystem.STANDARD) if part.style else part.text
            for part in parts
        )


def draw(show: Callable[[Console], None]) -> None:
    """Let `show` draw on a console of the terminal's width and colours, and print the result, paged if it is long."""
    console = make_console()
    with console.capture() as capture:
        show(console)
    page(capture.get().splitlines())


def make_console() -> Console:
    """Return a console of the terminal's width and colours."""
    from rich.console import Console  # noqa: PLC0415 - its import takes longer than most answers that need no drawing

    colour = has_colour()
    return Console(
        file=None,
        width=width(),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        soft_wrap=False,
        legacy_windows=False,
    )


@contextmanager
def progress(total_bytes: int, what: str) -> Iterator[Callable[[int], None] | None]:
    """Show a bar on stderr while long work reads `total_bytes`; nothing for short work or if no person looks."""
    if not sys.stderr.isatty() or total_bytes < _PROGRESS_AFTER_BYTES:
        yield None
        return
    with click.progressbar(length=total_bytes, label=what, file=sys.stderr) as bar:
        yield bar.update
