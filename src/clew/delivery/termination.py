"""SIGTERM where the program left it at its default: flush, then die of it as before.

The program never sees our handler: `signal.getsignal` and what `signal.signal` returns say SIG_DFL, and SIG_DFL set
again is our handler again, as a server does that catches the signal, restores what it found, and raises the signal
once more.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from clew.delivery.signal_watch import SignalWatch

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNUM = signal.SIGTERM
_DEFAULT = int(signal.SIG_DFL)
_JUST_NOW_S: Final = 1.0


class _Termination:
    """The handler, and how it hides."""

    def __init__(self, terminate: Callable[[Callable[[], object]], object], flush: Callable[[], object]) -> None:
        self._terminate, self._flush = terminate, flush
        self.set_real: Callable[[int, Any], object] = signal.signal
        """Sets a handler past the disguise."""
        self.get_real: Callable[[int], object] = signal.getsignal
        self._asked = threading.local()
        self._begun_at = -math.inf

    def __call__(self, signum: int, frame: object) -> None:
        """Flush and die."""
        del signum, frame
        self._begun_at = time.monotonic()
        if os.getpid() == 1:
            # The kernel spares a container's first process a signal at its default: it lived on, and so it does now.
            self._flush()
            return
        self._terminate(self._die)

    def _die(self) -> None:
        self.set_real(_SIGNUM, _DEFAULT)
        os.kill(os.getpid(), _SIGNUM)

    def has_begun(self) -> bool:
        """Return whether the handler has run for a signal that came just now."""
        return time.monotonic() - self._begun_at < _JUST_NOW_S

    def is_set(self) -> bool:
        """Return whether this is the handler that Python has."""
        return self.get_real(_SIGNUM) is self

    def act(self) -> None:
        """Flush and die on another thread, because the main one does not come back from native code."""
        if os.getpid() == 1:
            self._flush()
        else:
            self._terminate(_die_anywhere)

    def hide(self) -> bool:
        """Make the signal module show SIG_DFL for this handler, and take SIG_DFL as it; False if that cannot be."""
        module: Any = signal
        to_enum, to_int = getattr(module, "_int_to_enum", None), getattr(module, "_enum_to_int", None)
        real = getattr(module, "_signal", None)
        if to_enum is None or to_int is None or real is None:
            return False
        self.set_real, self.get_real = real.signal, real.getsignal

        def _int_to_enum(value: Any, enum_klass: Any) -> Any:
            return signal.SIG_DFL if value is self else to_enum(value, enum_klass)

        def _enum_to_int(value: Any) -> Any:
            return self._replace(to_int(value))

        module._int_to_enum, module._enum_to_int = _int_to_enum, _enum_to_int  # noqa: SLF001 - as the docstring says
        return True

    def _replace(self, value: Any) -> Any:
        """Return ourselves for SIG_DFL of SIGTERM.

        `signal.signal` converts the number first and the handler next, on one thread; no signal has the number 0.
        """
        if isinstance(value, int) and value == _DEFAULT and getattr(self._asked, "signum", None) == _SIGNUM:
            value = self
        self._asked.signum = value if isinstance(value, int) else None
        return value


def install(terminate: Callable[[Callable[[], object]], object], flush: Callable[[], object]) -> None:
    """Handle SIGTERM where nobody else does. Does nothing outside the main thread, where Python sets no handlers.

    Args:
        terminate: Called where the signal ends the process, with what ends it.
        flush: Called where it does not.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(_SIGNUM) is not signal.SIG_DFL:
        return
    handler = _Termination(terminate, flush)
    if handler.hide():
        handler.set_real(_SIGNUM, handler)
        SignalWatch(_SIGNUM, is_ours=handler.is_set, is_handled=handler.has_begun, act=handler.act).start()


def _die_anywhere() -> None:
    """Die of the signal from a thread on which Python sets no handlers."""
    with contextlib.suppress(Exception):
        import ctypes  # noqa: PLC0415 - slow to import, and never needed by most processes

        set_handler = ctypes.CDLL(None).signal
        set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        set_handler(_SIGNUM, None)
        os.kill(os.getpid(), _SIGNUM)
        time.sleep(_JUST_NOW_S)
    os.kill(os.getpid(), signal.SIGKILL)
