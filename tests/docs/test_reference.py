"""The generated parts of the reference pages are those that the code makes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
reference: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)


@pytest.mark.parametrize("page", sorted(reference.GENERATED))
def test_page_is_what_the_code_says(page: str) -> None:
    """Each variable, attribute, field and metric is on its page, with its default or unit and its text."""
    assert reference.GENERATED[page]().strip() == reference.generated_part(page).strip()
