"""What carries the current IDs to another thread: threads, timers, executors. Other processes: `processes`, `pools`.

Nothing here puts a frame of ours into a traceback: the calls are woven into the standard library's own functions.
asyncio's tasks, callbacks and `to_thread` carry the Context by themselves.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, get_current

from clew.correlation import pools, processes
from clew.correlation.patches import Patches, guarded
from clew.importing import when_imported

if TYPE_CHECKING:
    from clew.settings import Settings

_CARRIED: Final = "_clew_context"
"""The attribute under which a thread or a work item takes the Context along, until it runs."""

_patches: Final = Patches()
_left = threading.local()


def install(settings: Settings) -> None:
    """Carry the IDs into threads, executors, child processes, and out of the environment into this one. Idempotent."""
    if not _patches:
        _patches.weave(threading.Thread, "start", before=_pack_thread)
        _patches.weave(threading.Thread, "_bootstrap_inner", before=_unpack_thread)
        when_imported("concurrent.futures.thread", _weave_executor)
    processes.install(settings)
    pools.install()


def uninstall() -> None:
    """Take all of it back; threads that run keep their IDs."""
    _patches.remove()
    pools.uninstall()
    processes.uninstall()


def _weave_executor(module: Any) -> None:
    if _patches:
        _patches.weave(module._WorkItem, "__init__", before=_pack_item)  # noqa: SLF001 - where a call waits
        _patches.weave(module._WorkItem, "run", before=_enter_item, after=_leave_item)  # noqa: SLF001 - where it runs


@guarded
def _pack_thread(thread: threading.Thread, *_: object) -> None:
    """Give a thread that starts the Context of the one who starts it.

    An executor's worker is left out: it is started by whatever call happens to need it, and each call brings its own.
    """
    context = get_current()
    if not context or getattr(getattr(thread, "_target", None), "__module__", None) == "concurrent.futures.thread":
        return
    setattr(thread, _CARRIED, context)
    if getattr(thread, "_context", context) is None:
        _pack_thread_context(thread, context)


def _pack_thread_context(thread: Any, context: Context) -> None:
    """Do so on Python 3.14, which runs a thread inside a `contextvars.Context`, an empty one by default."""
    inherits = getattr(sys.flags, "thread_inherit_context", 0)
    thread._context = contextvars.copy_context() if inherits else contextvars.Context()  # noqa: SLF001 - as its `start` does
    thread._context.run(attach, context)  # noqa: SLF001 - likewise


@guarded
def _unpack_thread(thread: threading.Thread) -> None:
    """Make the carried Context current in the new thread for its whole life, its exception hook included."""
    context = vars(thread).pop(_CARRIED, None)
    if context is not None:
        attach(context)


@guarded
def _pack_item(item: object, *_: object) -> None:
    setattr(item, _CARRIED, get_current())


@guarded
def _enter_item(item: object, *_: object) -> None:
    """Make the Context of the call current in the worker, an empty one too: another call's must not show."""
    _left_contexts().append(get_current())
    attach(getattr(item, _CARRIED, None) or Context())


@guarded
def _leave_item(*_: object) -> None:
    attach(_left_contexts().pop())


def _left_contexts() -> list[Context]:
    """Return this thread's stack of Contexts to go back to; the item can't hold them, since `run` may forget it."""
    if not hasattr(_left, "contexts"):
        _left.contexts = []
    stack: list[Context] = _left.contexts
    return stack
