"""Any Python value into one that can be sent: acyclic, bounded, without user code running later or outside a guard."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final, cast

from clew.logs.suppression import suppression

if TYPE_CHECKING:
    from types import TracebackType

    from clew.entry import Value

MAX_TEXT: Final = 256 * 1024
"""Characters kept of one text; more is cut, since a Collector refuses a batch of 4 MiB and Loki a line of 256 KiB."""

MAX_DEPTH: Final = 16
"""Levels of nesting kept: each costs three levels of protobuf messages, whose parsers stop at 100."""

MAX_ITEMS: Final = 2048
"""Members kept of all the containers of one record together, so that one log call cannot take long."""

_INT64: Final = 2**63

ATOMS: Final = frozenset({str, int, float, bool, type(None)})
"""Types whose values run no user code when they are formatted."""

ARGUMENTS: Final = "arguments"
CUT: Final = "cut"
CYCLE: Final = "cycle"
KEY: Final = "key"
SURROGATE: Final = "surrogate"
UNPRINTABLE: Final = "unprintable"


class Sanitizer:
    """Makes the values of one record safe, and remembers in `flaws` what had to be replaced.

    Never raises what user code raises, and never iterates what is not a list, tuple, dict or set: those may never end.
    """

    __slots__ = ("_left", "_path", "flaws")

    def __init__(self) -> None:
        self.flaws: set[str] = set()
        self._left = MAX_ITEMS
        self._path: set[int] = set()

    def value(self, value: object) -> Value:
        """Return `value` as what OTLP can hold."""
        kind = type(value)
        if kind is str:
            return self.text(cast("str", value))
        if kind is bool or kind is float or value is None:
            return cast("Value", value)
        if kind is int:
            return self._integer(cast("int", value))
        return self._other(value, kind)

    def text(self, text: str) -> str:
        """Return `text` with lone surrogates spelled out and without what is too long."""
        if len(text) > MAX_TEXT:
            self.flaws.add(CUT)
            text = f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} more)"
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            self.flaws.add(SURROGATE)
            return text.encode("utf-8", "backslashreplace").decode()
        return text

    def render(self, value: object) -> str:
        """Return `str(value)`, or what tells that it has none; what it logs meanwhile is nobody's."""
        token = suppression.set(True)
        try:
            return self.text(str.__str__(str(value)))
        except BaseException as error:
            if interrupts(error):
                raise
            self.flaws.add(UNPRINTABLE)
            return f"<unprintable {type(value).__name__} object>"
        finally:
            suppression.reset(token)

    def key(self, key: object) -> str:
        """Return an attribute's key: text that is not empty."""
        if type(key) is str and key:
            return self.text(key)
        self.flaws.add(KEY)
        return self.render(key) or "(empty)"

    def _integer(self, value: int) -> int | str:
        return value if -_INT64 <= value < _INT64 else self._big(value)

    def _big(self, value: int) -> str:
        """Return a number that no 64 bits hold as text, hexadecimal where decimal would take long."""
        return str(value) if value.bit_length() <= MAX_ITEMS else self.text(hex(value))

    def _other(self, value: Any, kind: type) -> Value:
        """Return what is no exact scalar; the methods of the built-in types ignore what a subclass overrides."""
        if issubclass(kind, str):
            return self.text(str.__str__(value))
        if issubclass(kind, int):
            return self._integer(int.__int__(value))
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, (bytes, bytearray)):
            built_in = bytes if issubclass(kind, bytes) else bytearray
            return bytes(built_in.__getitem__(value, slice(MAX_TEXT)))
        if issubclass(kind, (dict, list, tuple, set, frozenset)):
            return self._container(value, kind)
        return self.render(value)

    def _container(self, value: Any, kind: type) -> Value:
        if id(value) in self._path or len(self._path) >= MAX_DEPTH:
            flaw = CYCLE if id(value) in self._path else CUT
            self.flaws.add(flaw)
            return f"<{flaw}>"
        self._path.add(id(value))
        try:
            return self._mapping(value) if issubclass(kind, dict) else self._sequence(value, kind)
        finally:
            self._path.discard(id(value))

    def _mapping(self, value: dict[Any, Any]) -> Value:
        found: dict[str, Value] = {}
        for key, member in list(dict.items(value)):
            if not self._take():
                break
            found[self.key(key)] = self.value(member)
        return found

    def _sequence(self, value: Any, kind: type) -> Value:
        built_in = next(item for item in (list, tuple, set, frozenset) if issubclass(kind, item))
        found: list[Value] = []
        for member in list(built_in.__iter__(value)):
            if not self._take():
                break
            found.append(self.value(member))
        return found

    def _take(self) -> bool:
        """Count one member of a container; False once there were too many."""
        self._left -= 1
        if self._left < 0:
            self.flaws.add(CUT)
        return self._left >= 0


def interrupts(error: BaseException) -> bool:
    """Return whether `error` is not the rendered value's own: it ends the program, or a signal's handler raised it.

    A handler of SIGTERM or of a timeout runs wherever the main thread happens to be; what it raises must go on.
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    return not isinstance(error, RecursionError) and _from_signal_handler(error.__traceback__)


def _from_signal_handler(traceback: TracebackType | None) -> bool:
    codes = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False
