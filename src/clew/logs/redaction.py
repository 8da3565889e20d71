"""Secrets out of logs and spans before they leave: by key, by shape, and by the user's own patterns.

What matched is replaced as a whole by `[redacted]` and appears nowhere. docs/reference/redaction.md lists what is
looked for.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from clew.logs.secret_keys import SecretKeys
from clew.logs.secret_pairs import redact_pairs
from clew.logs.secret_shapes import MARK, redact_shapes

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from clew.settings import Settings

_MAX_REMEMBERED: Final = 2048
_MAX_REMEMBERED_LENGTH: Final = 128
_MAX_DEPTH: Final = 64


class Redactor:
    """Replaces secrets in texts and attributes.

    Pure and safe from any thread: nothing given is changed, and where nothing matched the very same object is returned.
    Applied twice it gives what it gave once.
    """

    def __init__(self, settings: Settings) -> None:
        self._active = settings.redact
        self._keys = SecretKeys(settings.redact_keys, settings.redact_allow)
        self._patterns = settings.redact_patterns
        self._clean: set[str] = set()

    def text(self, text: str) -> str:
        """Return `text` with each secret in it replaced; short texts found clean are remembered, since many repeat."""
        if text in self._clean or not self._active:
            return text
        redacted = self._scan(text)
        if redacted is text and len(text) <= _MAX_REMEMBERED_LENGTH:
            if len(self._clean) >= _MAX_REMEMBERED:
                self._clean.clear()
            self._clean.add(text)
        return redacted

    def url(self, url: str) -> str:
        """Return `url`, absolute or relative, without credentials and without the values of secret parameters."""
        return self.text(url)

    def attributes(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `attributes` with secrets replaced by key and inside values, at every depth."""
        if not self._active:
            return attributes
        return self._mapping(attributes, ())

    def value(self, value: Any) -> Any:
        """Return a value of no key, such as a record's body, with the secrets in it replaced at every depth."""
        return self._value(value, ()) if self._active else value

    def _scan(self, text: str) -> str:
        # The separators that lead from a key to its value.
        if "=" in text or ":" in text or '"' in text or "'" in text or "-" in text or "<" in text:
            lowered = unquote(text).lower() if "%" in text else text.lower()
            if self._keys.may_be_in(lowered):
                text = redact_pairs(text, self._keys)
        text = redact_shapes(text)
        return self._by_patterns(text) if self._patterns else text

    def _by_patterns(self, text: str) -> str:
        """Apply the user's own patterns to what lies between marks, so that a mark is never taken for a secret."""
        pieces = text.split(MARK)
        redacted = [self._by_pattern(piece) for piece in pieces]
        return text if redacted == pieces else MARK.join(redacted)

    def _by_pattern(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(_mark, text)
        return text

    def _mapping(self, mapping: Mapping[Any, Any], inside: tuple[int, ...]) -> Mapping[Any, Any]:
        redacted = {self._value(key, inside): self._item(key, value, inside) for key, value in mapping.items()}
        same = all(map(is_, redacted, mapping)) and all(map(is_, redacted.values(), mapping.values()))
        return mapping if same and len(redacted) == len(mapping) else redacted

    def _item(self, key: Any, value: Any, inside: tuple[int, ...]) -> Any:
        return _hide(value) if isinstance(key, str) and self._keys[key] else self._value(value, inside)

    def _sequence(self, sequence: Sequence[Any], inside: tuple[int, ...]) -> Sequence[Any]:
        redacted = [self._value(value, inside) for value in sequence]
        for index in range(1, len(redacted)):
            if self._announces(sequence[index - 1], pair=len(redacted) == 2):  # noqa: PLR2004 - (key, value)
                redacted[index] = _hide(redacted[index])
        if all(map(is_, redacted, sequence)):
            return sequence
        return redacted if isinstance(sequence, list) else tuple(redacted)

    def _announces(self, value: Any, *, pair: bool) -> bool:
        """Return whether the next element is a secret: after a command line's option, or second in a pair."""
        key = value.decode("latin-1") if isinstance(value, bytes) else value
        return isinstance(key, str) and (pair or key.startswith("-")) and self._keys[key]

    def _value(self, value: Any, inside: tuple[int, ...]) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            redacted = self.text(text)
            return value if redacted is text else redacted.encode("latin-1")
        if isinstance(value, (dict, list, tuple)):
            if id(value) in inside or len(inside) >= _MAX_DEPTH:
                return MARK
            inside = (*inside, id(value))
            return self._mapping(value, inside) if isinstance(value, dict) else self._sequence(value, inside)
        return value


def _mark(match: re.Match[str]) -> str:
    """Return what replaces a match of the user's: nothing for nothing, since a pattern may match an empty text."""
    return MARK if match[0] else ""


def _hide(value: Any) -> Any:
    """Return what stands for a secret's value; that there is none is no secret."""
    return value if value is None or value == "" or isinstance(value, bool) else MARK
