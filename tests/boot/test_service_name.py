"""A service that nobody named is called after its program."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.service_name import guess_service_name


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python shop.py", "shop"),
        ("python /srv/shop/app.py", "shop"),
        ("python app.py", "folder"),
        ("python -m shop.server", "shop"),
        ("python -m shop", "shop"),
        ("python -X dev -W error shop.py", "shop"),
        ("python -c pass", "unknown_service"),
        ("python", "unknown_service"),
        ("python manage.py runserver", "folder"),
        ("python /venv/bin/gunicorn shop.wsgi:app -b :80", "shop"),
        ("python /venv/bin/gunicorn -w 2 app:app", "folder"),
        ("python /venv/bin/uvicorn --port 1 shop.stock:app", "stock"),
        ("python -m uvicorn shop.main:app", "shop"),
        ("python /venv/bin/celery -A mail worker", "mail"),
        ("python /venv/bin/celery --app=shop.mail worker", "mail"),
        ("python /venv/bin/flask --app shop run", "shop"),
        ("python /venv/bin/my tool", "my"),
    ],
)
def test_name_follows_from_the_command(command: str, expected: str) -> None:
    """The application that a server loads, the package of a module, the script or its folder gives the name."""
    assert expected == guess_service_name(command.split(" "), Path("/srv/folder"))


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_command_gives_a_usable_name(command: list[str]) -> None:
    """Whatever the command line, there is a name that every backend takes."""
    name = guess_service_name(command, Path("/srv/folder"))

    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
