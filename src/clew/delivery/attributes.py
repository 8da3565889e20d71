"""Attributes on their way into either encoding: redacted, encoded, and remembered while they are likely to come again.

Most pairs of a service come again and again (its routes, its methods, its status codes), so the common path is one
look-up for a pair, and redaction sees each remembered pair once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from clew import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clew.entry import Attributes, ExceptionEntry, LogEntry

MAX_PAIRS: Final = 4096
"""Pairs that one cache remembers; past it all are forgotten at once, which costs less than keeping an order."""

MAX_PAIRS_OF_KEY: Final = 512
"""Pairs of one key that are remembered before the key counts as one whose values seldom come again."""

MAX_KEYS: Final = 1024
"""Keys that are remembered."""

MAX_PAIR_CHARS: Final = 256
"""Longer values are not remembered: they seldom come again and would make the cache large."""

MAX_TEXTS: Final = 256
MIN_TEXT_CHARS: Final = 256
MAX_TEXT_CHARS: Final = 8192
"""Texts of these lengths are remembered once redacted: tracebacks, which cost the most and come again."""

_NUMBERS: Final = frozenset({int, bool, float, type(None)})
"""Types that hold no secret unless their key says so."""

_CODE: Final = (schema.CODE_FILE_PATH, schema.CODE_FUNCTION_NAME, schema.CODE_LINE_NUMBER)
_THREAD: Final = (schema.THREAD_ID, schema.THREAD_NAME)
_EXCEPTION: Final = (schema.EXCEPTION_TYPE, schema.EXCEPTION_MESSAGE, schema.EXCEPTION_STACKTRACE)
_CORRELATION: Final = (schema.CORRELATION_ID,)
_OWN: Final = frozenset(
    (*_CODE, *_THREAD, *_EXCEPTION, schema.ERROR_FINGERPRINT, schema.CORRELATION_ID, schema.LOG_RECORD_UID)
)


class Redactor(Protocol):
    """What takes secrets out; both return their argument itself where there is none. Safe from any thread."""

    def text(self, text: str, /) -> str:
        """Return `text` without secrets."""

    def attributes(self, attributes: Mapping[str, Any], /) -> Mapping[str, Any]:
        """Return `attributes` without secrets, nested ones included."""

    def value(self, value: Any, /) -> Any:
        """Return a value that has no key without secrets."""

    def __hash__(self) -> int:
        """Return a hash: an encoder is kept for each redactor."""


class PairCache:
    """Encodes attributes and remembers them; safe from any thread.

    `write` makes a pair's bytes from those of its key, which `write_key` makes.
    """

    def __init__(
        self,
        write_key: Callable[[object], bytes],
        write: Callable[[bytes, object], bytes],
        redact: Redactor | None,
    ) -> None:
        self._write_key = write_key
        self._write = write
        self._redact = redact
        self._known: dict[tuple[str, object], bytes | tuple[type, bytes]] = {}
        self._keys: dict[str, tuple[bytes, bool]] = {}
        self._left: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    def encode(self, attributes: Mapping[str, Any]) -> list[bytes]:
        """Encode each pair, in order."""
        get, pairs = self._known.get, []
        for item in attributes.items():
            try:
                pair = get(item)
            except Exception:  # noqa: BLE001 - an unhashable value; any other trouble is its own too
                pair = None
            if pair.__class__ is tuple:
                pair = pair[1] if pair[0] is item[1].__class__ else None
            pairs.append(pair or self._encode_pair(item))
        return pairs  # type: ignore[return-value]  # bytes by now

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._redact is None:
            return text
        if not MIN_TEXT_CHARS <= len(text) <= MAX_TEXT_CHARS:
            return self._redact.text(text)
        redacted = self._texts.get(text)
        if redacted is None:
            redacted = self._redact.text(text)
            _remember(self._texts, text, redacted, MAX_TEXTS)
        return redacted

    def value(self, value: Any) -> Any:
        """Return a body that is not text without secrets."""
        return value if self._redact is None else self._redact.value(value)

    def own(self, key: str, value: object) -> bytes:
        """Encode a pair of Clew's own that seldom comes again, as it is."""
        return self._write((self._keys.get(key) or self._learn(key))[0], value)

    def _learn(self, key: str) -> tuple[bytes, bool]:
        """Encode a key, and find out whether redaction depends on it: then pairs are redacted as such, else values."""
        probe = {key: "x"}
        learnt = self._write_key(key), self._redact is not None and self._redact.attributes(probe) is not probe
        if key.__class__ is str:
            _remember(self._keys, key, learnt, MAX_KEYS)
        return learnt

    def _encode_pair(self, item: tuple[str, Any]) -> bytes:
        """Redact and encode a pair that is not remembered, and remember it if it may come again.

        Values that Python calls equal are not the same attribute (`1`, `True`, `1.0`), so all but strings, which equal
        nothing else, are remembered with their type. Floats seldom come again.
        """
        key, value = item
        kind = value.__class__
        encoded_key, is_sensitive = self._keys.get(key) or self._learn(key)
        if self._redact is not None:
            if kind is str and not is_sensitive:
                value = self._redact.text(value)
            elif is_sensitive or kind not in _NUMBERS:
                ((key, value),) = self._redact.attributes({key: value}).items()
                encoded_key = self._write_key(key)
        pair = self._write(encoded_key, value)
        if kind is str:
            if len(item[1]) <= MAX_PAIR_CHARS and self._may_remember(item[0]):
                _remember(self._known, item, pair, MAX_PAIRS)
        elif (kind is int or kind is bool) and self._may_remember(item[0]):
            _remember(self._known, item, (kind, pair), MAX_PAIRS)
        return pair

    def _may_remember(self, key: str) -> bool:
        """Return whether one more pair of `key` is remembered.

        A key with a new value each time, such as a user's ID, soon uses up its share; it is given another once it would
        have been through the whole cache, since what comes often may have changed by then.
        """
        left = self._left.get(key, MAX_PAIRS_OF_KEY) - 1
        if left < -MAX_PAIRS:
            left = MAX_PAIRS_OF_KEY
        if len(self._left) >= MAX_KEYS:
            self._left.clear()
        if key.__class__ is str:
            self._left[key] = left
        return left >= 0 and key.__class__ is str


