"""From a `logging.LogRecord`, whatever is in it, to a `LogEntry`.

Runs on the thread that logged, after the handlers, and keeps no reference to the record, its arguments, an exception
or a frame.
"""

from __future__ import annotations

import logging
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clew import schema
from clew.entry import ExceptionEntry, LogEntry
from clew.logs import fields
from clew.logs.access import ACCESS_LOGGERS
from clew.logs.fingerprint import fingerprint_exception, fingerprint_traceback_text
from clew.logs.stacktrace import format_exception, message_of, type_name
from clew.logs.suppression import suppression
from clew.logs.values import ARGUMENTS, ATOMS, MAX_TEXT, UNPRINTABLE, Sanitizer, interrupts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clew.correlation.origin import CurrentIds
    from clew.entry import Attributes

EVENT_NAME: Final = "otel.event.name"
"""The key in `extra` that upstream's handler takes as the event's name."""

STACK_INFO: Final = "code.stacktrace"

_BASE_KEYS: Final = tuple(vars(logging.LogRecord("", 0, "", 0, "", (), None)))
"""What every record has, in the order in which `LogRecord` sets it; what a caller gives in `extra` comes after."""

_BASE_COUNT: Final = len(_BASE_KEYS)
_FORMATTED: Final = frozenset({"message", "asctime"})
_NOT_EXTRA: Final = frozenset({*_BASE_KEYS, "message", "asctime"})
_INT_BITS: Final = 64
_PLAIN: Final = frozenset({bool, float, type(None)})
_TIME_MAX_S: Final = 2**63 / 10**9
_SITES_MAX: Final = 8192
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")

_COLOURED: Final = ACCESS_LOGGERS | {"uvicorn.error"}
"""Loggers that put colour codes into the record itself."""


_COLOURED_MESSAGE: Final = "color_message"
"""What uvicorn adds to its records: the message once more, with colour codes."""


class _Site(NamedTuple):
    """What all records of one log call in the source have in common."""

    severity_number: int
    severity_text: str
    scope: str
    code: tuple[str, str, int] | None
    coloured: bool


_sites: dict[tuple[Any, ...], _Site] = {}
_keys: set[str] = set()
"""Keys of attributes that can be sent as they are."""


def translate(record: logging.LogRecord, ids: CurrentIds, added: Attributes | None = None) -> LogEntry:
    """Return the entry of `record`, with `added` besides the caller's own attributes.

    What `record` holds may be anything; a record that lacks what every record has is translated piece by piece.
    """
    try:
        return _translate(record.__dict__, ids, added)
    except Exception:  # noqa: BLE001 - a field is missing or of a wrong type; the careful way looks at each
        return _translate(_repaired(record).__dict__, ids, added)


def _translate(own: dict[str, Any], ids: CurrentIds, added: Attributes | None) -> LogEntry:
    site_key = (own["name"], own["levelno"], own["pathname"], own["lineno"], own["funcName"])
    number, text, scope, code, coloured = _sites.get(site_key) or _remember_site(site_key)
    body = quick_body(own["msg"], own["args"])
    attributes: Attributes | None = None
    sanitizer: Sanitizer | None = None
    if len(own) != _BASE_COUNT:
        attributes, sanitizer = _extras(own, ids)
    exception = event_name = None
    if body is None or coloured or sanitizer or added or own["exc_info"] or own["exc_text"] or own["stack_info"]:
        sanitizer = sanitizer or Sanitizer()
        body = _body(own, sanitizer) if body is None else body
        if coloured:
            body = _ANSI.sub("", body)
            attributes = {key: value for key, value in (attributes or {}).items() if key != _COLOURED_MESSAGE}
        exception = _exception(own, sanitizer)
        attributes = _complete(attributes, own["stack_info"], added, sanitizer)
    if attributes and EVENT_NAME in attributes:
        event_name = str(attributes.pop(EVENT_NAME))
    ident, name = own["thread"], own["threadName"]
    thread = (ident, name) if type(ident) is int and type(name) is str else None
    time_ns = int(own["created"] * 1_000_000_000)
    trace_id, span_id, flags, correlation_id = ids
    # tuple.__new__ saves half of what the NamedTuple's own constructor costs; a test holds the order of the fields.
    return tuple.__new__(
        LogEntry,
        (
            time_ns,
            number,
            text,
            scope,
            body,
            event_name,
            trace_id,
            span_id,
            flags,
            correlation_id,
            attributes,
            code,
            thread,
            exception,
            None,
            None,
            0,
        ),
    )


