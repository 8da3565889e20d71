"""How delivery ends with the process, however that ends: at exit, by SIGTERM, by `os._exit`; and how it goes on after a fork."""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from clew import diagnostics
from clew.delivery import metric_state, termination

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.delivery.pipeline import Delivery


class _Lifecycle:
    """One process's `Delivery` and how it is brought to its end, once."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._timeout_s = delivery.settings.shutdown_timeout_s
        self._exit: Callable[[int], Any] = os._exit

    def close(self) -> None:
        """Collect the last metrics and end delivery, in no more than the shutdown timeout."""
        deadline = time.monotonic() + self._timeout_s
        try:
            _collect_metrics(self._timeout_s / 2)
            self._delivery.close(max(0.0, deadline - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - the process ends as it would without us
            diagnostics.report("exit", f"delivery did not end well: {type(error).__name__}: {error}")

    def close_in_thread(self) -> None:
        """Close from a signal handler: the code it interrupted may hold a lock that closing needs."""
        self._in_thread(self.close)

    def flush_in_thread(self) -> None:
        """Deliver what there is, from a signal handler."""
        self._in_thread(lambda: self._delivery.flush(self._timeout_s))

    def _in_thread(self, call: Callable[[], object]) -> None:
        done = threading.Lock()
        done.acquire()

        def run() -> None:
            try:
                call()
            finally:
                done.release()

        try:
            threading.Thread(target=run, name="ClewExit", daemon=True).start()
        except RuntimeError:
            call()
            return
        done.acquire(timeout=self._timeout_s + 0.5)

    def exit(self, status: int) -> None:
        """Stand in for `os._exit`: it leaves atexit out, and whatever is queued would go with it."""
        if self._delivery.is_used or metric_state.has_measurements(metrics.get_meter_provider()):
            self.close()
        self._exit(status)

    def after_fork(self) -> None:
        """Start clean in a forked child."""
        diagnostics.forget()
        metric_state.reset(metrics.get_meter_provider())
        self._delivery.after_fork()


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

    To be called before the SDK is configured: what is registered with atexit first runs last, after the providers' own handlers.
    """
    lifecycle = _Lifecycle(delivery)
    atexit.register(lifecycle.close)
    os.register_at_fork(after_in_child=lifecycle.after_fork)
    os._exit = lifecycle.exit  # type: ignore[assignment]  # noqa: SLF001 - promise: a forked child loses nothing
    termination.install(lifecycle.close_in_thread, lifecycle.flush_in_thread)