def _remember(cache: dict[Any, Any], key: object, value: object, limit: int) -> None:
    """Store one more item, all others forgotten where there are too many."""
    if len(cache) >= limit:
        cache.clear()
    cache[key] = value


class LogAttributes:
    """Encodes all attributes of a log entry: the caller's, then those that follow from the entry's own fields."""

    def __init__(self, pairs: PairCache, separator: bytes) -> None:
        self._pairs = pairs
        self._separator = separator
        self._groups: dict[tuple[object, ...], bytes] = {}

    def encode(self, entry: LogEntry) -> list[bytes]:
        """Encode the attributes of `entry`, to be joined with the separator, as a group of pairs already is."""
        _, _, _, _, _, _, _, _, _, correlation_id, attributes, code, thread, exception, uid, _, _ = entry
        encoded = self._callers(entry, attributes) if attributes else []
        groups = self._groups
        if code is not None:
            encoded.append(groups.get(code) or self._group(code, _CODE))
        if thread is not None:
            encoded.append(groups.get(thread) or self._group(thread, _THREAD))
        if exception is not None:
            encoded.extend(self._exception(exception))
        if correlation_id is not None:
            own = (correlation_id,)
            encoded.append(groups.get(own) or self._group(own, _CORRELATION))
        if uid is not None:
            encoded.append(self._pairs.own(schema.LOG_RECORD_UID, uid))
        return encoded

    def _callers(self, entry: LogEntry, attributes: Attributes) -> list[bytes]:
        """Encode the caller's attributes without those that the entry sets itself: a key may stand once in a record."""
        if _OWN.isdisjoint(attributes):
            return self._pairs.encode(attributes)
        own = own_attributes(entry)
        return self._pairs.encode({key: value for key, value in attributes.items() if key not in own})

    def _group(self, values: tuple[object, ...], keys: tuple[str, ...]) -> bytes:
        """Encode pairs that come together and remember them as one."""
        group = self._separator.join(map(self._pairs.own, keys, values))
        _remember(self._groups, values, group, MAX_PAIRS)
        return group

    def _exception(self, exception: ExceptionEntry) -> list[bytes]:
        own, text = self._pairs.own, self._pairs.text
        pairs = [
            own(schema.EXCEPTION_TYPE, exception.type),
            own(schema.EXCEPTION_MESSAGE, text(exception.message)),
            own(schema.EXCEPTION_STACKTRACE, text(exception.stacktrace)),
        ]
        if exception.fingerprint is not None:
            pairs.append(own(schema.ERROR_FINGERPRINT, exception.fingerprint))
        return pairs


def own_attributes(entry: LogEntry) -> dict[str, Any]:
    """Return the attributes that follow from the entry's own fields."""
    own: dict[str, Any] = {}
    if entry.code is not None:
        own.update(zip(_CODE, entry.code, strict=True))
    if entry.thread is not None:
        own.update(zip(_THREAD, entry.thread, strict=True))
    if entry.exception is not None:
        own.update(zip(_EXCEPTION, entry.exception, strict=False))
        if entry.exception.fingerprint is not None:
            own[schema.ERROR_FINGERPRINT] = entry.exception.fingerprint
    if entry.correlation_id is not None:
        own[schema.CORRELATION_ID] = entry.correlation_id
    if entry.uid is not None:
        own[schema.LOG_RECORD_UID] = entry.uid
    return own
