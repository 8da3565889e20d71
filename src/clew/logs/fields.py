"""The record fields that a format string can name: `%(trace_id)s`, `{correlation_id}` and the rest.

A record carries them only once a format string has named them, so that formatters which print all that a record has
print what they always did. Any code can read them as attributes of a record where there is an ID to read.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from clew import diagnostics, schema
from clew.correlation.context import current_ids
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from clew.correlation.origin import CurrentIds

_NAMED: Final = re.compile(r"(?:%\(|\{|\$\{?)(" + "|".join(schema.RECORD_FIELDS) + r")\b")
_ABSENT: Final[Mapping[str, Any]] = {
    **dict.fromkeys(schema.RECORD_FIELDS, ""),
    "otelTraceID": "0",
    "otelSpanID": "0",
    "otelTraceSampled": False,
}
"""What a field holds where there is no ID: upstream's own values for upstream's fields."""


class State:
    """Which fields are put into records, and what was replaced to know of them; `named` is read for each record."""

    named: frozenset[str] = frozenset()
    always = False
    style_init: Any = None


def service_name() -> str:
    """Return the name of the service in the tracer provider's resource, or nothing before there is one."""
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    return str(resource.attributes.get("service.name", "")) if resource is not None else ""


_VALUES: Final[Mapping[str, Callable[[CurrentIds], Any]]] = {
    schema.FIELD_CORRELATION_ID: lambda ids: ids.correlation_id,
    schema.FIELD_TRACE_ID: lambda ids: f"{ids.trace_id:032x}" if ids.trace_id else None,
    schema.FIELD_SPAN_ID: lambda ids: f"{ids.span_id:016x}" if ids.span_id else None,
    schema.FIELD_TRACE_FLAGS: lambda ids: f"{ids.trace_flags:02x}" if ids.trace_id else None,
    "otelTraceID": lambda ids: f"{ids.trace_id:032x}" if ids.trace_id else "0",
    "otelSpanID": lambda ids: f"{ids.span_id:016x}" if ids.span_id else "0",
    "otelTraceSampled": lambda ids: bool(ids.trace_flags & 1),
    "otelServiceName": lambda _: service_name(),
}


def stamped(ids: CurrentIds) -> dict[str, Any]:
    """Return the fields that a record with `ids` carries.

    One without an ID is left to the format's default: a program that fills the gap itself goes on doing so.
    """
    found = {name: _VALUES[name](ids) for name in State.named}
    if State.always:
        return {name: _ABSENT[name] if value is None else value for name, value in found.items()}
    return {name: value for name, value in found.items() if value is not None}


def stamp(record: logging.LogRecord, ids: CurrentIds) -> None:
    """Put the fields into `record`; what the program put there itself stays."""
    own = record.__dict__
    for name, value in stamped(ids).items():
        own.setdefault(name, value)


def require(names: Iterable[str]) -> None:
    """Let records carry `names` from now on."""
    State.named |= frozenset(names)


class _Field:
    """Answers `record.trace_id` and the like from the current context, unless the record has its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value = _VALUES[name]

    def __get__(self, record: logging.LogRecord | None, owner: type) -> Any:
        value = self._value(current_ids()) if record is not None else None
        if value is None:
            # As without Clew, so that hasattr and getattr with a default find the program's own way.
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")
        return value


def install(mode: str) -> None:
    """Provide the fields as `CLEW_LOG_FIELDS` says: `auto`, `always` or `never`."""
    if mode == "never" or State.style_init is not None:
        return
    for name in schema.RECORD_FIELDS:
        if name not in vars(logging.LogRecord):
            setattr(logging.LogRecord, name, _Field(name))
    State.always = mode == "always"
    if State.always:
        require(schema.RECORD_FIELDS)
    _watch_formats()


def uninstall() -> None:
    """Take back what `install` did."""
    for name in schema.RECORD_FIELDS:
        if isinstance(vars(logging.LogRecord).get(name), _Field):
            delattr(logging.LogRecord, name)
    if State.style_init is not None:
        logging.PercentStyle.__init__ = State.style_init  # type: ignore[method-assign]  # back to the original
    State.named, State.always, State.style_init = frozenset(), False, None


def _watch_formats() -> None:
    """See each format string of all three styles when it is made."""
    original: Any = logging.PercentStyle.__init__
    woven = weave(original, after=_notice)
    if woven is None:
        diagnostics.report("log-fields", "could not watch log formats; to have fields, set CLEW_LOG_FIELDS=always")
        return
    logging.PercentStyle.__init__ = woven  # type: ignore[method-assign]  # the same function with a call at its end
    State.style_init = original


def _notice(style: Any, fmt: object) -> None:
    """Require the fields that a new format names, and give the format defaults for them."""
    try:
        names = set(_NAMED.findall(fmt)) if type(fmt) is str else set()
        if names:
            require(names)
            style._defaults = {**{name: _ABSENT[name] for name in names}, **(style._defaults or {})}  # noqa: SLF001 - private since 3.10; no public way to a default
    except Exception as error:  # noqa: BLE001 - the program's formatter is made whatever happens here
        diagnostics.report("log-fields", f"could not provide fields to a log format: {type(error).__name__}")
