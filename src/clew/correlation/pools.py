"""What carries the current IDs to the workers of `multiprocessing.Pool` and `ThreadPool`, task by task.

A worker lives longer than the request that made it, so each task brings its own Context, an empty one too. It travels
as an attribute of an `OrderedDict`, in which the task's keyword arguments are: that pickles with its attributes, and a
worker without Clew takes it for the plain dict that it replaces.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry.context import Context, attach, get_current

from clew.correlation.patches import Patches, guarded
from clew.correlation.processes import pack, unpack
from clew.importing import when_imported

_CARRIED: Final = "_clew_context"
_TASK_LENGTH: Final = 5
"""Job, index, function, arguments, keyword arguments: a task of another form is left alone."""

_patches: Final = Patches()


class _State:
    """Whether the hooks are wanted; they are set when a program imports what they hook."""

    installed = False


def install() -> None:
    """Carry the IDs with each task. Idempotent."""
    if not _State.installed:
        _State.installed = True
        when_imported("multiprocessing.pool", _weave_pool)


def uninstall() -> None:
    """Take it back; pools that exist go on carrying."""
    _State.installed = False
    _patches.remove()


def _weave_pool(module: Any) -> None:
    if _State.installed:
        for result in (module.ApplyResult, module.IMapIterator):
            _patches.weave(result, "__init__", before=functools.partial(_pack_result, module.ThreadPool))
        _patches.weave(module.Pool, "_handle_tasks", rebind=_sending, rebound="taskqueue")
        _patches.weave(module, "worker", rebind=_receiving, rebound="inqueue")


@guarded
def _pack_result(thread_pool: type, result: object, pool: object, *_: object) -> None:
    """Let a result, which is made where its task is asked for, hold the Context of the one who asks."""
    setattr(result, _CARRIED, get_current() if isinstance(pool, thread_pool) else pack())


def _sending(taskqueue: Any, put: object, outqueue: object, pool: object, cache: dict[int, Any]) -> Any:
    """Return `taskqueue` as the task handler is to see it: each task carries what its result holds.

    The chain of `map` and `iter` asks the queue without a frame of ours.
    """
    del put, outqueue, pool

    def carry(task: Any) -> Any:
        carried = getattr(cache.get(task[0]), _CARRIED, None)
        return task if carried is None or len(task) != _TASK_LENGTH else (*task[:4], _carrying(task[4], carried))

    def carry_all(item: Any) -> Any:
        return None if item is None else (map(carry, item[0]), *item[1:])

    return SimpleNamespace(get=map(carry_all, iter(taskqueue.get, object())).__next__)


def _carrying(options: dict[str, Any], carried: object) -> dict[str, Any]:
    """Return keyword arguments equal to `options` with `carried` as an attribute."""
    carrying = OrderedDict(options)
    setattr(carrying, _CARRIED, carried)
    return carrying


def _receiving(inqueue: Any, *_: object) -> Any:
    """Return `inqueue` as a worker is to see it: what it gets is a task, and the task's Context is current."""
    received = SimpleNamespace(get=map(_enter_task, iter(inqueue.get, object())).__next__)
    if hasattr(inqueue, "_writer"):
        received._writer = inqueue._writer  # noqa: SLF001 - the worker closes it
    return received


def _enter_task(task: Any) -> Any:
    if task is not None and len(task) == _TASK_LENGTH:
        _enter(getattr(task[4], _CARRIED, None))
    return task


@guarded
def _enter(carried: Context | dict[str, str] | None) -> None:
    """Make the carried Context current until the worker gets its next task."""
    if isinstance(carried, Context):
        attach(carried)
    else:
        attach(unpack(carried) if carried else Context())
