"""The span of a command line is the parent of what the command does, not of the requests that it serves for days.

Upstream's click instrumentation gives each command a span and leaves out two commands that serve. Any other one that
does (`fastapi run`, `datasette serve`, `mlflow server`) would have every request in one trace that never ends, with the
IDs that came in ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, get_current
from opentelemetry.instrumentation import utils

from clew.correlation.context import SPAN_KEY
from clew.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable

_SCOPE: Final = "opentelemetry.instrumentation.click"
_SERVERS: Final = frozenset({"celery", "granian", "hypercorn", "uvicorn"})
"""Commands that do nothing but serve, or send out other's work: a span over all of it would say nothing."""

_utils: Final[Any] = utils
"""The module that the servers' instrumentations take the start of a request from; it has no types."""


def without_command(context: Context) -> Context:
    """Return `context`, without its span if that is a command's."""
    scope = getattr(context.get(SPAN_KEY), "instrumentation_scope", None)
    if scope is None or scope.name != _SCOPE:
        return context
    return Context({key: value for key, value in context.items() if key != SPAN_KEY})


def install() -> None:
    """Let requests begin outside the command that serves them. Idempotent."""
    if not _State.installed:
        _State.installed = True
        original = _utils._start_internal_or_server_span  # noqa: SLF001 - no public place knows that a request begins
        _utils._start_internal_or_server_span = _starting(original)  # noqa: SLF001 - likewise
        when_imported(_SCOPE, _skip_servers)


class _State:
    """Whether the hooks are set; they stay, and change nothing where no command has a span."""

    installed = False


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return upstream's function, which makes a server span only where no span is current."""

    def start(*args: Any, **kwargs: Any) -> Any:
        here = get_current()
        outside = without_command(here)
        if outside is here:
            return original(*args, **kwargs)
        token = attach(outside)
        span, _ = original(*args, **kwargs)
        return span, token

    return start


def _skip_servers(module: Any) -> None:
    """Add to the commands that get no span."""
    original = module._skip_servers  # noqa: SLF001 - upstream's list is inside it

    def skip(ctx: Any) -> bool:
        name = str(ctx.find_root().info_name).removeprefix("python -m ")
        return name in _SERVERS or bool(original(ctx))

    module._skip_servers = skip  # noqa: SLF001 - likewise