def _remember_site(key: tuple[Any, ...]) -> _Site:
    """Make what `key` has in common and keep it; a program with endless log calls starts over."""
    name, level, path, line, function = key
    sanitizer = Sanitizer()
    scope = sanitizer.text(name) if isinstance(name, str) else sanitizer.render(name)
    code = None
    if isinstance(path, str) and type(line) is int:
        code = (sanitizer.text(path), sanitizer.text(function) if isinstance(function, str) else "", line)
    site = _Site(severity_number(level), str(logging.getLevelName(level)), scope, code, scope in _COLOURED)
    if len(_sites) >= _SITES_MAX:
        _sites.clear()
    _sites[key] = site
    return site


def severity_number(level: int) -> int:
    """Return OpenTelemetry's number for a level of `logging`: DEBUG 5, INFO 9, WARNING 13, ERROR 17, CRITICAL 21.

    A level in between is one of the three finer steps; below DEBUG is TRACE, NOTSET is unspecified.
    """
    if level <= 0:
        return 0
    tens, rest = divmod(min(int(level), 53), 10)
    return 1 + 4 * tens + min(rest, 3)


def quick_body(message: Any, arguments: Any) -> str | None:
    """Return the formatted message where that runs no user code and nothing has to be replaced."""
    if type(message) is not str:
        return None
    if arguments:
        if type(arguments) is not tuple:
            return None
        for argument in arguments:
            if type(argument) not in ATOMS:
                return None
        try:
            message %= arguments
        except (TypeError, ValueError, OverflowError, MemoryError):
            return None
    return message if message.isascii() and len(message) < MAX_TEXT else None


def _body(own: Mapping[str, Any], sanitizer: Sanitizer) -> str:
    """Return the formatted message, as a formatter left it where formatting it runs user code."""
    message, arguments = own["msg"], own["args"]
    if type(message) is str and (not arguments or _are_atoms(arguments)):
        return _render(message, arguments, sanitizer)
    rendered = own.get("message")
    if type(rendered) is str:
        return sanitizer.text(rendered)
    return _render(message, arguments, sanitizer)


def _are_atoms(arguments: Any) -> bool:
    return type(arguments) is tuple and ATOMS.issuperset(map(type, arguments))


def _render(message: object, arguments: Any, sanitizer: Sanitizer) -> str:
    """Format a message, or tell that its arguments do not fit; what user code logs meanwhile is nobody's."""
    if not arguments:
        return sanitizer.text(message) if type(message) is str else sanitizer.render(message)
    token = suppression.set(True)
    try:
        return sanitizer.text(str(message) % arguments)
    except BaseException as error:
        if interrupts(error):
            raise
        return _unformatted(message, arguments, sanitizer)
    finally:
        suppression.reset(token)


def _unformatted(message: object, arguments: Any, sanitizer: Sanitizer) -> str:
    """Return a message that its arguments do not fit, and the arguments beside it."""
    sanitizer.flaws.add(ARGUMENTS)
    text = message if type(message) is str else sanitizer.render(message)
    return sanitizer.text(f"{text} (arguments: {sanitizer.value(arguments)!r})")


def _extras(own: dict[str, Any], ids: CurrentIds) -> tuple[Attributes | None, Sanitizer | None]:
    """Return what the record holds besides what every record does, and the sanitizer if something was replaced."""
    found: Attributes = {}
    for key, value in islice(own.items(), _BASE_COUNT, None):
        kind = type(value)
        if key in _keys and (
            (kind is str and value.isascii() and len(value) < MAX_TEXT)
            or (kind is int and value.bit_length() < _INT_BITS)
            or kind in _PLAIN
        ):
            found[key] = value
        elif key not in _FORMATTED:
            return _checked_extras(own, ids)
    expected = len(own) - _BASE_COUNT - ("message" in own) - ("asctime" in own)
    if len(found) != expected or fields.State.named:
        return _checked_extras(own, ids)
    return found or None, None


