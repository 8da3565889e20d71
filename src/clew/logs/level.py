"""Records below a logger's own level, captured where `CLEW_LOG_LEVEL` asks for them and shown to no handler or filter.

What `isEnabledFor` answers stays as it is; the level methods themselves are woven, in programs that set the variable.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from clew import diagnostics
from clew.weaving import weave

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Capture = Callable[[logging.LogRecord], None]

_METHODS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""Each level's method; `exception` calls `error`, and the module's functions call the root logger's methods."""

_originals: dict[tuple[type, str], Any] = {}


class _Below:
    """Captures what one call of a level method would have logged, were its logger's level lower."""

    def __init__(self, threshold: int, capture: Capture) -> None:
        self._threshold = threshold
        self._capture = capture

    def logger(self, level: int, logger: logging.Logger, message: object, args: tuple[Any, ...], kwargs: Any) -> None:
        """Capture a call of `logger`'s method for `level`."""
        try:
            if self._is_hidden(logger, level):
                self._capture(_make_record(logger, level, message, args, kwargs))
        except Exception as error:  # noqa: BLE001 - a call that plain Python ignores cannot fail
            diagnostics.report("log-level", f"a record below its logger's level was lost: {type(error).__name__}")

    def log(self, logger: logging.Logger, level: int, message: object, args: tuple[Any, ...], kwargs: Any) -> None:
        """Capture a call of `Logger.log`."""
        if type(level) is int:
            self.logger(level, logger, message, args, kwargs)

    def adapter(self, adapter: Any, level: int, message: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Capture a call of `LoggerAdapter.log`, which asks the logger before it calls it."""
        try:
            if type(level) is int and self._is_hidden(adapter.logger, level):
                message, kwargs = adapter.process(message, dict(kwargs))
                self.logger(level, adapter.logger, message, args, kwargs)
        except Exception as error:  # noqa: BLE001 - as above
            diagnostics.report("log-level", f"a record below its logger's level was lost: {type(error).__name__}")

    def _is_hidden(self, logger: logging.Logger, level: int) -> bool:
        """Return whether the logger's level alone keeps the call from being logged."""
        if level < self._threshold or logger.disabled or logger.manager.disable >= level:
            return False
        return not logger.isEnabledFor(level)


def install(threshold: int, capture: Capture) -> None:
    """Capture records from `threshold` on, whatever their logger's level; a disabled logger stays silent."""
    below = _Below(threshold, capture)
    for name, level in _METHODS.items():
        _weave(logging.Logger, name, partial(below.logger, level))
    _weave(logging.Logger, "log", below.log)
    _weave(logging.LoggerAdapter, "log", below.adapter)


def uninstall() -> None:
    """Put the original methods back."""
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()


def _weave(owner: type, name: str, before: Callable[..., None]) -> None:
    original = getattr(owner, name)
    woven = weave(original, before=before, variadic=True)
    if woven is None:
        diagnostics.report(
            "log-level", f"{owner.__name__}.{name} is not logging's own; CLEW_LOG_LEVEL does not reach it"
        )
        return
    _originals[owner, name] = original
    setattr(owner, name, woven)


def _make_record(
    logger: logging.Logger, level: int, message: object, args: tuple[Any, ...], kwargs: Any
) -> logging.LogRecord:
    """Make the record as `Logger._log` would, by the plain class: the program's factory is not asked."""
    frame = _caller(kwargs.get("stacklevel", 1))
    code = frame.f_code
    record = logging.LogRecord(
        logger.name, level, code.co_filename, frame.f_lineno, message, args, _exc_info(kwargs), code.co_name
    )
    extra = kwargs.get("extra")
    if isinstance(extra, dict):
        record.__dict__.update((key, value) for key, value in extra.items() if key not in record.__dict__)
    return record


def _exc_info(kwargs: Any) -> Any:
    exc_info = kwargs.get("exc_info")
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return sys.exc_info() if exc_info and not isinstance(exc_info, tuple) else exc_info


def _caller(stacklevel: int) -> FrameType:
    """Return the frame that called the level method: the first outside `logging` and this module."""
    frame = sys._getframe(1)  # noqa: SLF001 - as logging itself finds the caller
    own = {__file__, logging._srcfile}  # noqa: SLF001 - the file whose frames logging skips
    while frame.f_back is not None and (frame.f_code.co_filename in own or stacklevel > 1):
        stacklevel -= frame.f_code.co_filename not in own
        frame = frame.f_back
    return frame
