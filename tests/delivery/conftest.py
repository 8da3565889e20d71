"""Fixtures of delivery's tests."""

from __future__ import annotations

import pytest

from clew import diagnostics


@pytest.fixture(autouse=True)
def _untold() -> None:
    """Let each test see what is told, though another test was told the same within a minute."""
    diagnostics.forget()