def _checked_extras(own: dict[str, Any], ids: CurrentIds) -> tuple[Attributes | None, Sanitizer | None]:
    """Do what `_extras` does, for a record in which any key may stand anywhere and hold anything."""
    sanitizer = Sanitizer()
    stamped = fields.stamped(ids)
    found: Attributes = {}
    for key, value in list(own.items()):
        if key not in _NOT_EXTRA and not (key in stamped and value == stamped[key]):
            found[_checked_key(key, sanitizer)] = sanitizer.value(value)
    return found or None, sanitizer if sanitizer.flaws else None


def _checked_key(key: object, sanitizer: Sanitizer) -> str:
    """Return a key that can be sent, and remember one that needs no change."""
    checked = sanitizer.key(key)
    if checked is key:
        if len(_keys) >= _SITES_MAX:
            _keys.clear()
        _keys.add(checked)
    return checked


def _complete(
    attributes: Attributes | None, stack_info: object, added: Attributes | None, sanitizer: Sanitizer
) -> Attributes | None:
    """Add what few records have: the stack that was asked for, what the caller of `translate` says, the flaws."""
    found: Attributes = {**(attributes or {}), **(added or {})}
    if stack_info:
        found[STACK_INFO] = sanitizer.value(stack_info)
    if sanitizer.flaws:
        found[schema.LOG_SANITIZED] = ",".join(sorted(sanitizer.flaws))
    return found or None


def _exception(own: Mapping[str, Any], sanitizer: Sanitizer) -> ExceptionEntry | None:
    """Describe the record's exception, or the text of one where only that came along."""
    error = exception_of(own["exc_info"])
    if error is not None:
        return describe_exception(error, sanitizer)
    text = own["exc_text"]
    return _described_by_text(sanitizer.text(text)) if type(text) is str and text.strip() else None


def exception_of(exc_info: object) -> BaseException | None:
    """Return the exception in what a record has as its `exc_info`, whatever that is."""
    if type(exc_info) is tuple and len(exc_info) == 3:  # noqa: PLR2004 - type, value, traceback
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def describe_exception(error: BaseException, sanitizer: Sanitizer | None = None) -> ExceptionEntry:
    """Return type, message, full text and fingerprint of `error`; never raises what its own methods raise."""
    sanitizer = sanitizer or Sanitizer()
    token = suppression.set(True)
    try:
        return ExceptionEntry(
            type_name(type(error)),
            message_of(error, sanitizer),
            format_exception(error, sanitizer),
            fingerprint_exception(error),
        )
    except Exception:  # noqa: BLE001 - an exception's attributes may themselves raise
        sanitizer.flaws.add(UNPRINTABLE)
        return ExceptionEntry(type(error).__name__, "", "", None)
    finally:
        suppression.reset(token)


def _described_by_text(text: str) -> ExceptionEntry:
    """Describe an exception of which only the text is left, as a record from another process has it."""
    last = text.rstrip().rpartition("\n")[2]
    kind, _, message = last.partition(": ")
    return ExceptionEntry(kind.strip(), message, text, fingerprint_traceback_text(text))


def _repaired(record: logging.LogRecord) -> logging.LogRecord:
    """Make a record that has all that every record has, from one that lacks some or holds what it should not."""
    own = dict(object.__getattribute__(record, "__dict__"))
    whole = logging.LogRecord("", 0, "", 0, None, (), None)
    for key, expected in vars(whole).items():
        given = own.pop(key, expected)
        setattr(whole, key, given if _fits(key, given, expected) else expected)
    whole.__dict__.update(own)
    return whole


def _fits(key: str, given: object, expected: object) -> bool:
    """Return whether `given` is what the fast way can take for `key`."""
    if key in {"msg", "args"}:
        return True
    if key in {"exc_info", "exc_text", "stack_info", "thread", "threadName"}:
        return key != "exc_info" or given is None or isinstance(given, (tuple, BaseException))
    if key == "created":
        return isinstance(given, (int, float)) and 0 <= given < _TIME_MAX_S
    if key in {"pathname", "funcName"}:
        return given is None or type(given) is str
    return isinstance(given, (int, float)) if isinstance(expected, (int, float)) else type(given) is type(expected)
