"""HTML that is safe by construction: text is escaped when it becomes part of an element, and only here."""

from __future__ import annotations

import html
import json
from typing import Any

from clew.desk.terminal import clean


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(part: object) -> Markup:
    """Return a part as HTML: markup as it is, anything else as text with control and direction characters visible.

    Whatever telemetry holds, it comes out as the text that it is.
    """
    if isinstance(part, Markup):
        return part
    text = clean(str(part)).encode("utf-8", "replace").decode()
    return Markup(html.escape(text, quote=True))


def join(*parts: object) -> Markup:
    """Put parts one after the other."""
    return Markup("".join(map(escape, parts)))


def tag(name: str, *parts: object, **attributes: object) -> Markup:
    """Make an element with its parts inside.

    Attributes that are None or False are left out; True stands alone; `class_` is class, `data_id` is data-id.
    """
    written = "".join(
        f" {key.strip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>{join(*parts)}</{name}>")


def script_data(data: Any) -> Markup:
    """Write plain data as JSON that may stand inside a script element: no character of it can end the element."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
