"""Call back when the program imports a module, without a trace in what the program sees.

An instrumentation that is loaded when its library is, and not before, costs nothing in a program that does not use
the library. The module, its spec and its loader stay as they are; a traceback out of the module shows no frame of
ours, since the interpreter drops a run of frames of the import system, and ours says that it belongs there.
"""

from __future__ import annotations

import sys
import threading
from importlib import _bootstrap_external  # for the file name of its code only
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from clew import diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Callback = Callable[[ModuleType], object]

_IMPORT_SYSTEM = _bootstrap_external.spec_from_file_location.__code__.co_filename


class _Watch(MetaPathFinder):
    """Find the watched modules as everybody else does, and see to it that their callbacks run."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callback]] = {}
        self._finding = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the real spec of a watched module, its loader told to call back once; None for all others."""
        del path, target
        if fullname not in self.callbacks or getattr(self._finding, "active", False):
            return None
        self._finding.active = True
        try:
            spec = find_spec(fullname)
        finally:
            self._finding.active = False
        if spec is not None and spec.loader is not None and not isinstance(spec.loader, type):
            _call_after(spec.loader, lambda module: self.notify(fullname, module))
        return spec

    def notify(self, name: str, module: ModuleType) -> None:
        """Run the callbacks of `name` once each; what one raises is reported and goes no further."""
        for callback in self.callbacks.pop(name, ()):
            _guarded(name, callback, module)


def _guarded(name: str, callback: Callback, module: ModuleType) -> None:
    try:
        callback(module)
    except Exception as error:  # noqa: BLE001 - nothing of ours may reach the program's import statement
        diagnostics.report(f"import-{name}", f"could not hook into {name}: {type(error).__name__}: {error}")


def _call_after(loader: Loader, notify: Callback) -> None:
    """Let this loader, once, call `notify` after it has run its module."""
    original = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        loader.__dict__.pop("exec_module", None)
        original(module)
        notify(module)

    exec_module.__code__ = exec_module.__code__.replace(co_filename=_IMPORT_SYSTEM)
    try:
        loader.exec_module = exec_module  # type: ignore[method-assign]  # on the instance, removed when it runs
    except AttributeError:
        diagnostics.report("import-loader", f"could not watch a module loaded by {type(loader).__name__}")


_watch = _Watch()


def when_imported(name: str, callback: Callable[[Any], object]) -> None:
    """Call `callback` with the module `name` once it is imported, or now if it is.

    The callback runs on the importing thread before the import statement returns. It may import; what it raises is
    reported.
    """
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        _guarded(name, callback, module)
        return
    _watch.callbacks.setdefault(name, []).append(callback)
    if _watch not in sys.meta_path:
        sys.meta_path.insert(0, _watch)
