"""Python's warning against forking with threads, kept from a program that has no threads but telemetry's.

From 3.12 on `os.fork` warns if the process has more than one thread, and shows it for a script's own code. What
telemetry's threads hold is renewed in the child. Where the program has threads of its own the warning comes, as it
would without Clew.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import warnings
from typing import Any, Final

_SDK_PREFIX: Final = "Otel"
_IGNORED: Final[Any] = (
    "ignore",
    re.compile(r"This process \(pid=\d+\) is multi-threaded"),
    DeprecationWarning,
    None,
    0,
)


def install() -> None:
    """Keep the warning back from the next fork on, where Python has it."""
    if sys.version_info >= (3, 12):
        os.register_at_fork(before=_decide, after_in_child=_let_through)


def _decide() -> None:
    """Ignore the warning if the program's only thread is the main one, and let it through if not.

    Python warns after the hooks that run in the parent, so what is decided here stays until the next fork. The list of
    filters is changed past `warnings.filterwarnings`, which would make Python forget what it has shown.
    """
    _let_through()
    if all(_is_telemetrys(thread) for thread in threading.enumerate()):
        warnings.filters.insert(0, _IGNORED)  # type: ignore[attr-defined]  # a list, whatever typeshed says


def _is_telemetrys(thread: threading.Thread) -> bool:
    """Return whether a thread is the main one, the SDK's, or a native one that only asked for its own name."""
    own = thread.name.startswith(_SDK_PREFIX) or type(thread).__name__ == "_DummyThread"
    return own or thread is threading.main_thread()


def _let_through() -> None:
    """Take the filter away again."""
    for number, item in enumerate(warnings.filters):
        if item is _IGNORED:
            del warnings.filters[number]  # type: ignore[attr-defined]  # as above
            return
