"""Threads of telemetry take none of the process's signals: without us there would be no thread to take them.

The kernel gives a signal to any thread that does not block it. A program whose only thread blocks SIGTERM, to wait for
it with `signal.sigwait` or while it holds a lock that it shares with other processes (as a worker of a process pool
does when it ends), counts on the signal to stay pending; taken by another thread, it would end the process there.
A broken connection's SIGPIPE, which a program may have set back to its default, does not end it either.
"""

from __future__ import annotations

import functools
import signal
from _thread import _local, start_new_thread
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN: Final = (
    *("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT"),
    *("SIGPROF", "SIGVTALRM"),
)
"""What a thread does to itself, and would end the process without a word of `faulthandler` where it is blocked; and
what comes of the CPU time that it uses, which a profiler would ascribe to another thread."""

_MASKED: Final = signal.valid_signals() - {getattr(signal, name) for name in _OWN if hasattr(signal, name)}
_CAN_BE_BLOCKED: Final = hasattr(signal, "pthread_sigmask")
_here: Final[Any] = _local()
"""`before`, on a thread that takes no signals: what it would block without us."""


def start_thread(call: Callable[[], object]) -> None:
    """Call on a new thread that takes no signals.

    Not a `threading.Thread`: to start one takes a lock that interrupted code may hold.

    Raises:
        RuntimeError: No thread can be started any more.
    """
    if not _CAN_BE_BLOCKED:
        start_new_thread(call, ())
        return
    # A thread begins with the mask of the one that starts it: were it to block signals itself, it would take those that
    # come before it first runs.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _MASKED)
    try:
        start_new_thread(_run, (call, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(call: Callable[[], object], before: set[Any]) -> None:
    _here.before = before
    call()


def before_spawn() -> None:
    """Let the calling thread, if it is one of these, take signals for the moment in which it starts a process.

    A process begins with the mask of the thread that starts it: what a callback of the program's metrics starts must
    not be deaf to SIGTERM.
    """
    before = getattr(_here, "before", None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def after_spawn() -> None:
    """Go on as before `before_spawn`."""
    if getattr(_here, "before", None) is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _MASKED)


def mask_sdk_threads() -> None:
    """Have the SDK's own threads, which it starts again in each forked child, take no signals either.

    Reached through the names of the methods that they run; where a release has moved them, they take signals.
    """
    from opentelemetry.sdk.metrics import export  # noqa: PLC0415 - slow to import, and not always there

    _mask(export.PeriodicExportingMetricReader, "_ticker")
    try:
        from opentelemetry.sdk._shared_internal import BatchProcessor  # noqa: PLC0415
    except ImportError:
        return
    _mask(BatchProcessor, "worker")


def _mask(owner: type, name: str) -> None:
    method = owner.__dict__.get(name)
    if not callable(method) or hasattr(method, "__wrapped__"):
        return

    @functools.wraps(method)
    def masked(*args: Any, **kwargs: Any) -> Any:
        if _CAN_BE_BLOCKED:
            _here.before = signal.pthread_sigmask(signal.SIG_BLOCK, _MASKED)
        return method(*args, **kwargs)

    setattr(owner, name, masked)
