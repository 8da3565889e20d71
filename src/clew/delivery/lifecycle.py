"""How delivery ends with the process, be it at exit, by SIGTERM or by `os._exit`, and how it goes on after a fork."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics

from clew import diagnostics, signal_mask
from clew.delivery import fork_warning, metric_state, termination

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.delivery.pipeline import Delivery


_GRACE_S: Final = 0.5
"""How much longer than the shutdown timeout the end of delivery is waited for; then the process ends without it."""


class _Lifecycle:
    """One process's `Delivery` and how it is brought to its end, once."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._timeout_s = delivery.settings.shutdown_timeout_s
        self._exit: Callable[[int], Any] = os._exit
        self._closing = False
        self._ended = allocate_lock()
        self._die: Callable[[], object] | None = None

    def _begins(self) -> bool:
        """Return whether the caller is the one to close.

        Asked on the thread that the end was announced to, before another does the work: a second announcement, such as
        SIGTERM during `os._exit`, must find that it is under way.
        """
        if self._closing:
            return False
        self._closing = True
        self._ended.acquire(blocking=False)
        return True

    def _close(self) -> None:
        """Collect the last metrics and end delivery, in no more than the shutdown timeout."""
        deadline = time.monotonic() + self._timeout_s
        try:
            if not self._delivery.metrics_ended:
                _collect_metrics(self._timeout_s / 2)
            self._delivery.close(max(0.0, deadline - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - the process ends as it would without us
            diagnostics.report("exit", f"delivery did not end well: {type(error).__name__}: {error}")
        finally:
            self._ended.release()

    def at_exit(self) -> None:
        """Close when the interpreter ends; a program that Ctrl-C ended still dies of SIGINT."""
        interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")
        if self._begins():
            self._close()
        if self._die is not None:
            self._die()
        if interrupted:
            # What executes source text meanwhile, as making a dataclass does, lets the interpreter forget that it was
            # interrupted; this reminds it (run_eval_code_obj in CPython's pythonrun.c).
            with contextlib.suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")  # noqa: S102 - a constant

    def terminate(self, die: Callable[[], object]) -> None:
        """Close from the handler of a signal that ends the process, then `die`.

        Another thread closes: the code that the signal interrupted may hold a lock that closing needs. Where it
        interrupted closing itself, that ends first.
        """
        if not self._begins():
            self._die = die
            return
        self._in_thread(self._close)
        die()

    def flush(self) -> None:
        """Deliver what there is, from the handler of a signal that does not end the process."""
        self._in_thread(lambda: self._delivery.flush(self._timeout_s))

    def _in_thread(self, call: Callable[[], object]) -> None:
        """Call on a thread of its own and wait, but not for ever."""
        done = allocate_lock()
        done.acquire()

        def run() -> None:
            try:
                call()
            finally:
                done.release()

        try:
            signal_mask.start_thread(run)
        except RuntimeError:
            call()
            return
        done.acquire(timeout=self._timeout_s + _GRACE_S)

    def exit(self, status: int) -> None:
        """Stand in for `os._exit`: it leaves atexit out, and whatever is queued would go with it."""
        used = self._delivery.is_used or metric_state.has_measurements(metrics.get_meter_provider())
        if used and self._begins():
            self._in_thread(self._close)
        elif used:
            self._ended.acquire(timeout=self._timeout_s + _GRACE_S)
        self._exit(status)

    def after_fork(self) -> None:
        """Start clean in a forked child."""
        self._closing, self._die, self._ended = False, None, allocate_lock()
        diagnostics.forget()
        try:
            metric_state.reset(metrics.get_meter_provider())
            self._delivery.after_fork()
        except Exception as error:  # noqa: BLE001 - the child lives on, as it would without us
            diagnostics.report("fork", f"delivery is not set up in a forked child: {type(error).__name__}: {error}")


def _collect_metrics(timeout_s: float) -> None:
    """Let the meter provider's readers collect once more, if it can be told to."""
    flush = getattr(metrics.get_meter_provider(), "force_flush", None)
    if callable(flush):
        try:
            flush(timeout_millis=timeout_s * 1000)
        except Exception as error:  # noqa: BLE001 - the SDK raises where a reader or a callback failed
            diagnostics.report("exit-metrics", f"the last metrics were not collected: {error}")


def install(delivery: Delivery) -> None:
    """Bring `delivery` to its end with the process, and through forks.

    To be called before the SDK is configured: what is registered with atexit first runs last, after the providers' own
    handlers.
    """
    lifecycle = _Lifecycle(delivery)
    atexit.register(lifecycle.at_exit)
    os.register_at_fork(after_in_child=lifecycle.after_fork)
    fork_warning.install()
    signal_mask.mask_sdk_threads()
    os._exit = lifecycle.exit  # type: ignore[assignment]  # promise: a forked child loses nothing
    termination.install(lifecycle.terminate, lifecycle.flush)
