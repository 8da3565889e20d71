"""Exceptions on spans: the event that `record_exception` adds says the same as a log record of that exception.

Upstream's event has the type, the message and the stack trace; ours has them from where logs have them, at a fraction
of the cost, and the fingerprint, by which the two can be joined.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import Span

from clew import diagnostics
from clew.logs.fingerprint import fingerprint_exception
from clew.logs.stacktrace import format_exception, message_of, type_name
from clew.logs.values import Sanitizer
from clew.schema import ERROR_FINGERPRINT, EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HOOK: Final = "_clew_hook"
"""The attribute by which `install` knows its own hook."""

_ESCAPED: Final = "exception.escaped"
"""Deprecated by the semantic conventions, and still what upstream sets."""


def install() -> None:
    """Hook the SDK's `Span.record_exception`. Idempotent; spans of every provider follow, running ones too."""
    if not _is_installed():
        Span.record_exception = _hook(Span.record_exception)  # type: ignore[method-assign]  # the SDK has no place for it


def uninstall() -> None:
    """Take the hook away, unless someone has hooked over it."""
    if _is_installed():
        Span.record_exception = vars(Span.record_exception)["__wrapped__"]  # type: ignore[method-assign]  # as above


def _is_installed() -> bool:
    return getattr(Span.record_exception, _HOOK, False)


def _hook(original: Callable[..., None]) -> Callable[..., None]:
    """Make the hook over `original`, of which it keeps the signature."""

    @functools.wraps(original)
    def record_exception(
        self: Span,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        described: dict[str, Any] = {_ESCAPED: str(escaped)}
        try:
            described.update(describe(exception))
        except Exception as error:  # noqa: BLE001 - promise: the program's exception goes on, whatever it is made of
            diagnostics.report("span-exception", f"an exception could not be described: {type(error).__name__}")
        self.add_event("exception", {**described, **(attributes or {})}, timestamp)

    setattr(record_exception, _HOOK, True)
    return record_exception


def describe(exception: BaseException) -> dict[str, str]:
    """Return the attributes of an exception: type, message, stack trace and, where one can be made, the fingerprint.

    Never raises what the exception's own methods raise.
    """
    sanitizer = Sanitizer()
    described = {
        EXCEPTION_TYPE: type_name(type(exception)),
        EXCEPTION_MESSAGE: message_of(exception, sanitizer),
        EXCEPTION_STACKTRACE: format_exception(exception, sanitizer),
    }
    fingerprint = fingerprint_exception(exception)
    if fingerprint is not None:
        described[ERROR_FINGERPRINT] = fingerprint
    return described
