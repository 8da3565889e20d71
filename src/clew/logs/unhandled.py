"""Exceptions that nothing handled, of the process, a thread, an asyncio task or a finalizer, as log records.

What the program prints, its exit status and its hooks stay as they are. Where the program's own hook logs the
exception, that record is told to be the one, and no second is made.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from clew import diagnostics, schema
from clew.correlation.context import current_ids
from clew.entry import LogEntry
from clew.importing import when_imported
from clew.logs.record import describe_exception, exception_of
from clew.weaving import weave

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from clew.correlation.origin import CurrentIds
    from clew.entry import Attributes

PROCESS: Final = "process"
THREAD: Final = "thread"
TASK: Final = "task"
UNRAISABLE: Final = "unraisable"

SCOPE: Final = "clew.unhandled"
_FATAL: Final = (21, "CRITICAL")
_ERROR: Final = (17, "ERROR")


class _Ending:
    """An exception on its way to a hook of the interpreter's: where from, and whether the program's hook logged it."""

    __slots__ = ("error", "ids", "noted", "place")

    def __init__(self, error: BaseException, place: str, ids: CurrentIds) -> None:
        self.error = error
        self.place = place
        self.ids = ids
        self.noted = False


_ending: ContextVar[_Ending | None] = ContextVar("clew_ending", default=None)


class _State:
    """The sink, and what was replaced."""

    sink: Callable[[LogEntry], None] | None = None
    make_invoke_excepthook: Any = None
    noted_of_process: object = None


def install(sink: Callable[[LogEntry], None]) -> None:
    """Hand a record of each exception that nothing handled to `sink`. A second call replaces the sink only.

    The one that ends the process is handed over at exit, so `sink` must still take it then: install after what
    registers delivery's own exit.
    """
    first = _State.sink is None
    _State.sink = sink
    if not first:
        return
    atexit.register(_at_exit)
    _watch_threads()
    _watch_unraisable()
    when_imported("asyncio.base_events", _watch_loops)


def note(record: logging.LogRecord) -> Attributes | None:
    """Return what says where the exception of `record` ended, None if it was handled: by the one who logs it."""
    error = exception_of(record.exc_info)
    place = _place_of(error, record.name) if error is not None else None
    return {schema.EXCEPTION_UNHANDLED: place} if place else None


def _place_of(error: BaseException, logger: str) -> str | None:
    ending = _ending.get()
    if ending is not None and ending.error is error:
        ending.noted = True
        return ending.place
    if error is _last_exception() and _ended_process(error):
        _State.noted_of_process = error
        return PROCESS
    return TASK if logger == "asyncio" else None


def ids_of(error: BaseException | None) -> CurrentIds | None:
    """Return the IDs of the task in which `error` ended, while the program's hook runs."""
    ending = _ending.get()
    return ending.ids if ending is not None and error is not None and ending.error is error else None


def _emit(ending: _Ending, body: str, severity: tuple[int, str] = _ERROR) -> None:
    """Make a record of the exception unless the program has."""
    if ending.noted or _State.sink is None or isinstance(ending.error, (SystemExit, KeyboardInterrupt)):
        return
    try:
        _State.sink(_entry(ending, body, severity))
    except Exception as error:  # noqa: BLE001 - the exception that is told of is the program's, and printed already
        diagnostics.report("log-unhandled", f"an unhandled exception was not recorded: {type(error).__name__}")


def _entry(ending: _Ending, body: str, severity: tuple[int, str]) -> LogEntry:
    thread = threading.current_thread()
    return LogEntry(
        time_ns=time.time_ns(),
        severity_number=severity[0],
        severity_text=severity[1],
        scope=SCOPE,
        body=body,
        event_name=None,
        trace_id=ending.ids.trace_id,
        span_id=ending.ids.span_id,
        trace_flags=ending.ids.trace_flags,
        correlation_id=ending.ids.correlation_id,
        attributes={schema.EXCEPTION_UNHANDLED: ending.place},
        code=None,
        thread=(thread.ident or 0, thread.name),
        exception=describe_exception(ending.error),
        uid=None,
    )


def _last_exception() -> object:
    """Return the exception that the interpreter printed last, which it sets before it calls `sys.excepthook`."""
    # The module's dict, since asking a module for what it lacks costs a microsecond and each logged exception asks.
    return vars(sys).get("last_exc") or vars(sys).get("last_value")


