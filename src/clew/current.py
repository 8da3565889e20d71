"""The current OpenTelemetry context, read and set without upstream's functions around its variable."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from collections.abc import Callable

_variable: Final[Any] = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
"""Upstream's own variable, where the runtime context in force still has one; else its functions are taken."""

_is_known: Final = isinstance(_variable, ContextVar)

current_context: Final[Callable[[], Any]] = _variable.get if _is_known else otel_context.get_current
"""Return the current context."""

make_current: Final[Callable[[Any], Any]] = _variable.set if _is_known else otel_context.attach
"""Make a context the current one, and return the token to `detach` it by."""
