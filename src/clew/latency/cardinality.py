"""Bounds on the values of a metric's attribute: each value is a series that is kept for the process's life."""

from __future__ import annotations

import threading
from typing import Final

from clew import diagnostics

OTHER: Final = "_OTHER"
"""What stands for all values past the bound, as in the semantic conventions."""


class BoundedNames:
    """Admits the first so many different names, and `_OTHER` in place of each further one. Safe from any thread."""

    def __init__(self, maximum: int, what: str) -> None:
        """Take at most `maximum` names; `what` tells a person what there are too many of."""
        self._maximum = maximum
        self._what = what
        self._admitted: set[str] = set()
        self._lock = threading.Lock()

    def admit(self, name: str) -> str:
        """Return `name`, or `_OTHER` if there are too many; the first time that happens one line says so."""
        if name in self._admitted:
            return name
        with self._lock:
            if len(self._admitted) < self._maximum:
                self._admitted.add(name)
                return name
        diagnostics.report(f"cardinality-{self._what}", f"more than {self._maximum} {self._what}; counted as {OTHER}")
        return OTHER
