"""Secrets in text that a key announces: `password=x`, `"api_key": "x"`, `Authorization: Bearer x`, `--token x`.

One pass from left to right, in time linear in the text: what was decided on is not looked at again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from clew.logs.secret_shapes import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.logs.secret_keys import SecretKeys

_KEY: Final = r"(?<![\w.\-%])(?P<key>(?:(?i:access|api|auth|private|secret|security|session) )?[\w.\-%]{1,80})"
_ASSIGNED = re.compile(
    _KEY + r"(?:\\{0,8}[\"']?\]?[ \t]{0,4}(?:=>|:=|==?|:)[ \t]{0,4}"
    r"|\\{0,8}[\"'] ?, {0,4}(?=[bru]?\\{0,8}[\"']))"
)
"""A key and what leads to its value; a quoted key may also be the first of a tuple, as in a list of headers."""
_OPTION = re.compile(r"(?<![\w\-])(?P<key>--?[A-Za-z][\w\-]{0,80}) {1,4}(?=[^\s\-])")
_ELEMENT = re.compile(r"<(?:\w{1,32}:)?(?P<key>[\w.\-]{1,80})>(?=[^<])")

_QUOTE = re.compile(r"[bru]?(\\{0,8}[\"'])")
_QUOTED: Final = {'"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL), "'": re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL)}
_BARE = re.compile(r"[^\s&;\"'<>]+")
_LINE = re.compile(r"[^\r\n\"']+")
_BRACKET = re.compile(r"[\[\](){}]")
_NOTHING: Final = frozenset({"None", "null", "nil", "True", "true", "False", "false"})
_WHOLE_LINE: Final = ("authorization", "cookie", "cookies")
"""Headers whose values have blanks in them."""


def redact_pairs(text: str, keys: SecretKeys) -> str:
    """Replace the values of secret keys in `text`; returns `text` itself if there are none."""
    for pattern, needs in ((_ASSIGNED, ""), (_OPTION, "-"), (_ELEMENT, "</")):
        if needs in text:
            text = _replace(text, list(_values(text, keys, pattern)))
    return text


def _replace(text: str, spans: list[tuple[int, int]]) -> str:
    """Put the mark in place of each span; they do not overlap and are in order."""
    if not spans:
        return text
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces += (text[at:start], MARK)
        at = end
    return "".join([*pieces, text[at:]])


def _values(text: str, keys: SecretKeys, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield where the values of secret keys stand."""
    found = pattern.search(text)
    while found is not None:
        at = found.end()
        key = found["key"]
        if keys[unquote_plus(key) if "%" in key else key]:
            start, end = _element(text, at) if pattern is _ELEMENT else _value(text, at, key)
            if start < end and not text.startswith(MARK, start) and text[start:end] not in _NOTHING:
                yield start, end
            at = max(at, end)
        found = pattern.search(text, at)


def _element(text: str, at: int) -> tuple[int, int]:
    end = text.find("<", at)
    return at, len(text) if end < 0 else end


def _value(text: str, at: int, key: str) -> tuple[int, int]:
    """Return where the value that begins at `at` starts and ends, without its quotes; an open quote runs to the end."""
    if quote := _QUOTE.match(text, at):
        return _quoted(text, quote)
    if text[at : at + 1] in {"[", "{", "("} and not text.startswith(MARK, at):
        return at, _closing(text, at)
    value = (_LINE if key.lower().endswith(_WHOLE_LINE) else _BARE).match(text, at)
    if value is None:
        return at, at
    return at, at + len(value[0].rstrip(")]},. "))


def _quoted(text: str, quote: re.Match[str]) -> tuple[int, int]:
    if len(quote[1]) > 1:
        end = text.find(quote[1], quote.end())
        return quote.end(), len(text) if end < 0 else end
    inside = _QUOTED[quote[1]].match(text, quote.end())
    return quote.end(), len(text) if inside is None else inside.end()


def _closing(text: str, at: int) -> int:
    """Return the end of the bracketed value that begins at `at`: past its closing bracket, or the end of the text."""
    depth = 0
    for bracket in _BRACKET.finditer(text, at):
        depth += 1 if bracket[0] in "[{(" else -1
        if depth == 0:
            return bracket.end()
    return len(text)
