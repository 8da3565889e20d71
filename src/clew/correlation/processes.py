"""What carries the current IDs to another process: multiprocessing, process pools, the environment of a subprocess.

A child by fork has the parent's Context anyway. Others get text: what the global propagator writes, in an attribute
of the `Process` or of the pool's call, or in the child's environment under the names of OpenTelemetry's
specification of environment variables as carriers (`TRACEPARENT`, `TRACESTATE`, `BAGGAGE`). A child without Clew
ignores it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from opentelemetry import propagate
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import get_current_span

from clew import diagnostics, signal_mask
from clew.correlation.context import adopt, correlation_id_in, mark, process_context
from clew.correlation.origin import correlation_headers, resolved_settings
from clew.correlation.patches import Patches, guarded
from clew.correlation.propagation import ClewPropagator
from clew.importing import when_imported
from clew.settings import process_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.process import BaseProcess

    from clew.settings import Settings

_CARRIED: Final = "_clew_carrier"
_patches: Final = Patches()
_started_here: Final[WeakSet[BaseProcess]] = WeakSet()
"""Processes started by this one: in a child by fork its own is among them, and the Context is there already."""


class _State:
    """Whether the hooks are wanted; they are set when a program imports what they hook."""

    installed = False


class Arguments(dict[str, Any]):
    """The keyword arguments of a pool's call on their way to the manager thread, with the caller's carrier."""

    carrier: dict[str, str]


def variable_name(key: str) -> str:
    """Return the environment variable of a header: upper case, and `_` for all but letters and digits."""
    return re.sub(r"[^A-Z0-9_]", "_", key.upper())


def install(settings: Settings) -> None:
    """Carry the IDs into child processes, and adopt those that this process was started with. Idempotent."""
    if _State.installed:
        return
    _State.installed = True
    when_imported("multiprocessing.process", _weave_process)
    when_imported("concurrent.futures.process", _weave_pool)
    when_imported("subprocess", _weave_subprocess)
    adopt_environment(process_environment(), settings)


def uninstall() -> None:
    """Take all of it back."""
    _State.installed = False
    _patches.remove()
    adopt(None)


def _weave_process(module: Any) -> None:
    if _State.installed:
        _patches.weave(module.BaseProcess, "start", before=_pack_process)
        _patches.weave(module.BaseProcess, "_bootstrap", before=_unpack_process)


def _weave_pool(module: Any) -> None:
    if _State.installed:
        _patches.weave(module._WorkItem, "__init__", after=_pack_item)  # noqa: SLF001 - where a call waits
        _patches.weave(module._CallItem, "__init__", after=_pack_call)  # noqa: SLF001 - what is sent to the worker
        _patches.replace(module._CallItem, "__setstate__", _unpack_call)  # noqa: SLF001 - where the worker gets it


def _weave_subprocess(module: Any) -> None:
    if _State.installed:
        _patches.weave(module.Popen, "_execute_child", rebind=_before_spawn, after=_after_spawn, rebound="env")


def adopt_environment(environ: Mapping[str, str], settings: Settings) -> None:
    """Make what a parent put into `environ` the Context that this process was started in.

    Only if a trace or a correlation ID is among it: `BAGGAGE` alone may be anybody's variable.
    """
    names = {variable_name(key) for key in ("traceparent", *correlation_headers(settings)[:1])}
    if names & environ.keys():
        _guarded_adopt({key: environ[variable_name(key)] for key in _fields() if variable_name(key) in environ})


@guarded
def _guarded_adopt(carrier: dict[str, str]) -> None:
    adopt(unpack(carrier))


def _fields() -> set[str]:
    return set(propagate.get_global_textmap().fields)


def pack(here: Context | None = None) -> dict[str, str]:
    """Return `here` as text, by default the Context that work is done in, or the process's own if there is none."""
    here = get_current() if here is None else here
    carrier: dict[str, str] = {}
    propagate.inject(carrier, here if correlation_id_in(here) else process_context() or here)
    return carrier


def unpack(carrier: dict[str, str]) -> Context:
    """Return the Context that a parent process packed. It is trusted: who starts a process controls it anyway."""
    context = propagate.extract(carrier, Context())
    settings = resolved_settings()
    if settings.correlation_trust != "all":
        context = ClewPropagator(dataclasses.replace(settings, correlation_trust="all")).extract(carrier, context)
    found = correlation_id_in(context)
    if found is not None:
        mark(get_current_span(context), found)
    return context


@guarded
def _pack_process(process: BaseProcess) -> None:
    """Give a process that starts the carrier of the one who starts it; it is pickled with the process, if at all."""
    carrier = pack()
    if carrier:
        _started_here.add(process)
        setattr(process, _CARRIED, carrier)


@guarded
def _unpack_process(process: BaseProcess, *_: object) -> None:
    carrier = vars(process).pop(_CARRIED, None)
    if carrier and process not in _started_here:
        adopt(unpack(carrier))


@guarded
def _pack_item(item: Any, *_: object) -> None:
    """Let the call's keyword arguments take the carrier to the manager thread, which makes the item that is sent."""
    arguments = Arguments(item.kwargs)
    arguments.carrier = pack()
    item.kwargs = arguments


@guarded
def _pack_call(call: Any, *_: object) -> None:
    if isinstance(call.kwargs, Arguments):
        setattr(call, _CARRIED, call.kwargs.carrier)
        call.kwargs = dict(call.kwargs)


def _unpack_call(call: object, state: dict[str, Any]) -> None:
    """Make the Context of a call current in the worker until the next one arrives; an empty one where it has none."""
    carrier = state.pop(_CARRIED, None)
    vars(call).update(state)
    _enter_call(carrier)


@guarded
def _enter_call(carrier: dict[str, str] | None) -> None:
    attach(unpack(carrier) if carrier else Context())


def _before_spawn(*arguments: Any) -> Any:
    signal_mask.before_spawn()
    return _child_environment(*arguments)


def _after_spawn(*_: Any) -> None:
    signal_mask.after_spawn()


def _child_environment(*arguments: Any) -> Any:
    """Return the environment for a subprocess: the one that was asked for, and the current IDs if there are any."""
    preexec_fn, env = arguments[3], arguments[7]
    if preexec_fn is not None and env is None:
        # What it sets by `os.putenv` reaches the child only if no environment is given.
        return None
    try:
        return _with_ids(env, process_environment())
    except Exception as error:  # noqa: BLE001 - promise: the subprocess starts as it would without us
        diagnostics.report("carrier-environment", f"a subprocess starts without correlation ID: {type(error).__name__}")
        return env


def _with_ids(env: Mapping[Any, Any] | None, own: Mapping[str, str]) -> Mapping[Any, Any] | None:
    """Add the current IDs to `env`, unless it was made by hand or says itself which trace the child belongs to."""
    here = get_current()
    if correlation_id_in(here) is None:
        return env
    carrier: dict[str, str] = {}
    propagate.inject(carrier, here)
    names = {variable_name(key) for key in _fields()}
    if env is not None and (_is_made_by_hand(env, own) or any(env.get(name) != own.get(name) for name in names)):
        return env
    inherited = own if env is None else env
    added = {variable_name(key): value for key, value in carrier.items()}
    return {**{name: value for name, value in inherited.items() if name not in names}, **added}


def _is_made_by_hand(env: Mapping[Any, Any], own: Mapping[str, str]) -> bool:
    """Return whether `env` is no copy of this process's environment: it lacks more than half of the names."""
    return 2 * sum(name in env for name in own) < len(own)