def _ended_process(error: object) -> bool:
    """Return whether `error` left the main module; a debugger, a test runner or a prompt sets the same variables."""
    stack = getattr(error, "__traceback__", None)
    if stack is None or hasattr(sys, "ps1"):
        return isinstance(error, SyntaxError) and not hasattr(sys, "ps1")
    outermost = stack.tb_frame
    return outermost.f_globals.get("__name__") in {"__main__", "runpy"} and outermost.f_code.co_name in {
        "<module>",
        "_run_module_as_main",
    }


def _at_exit() -> None:
    """Record the exception that ended the process; `sys.excepthook` itself stays the program's."""
    error = _last_exception()
    if not isinstance(error, BaseException) or error is _State.noted_of_process or not _ended_process(error):
        return
    _emit(_Ending(error, PROCESS, current_ids()), "Unhandled exception ended the process", _FATAL)


def _watch_threads() -> None:
    """Be there when a thread calls `threading.excepthook`, which stays what it is."""
    original = getattr(threading, "_make_invoke_excepthook", None)
    if original is None:
        diagnostics.report("log-unhandled-thread", "exceptions that end a thread are not recorded on this Python")
        return
    _State.make_invoke_excepthook = original

    def make_invoke_excepthook() -> Callable[[threading.Thread], None]:
        invoke = original()

        def invoke_excepthook(thread: threading.Thread) -> None:
            error = sys.exc_info()[1]
            if error is None:
                invoke(thread)
                return
            ending = _Ending(error, THREAD, current_ids())
            token = _ending.set(ending)
            try:
                invoke(thread)
            finally:
                _ending.reset(token)
                _emit(ending, f"Unhandled exception ended thread {thread.name}")

        return invoke_excepthook

    threading._make_invoke_excepthook = make_invoke_excepthook  # type: ignore[attr-defined]  # noqa: SLF001 - each thread asks it for its hook when it is made


class _UnraisableHook:
    """Stands in for the interpreter's own `sys.unraisablehook`, and looks like it to who prints or compares it."""

    __name__ = __qualname__ = "unraisablehook"
    __module__ = "sys"

    def __init__(self, original: Callable[[Any], object]) -> None:
        self._original = original
        self.__doc__ = original.__doc__

    def __call__(self, unraisable: Any, /) -> None:
        ending = _Ending(unraisable.exc_value, UNRAISABLE, current_ids())
        token = _ending.set(ending)
        try:
            self._original(unraisable)
        finally:
            _ending.reset(token)
            if ending.error is not None:
                _emit(ending, f"{unraisable.err_msg or 'Exception ignored in'} {_name(unraisable.object)}".rstrip())

    def __repr__(self) -> str:
        return repr(self._original)


def _name(thing: object) -> str:
    """Return what `thing` is called, without running code of its own as its `repr` might."""
    named = thing if isinstance(thing, type) or hasattr(type(thing), "__code__") else type(thing)
    return str(getattr(named, "__qualname__", "")) if thing is not None else ""


def _watch_unraisable() -> None:
    """Take the place of the interpreter's hook, unless the program has put its own there."""
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = sys.__unraisablehook__ = _UnraisableHook(
            sys.unraisablehook
        )  # so that a comparison still holds


def _watch_loops(module: Any) -> None:
    """Be there when an event loop calls its exception handler, the default one or the program's."""
    woven = weave(module.BaseEventLoop.call_exception_handler, gate=_loop_begins, after=_loop_ends)
    if woven is not None:
        module.BaseEventLoop.call_exception_handler = woven


def _loop_begins(_: object, context: Any) -> object:
    try:
        error = context.get("exception")
        if error is None:
            return False
        ending = _Ending(error, TASK, _task_ids(context.get("task") or context.get("future")))
        return ending, _ending.set(ending)
    except Exception:  # noqa: BLE001 - the loop's own handler runs whatever it was given
        return False


def _task_ids(task: Any) -> CurrentIds:
    """Return the IDs of the task's own context, which a task tells from Python 3.12 on."""
    get_context = getattr(task, "get_context", None)
    context = get_context() if callable(get_context) else None
    return context.run(current_ids) if context is not None else current_ids()


def _loop_ends(_: object, context: Any, begun: Any) -> None:
    if begun:
        ending, token = begun
        _ending.reset(token)
        _emit(ending, str(context.get("message") or "Unhandled exception in event loop"))
