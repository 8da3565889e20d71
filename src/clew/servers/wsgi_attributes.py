"""What a server span and its metrics say of a WSGI request, by the stable HTTP semantic conventions.

Attribute for attribute what upstream's WSGI instrumentation says, and with it Flask's and Django's, in one pass. A test
compares the two. A status line without a reason, at which upstream fails the request, is read all the same.

See https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.instrumentation.wsgi import wsgi_getter
from opentelemetry.propagate import extract
from opentelemetry.util.http import detect_synthetic_user_agent, normalize_user_agent, sanitize_method

from clew.correlation.propagation import inbound_headers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from opentelemetry.trace import Span

_getter: Final[Any] = wsgi_getter
_UNFAILED: Final = range(100, 500)
"""Statuses that say of no failure of the server's."""

_ACTIVE: Final = ("http.request.method", "url.scheme")
_DURATION: Final = (
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.protocol.version",
    "url.scheme",
)

_synthetic_type = lru_cache(256)(detect_synthetic_user_agent)
_sanitized_method = lru_cache(64)(sanitize_method)


def request_attributes(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that a request's span starts with, without the route."""
    read = environ.get
    method = read("REQUEST_METHOD", "")
    known = _sanitized_method(method).strip()
    told = read("RAW_URI")
    target = read("REQUEST_URI") if told is None else told
    address, name = read("REMOTE_ADDR"), read("REMOTE_HOST")
    given = {
        "http.request.method_original": method.strip() if method.strip() != known else None,
        "http.request.method": known,
        "url.scheme": read("wsgi.url_scheme"),
        "server.address": read("HTTP_HOST"),
        "server.port": int(read("SERVER_PORT") or 0),
        "url.path": read("PATH_INFO") if target else None,
        "url.query": read("QUERY_STRING") if target else None,
        "client.address": name if name and name != address else address,
        "user_agent.original": normalize_user_agent(read("HTTP_USER_AGENT")),
        "network.protocol.version": _version(read("SERVER_PROTOCOL", "")),
    }
    attributes = {key: value for key, value in given.items() if value}
    port = _number(read("REMOTE_PORT"))
    if port is not None:
        attributes["client.port"] = port
    synthetic = _synthetic_type(attributes.get("user_agent.original"))
    if synthetic:
        attributes["user_agent.synthetic.type"] = synthetic
    return attributes


def _number(text: Any) -> int | None:
    try:
        return int(text) if text else None
    except (TypeError, ValueError):
        return None


@lru_cache(256)
def _code_of(status: str) -> int | None:
    return _number(status.partition(" ")[0])


@lru_cache(64)
def _version(protocol: str) -> str:
    return protocol[5:] if protocol[:5].upper() == "HTTP/" else protocol


def tell_response(span: Span, status: str, attributes: dict[str, Any]) -> bool:
    """Put the status of a response on its span and into `attributes`; False where it is not an ordinary one."""
    code = _code_of(status)
    if code is None or code not in _UNFAILED:
        return False
    attributes["http.response.status_code"] = code
    if span.is_recording():
        span.set_attribute("http.response.status_code", code)
    return True


def active_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of `http.server.active_requests`."""
    return {key: attributes[key] for key in _ACTIVE if key in attributes}


def duration_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of `http.server.request.duration`."""
    return {key: attributes[key] for key in _DURATION if key in attributes}


def context_of(environ: Mapping[str, Any]) -> Context:
    """Return the Context that a request brings along; one without any of the headers that are read is not searched."""
    return extract(environ, getter=_getter) if brings_ids(environ) else Context()


def brings_ids(environ: Mapping[str, Any]) -> bool:
    """Return whether a request may have a header that the propagators read."""
    names = inbound_headers()
    return names is None or not _environ_keys(names).isdisjoint(environ)


@lru_cache(maxsize=8)
def _environ_keys(names: Collection[str]) -> frozenset[str]:
    return frozenset("HTTP_" + name.upper().replace("-", "_") for name in names)
