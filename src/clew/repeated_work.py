"""What upstream's HTTP instrumentations do several times for each request, done once.

Header capture, excluded URLs and the set of known methods are settings of the process; upstream looks them up for each
request, collects every header before it finds that none is to be captured, and builds the whole URL to compare it with
nothing. Its propagators look for their headers one by one where the request has none of them. What it records is the
same.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context

from clew.correlation.propagation import inbound_headers
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
    when_imported("opentelemetry.instrumentation.wsgi", _quicken_wsgi)
    when_imported("opentelemetry.instrumentation.utils", _skip_propagators)
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


def _skip_propagators(module: Any) -> None:
    """Ask the propagators for the trace of a request only if it has a header that they read.

    The name is the one by which upstream's helper of all WSGI and ASGI instrumentations calls them.
    """
    original = getattr(module, "extract", None)
    if not callable(original):
        return

    def extract(carrier: Any, context: Context | None = None, **options: Any) -> Context:
        if context is None and _brings_nothing(carrier, type(options.get("getter")).__module__):
            return Context()
        found: Context = original(carrier, context, **options)
        return found

    module.extract = extract


def _brings_nothing(carrier: Any, getter: str) -> bool:
    """Return whether a request surely has none of the headers that the propagators read."""
    names = inbound_headers()
    if names is None:
        return False
    if getter == "opentelemetry.instrumentation.wsgi":
        from clew.servers.wsgi_attributes import brings_ids  # noqa: PLC0415 - imports upstream's, which is there now

        return not brings_ids(carrier)
    if getter == "opentelemetry.instrumentation.asgi":
        present = {name.lower() for name, _ in carrier.get("headers") or ()}
        return present.isdisjoint(name.encode() for name in names)
    return False


def _quicken_wsgi(module: Any) -> None:
    """Collect what a WSGI request's span and metrics say in one pass, where the stable conventions are asked for."""
    from opentelemetry.instrumentation._semconv import _StabilityMode  # noqa: PLC0415 - with what uses it

    from clew.servers import wsgi_attributes  # noqa: PLC0415 - likewise

    stable = _StabilityMode.HTTP
    quick = {
        "collect_request_attributes": wsgi_attributes.request_attributes,
        "_parse_active_request_count_attrs": wsgi_attributes.active_attributes,
        "_parse_duration_attrs": wsgi_attributes.duration_attributes,
    }
    for name, function in quick.items():
        if callable(getattr(module, name, None)):
            setattr(module, name, _where_stable(function, getattr(module, name), stable))
    tell = getattr(module, "add_response_attributes", None)
    if callable(tell):
        module.add_response_attributes = _telling(wsgi_attributes.tell_response, tell, stable)


def _where_stable(quick: Callable[[Any], Any], original: Callable[..., Any], stable: Any) -> Callable[..., Any]:
    """Return `quick` for stable conventions, else upstream's."""

    @functools.wraps(original)
    def collect(holder: Any, *mode: Any, **named: Any) -> Any:
        chosen = mode[0] if mode else named.get("sem_conv_opt_in_mode")
        return quick(holder) if chosen is stable else original(holder, *mode, **named)

    return collect


def _telling(quick: Callable[..., bool], original: Callable[..., Any], stable: Any) -> Callable[..., Any]:
    """Return what tells of a response by `quick` if that does it, else by upstream's."""

    @functools.wraps(original)
    def add_response_attributes(
        span: Any,
        start_response_status: str,
        response_headers: Any,
        duration_attrs: Any = None,
        sem_conv_opt_in_mode: Any = None,
    ) -> None:
        attributes = {} if duration_attrs is None else duration_attrs
        if sem_conv_opt_in_mode is stable and quick(span, start_response_status, attributes):
            return
        mode = {} if sem_conv_opt_in_mode is None else {"sem_conv_opt_in_mode": sem_conv_opt_in_mode}
        original(span, start_response_status, response_headers, duration_attrs, **mode)

    return add_response_attributes


def _lighten_flask(module: Any) -> None:
    """Compare no URL where none is excluded, and tell of a request by functions that do each thing once."""
    excluded = getattr(module, "_excluded_urls_from_env", None)
    if getattr(excluded, "_excluded_urls", None) == []:
        module._excluded_urls_from_env = None  # noqa: SLF001 - what its functions take for "none"
    from clew.servers import flask  # noqa: PLC0415 - only where Flask is

    flask.install(module)
