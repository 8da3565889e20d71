"""What upstream's HTTP instrumentations do several times for each request, done once.

Header capture, excluded URLs and the set of known methods are settings of the process; upstream looks them up for each
request, collects every header before it finds that none is to be captured, and builds the whole URL to compare it with
nothing. Flask's collects the same attributes twice. What it records is the same.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Final

from clew.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CAPTURES: Final = {
    "collect_custom_request_headers_attributes": "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST",
    "collect_custom_response_headers_attributes": "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE",
}
"""Functions of upstream's WSGI instrumentation, and the variable without which each returns nothing."""

_METHODS: Final = 64
"""How many spellings of a method are remembered; a client can send any."""


def install(environ: Mapping[str, str]) -> None:
    """Apply when the instrumentations are imported, under the settings that `environ` holds now."""
    when_imported("opentelemetry.util.http", _remember_methods)
    unused = [function for function, variable in _CAPTURES.items() if not environ.get(variable)]
    when_imported("opentelemetry.instrumentation.wsgi", lambda module: _leave_out(module, unused))
    when_imported("opentelemetry.instrumentation.flask", _lighten_flask)


def _remember_methods(module: Any) -> None:
    """Let a method that was seen be known without another look at the environment."""
    if callable(getattr(module, "sanitize_method", None)):
        module.sanitize_method = functools.lru_cache(maxsize=_METHODS)(module.sanitize_method)


def _leave_out(module: Any, functions: list[str]) -> None:
    """Capture no headers where none are asked for."""
    for function in functions:
        if callable(getattr(module, function, None)):
            setattr(module, function, _nothing)


def _nothing(_: object) -> dict[str, Any]:
    return {}


def _lighten_flask(module: Any) -> None:
    """Compare no URL where none is excluded, and collect a request's attributes once."""
    excluded = getattr(module, "_excluded_urls_from_env", None)
    if getattr(excluded, "_excluded_urls", None) == []:
        module._excluded_urls_from_env = None  # noqa: SLF001 - what its functions take for "none"
    started = getattr(module, "_ENVIRON_STARTTIME_KEY", None)
    if isinstance(started, str) and callable(getattr(module.otel_wsgi, "collect_request_attributes", None)):
        module.otel_wsgi = _WsgiOfFlask(module.otel_wsgi, started)


class _WsgiOfFlask:
    """Upstream's WSGI module as its Flask instrumentation sees it, with a memory of one request for each thread.

    A request is told by its environment's identity and the time that upstream wrote into it; none of it lives longer.
    """

    def __init__(self, module: Any, started: str) -> None:
        self.__dict__.update(vars(module))
        self._collect: Callable[..., dict[str, Any]] = module.collect_request_attributes
        self._started = started
        self._last = threading.local()

    def collect_request_attributes(self, environ: dict[str, Any], sem_conv_opt_in_mode: Any) -> dict[str, Any]:
        """Return the attributes of a request; the second time, a copy of those collected before."""
        request = (id(environ), environ.get(self._started), sem_conv_opt_in_mode)
        last: tuple[Any, dict[str, Any]] | None = getattr(self._last, "request", None)
        self._last.request = None
        if last is not None and last[0] == request:
            return last[1]
        found = self._collect(environ, sem_conv_opt_in_mode)
        self._last.request = (request, found.copy())
        return found
