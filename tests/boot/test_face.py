"""The public face is what `__all__` says."""

from __future__ import annotations

import clew


def test_every_public_name_is_there() -> None:
    """Each name in `__all__` can be taken from the package, and `dir` lists no other."""
    assert ["__version__", "bind", "correlation_id", "timed"] == clew.__all__
    assert all(getattr(clew, name) is not None for name in clew.__all__)
    assert sorted(clew.__all__) == dir(clew)
