"""What upstream's HTTP instrumentations read from the environment for each request, read once.

Header capture and the set of known methods are settings of the process; upstream looks them up several times a request,
and collects every header before it finds that none is to be captured.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from clew.importing import when_imported

if TYPE_CHECKING:
    from collections.abc import Mapping

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
