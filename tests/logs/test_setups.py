"""However a program sets up logging, its console is what it was and each of its records is captured once."""

from __future__ import annotations

import collections
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOUR = ["info one", "warning two", "error on root", "exception"]
WITHOUT_INFO = FOUR[1:]

EXPECTED = {
    "unconfigured": WITHOUT_INFO,
    "basic": FOUR,
    "forced": FOUR,
    "dict_config": FOUR,
    "dict_config_twice": ["early", *FOUR],
    "configurator": FOUR,
    "file_config": FOUR,
    "handlers_given": FOUR,
    "cleared": FOUR,
    "no_propagation": FOUR,
    "disabled": ["not disabled", "error on root"],
    "queued": FOUR,
    "relistened": FOUR,
    "processes": ["from the child", *FOUR],
    "redispatched": FOUR,
    "memory": FOUR,
    "celery": ["from a task logger", *FOUR],
}


def _without_addresses(shown: Any) -> list[str]:
    return [re.sub(r"0x[0-9a-f]+", "0x", str(part)) for part in shown]


@pytest.mark.parametrize("way", EXPECTED)
def test_console_is_plain_and_each_record_arrives_once(run_program: Callable[..., Any], way: str) -> None:
    """Stdout, stderr, exit status, handlers and hooks are those of plain Python; nothing is lost or doubled."""
    plain = run_program("setups.py", way, clew=False)
    clewed = run_program("setups.py", way, clew=True)

    assert _without_addresses(plain.shown) == _without_addresses(clewed.shown)
    assert plain.status == 0
    assert collections.Counter(EXPECTED[way]) == collections.Counter(clewed.bodies)
