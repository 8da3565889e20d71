"""What a server span says of an ASGI request, by the stable HTTP semantic conventions: pure functions of the scope.

Attribute for attribute what upstream's ASGI instrumentation says, save where that would fail the request: an address
without a port, a query that is no UTF-8, a header that cannot be unescaped. A test compares the two.

See https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and .../http/http-metrics/.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.util.http import detect_synthetic_user_agent, sanitize_method

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Headers = Mapping[bytes, bytes]
    Attributes = dict[str, Any]

_HTTP_PORT: Final = 80
_REMEMBERED: Final = 256
_DURATION: Final = (
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.protocol.version",
    "url.scheme",
)
"""The attributes of `http.server.request.duration` and of the sizes, of those that the span has."""

_synthetic_type = lru_cache(_REMEMBERED)(detect_synthetic_user_agent)
_sanitized_method = lru_cache(64)(sanitize_method)


def headers_of(scope: Scope) -> Headers:
    """Return the request's headers by name in lower case, of a repeated one the first."""
    headers = scope.get("headers") or ()
    if not isinstance(headers, (list, tuple)):
        headers = scope["headers"] = list(headers)
    return {name.lower(): value for name, value in reversed(headers)}


def text_of(value: bytes) -> str:
    """Return a header's value as text; what is no UTF-8 is Latin-1, as HTTP has it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def url_of(scope: Scope, headers: Headers) -> str:
    """Return the URL that is compared with those that the user has excluded."""
    host, port = _server_of(scope)
    named = headers.get(b"host")
    address = text_of(named) if named is not None else host if port == _HTTP_PORT else f"{host}:{port}"
    return f"{scope.get('scheme', 'http')}://{address}{scope.get('path', '')}"


def _server_of(scope: Scope) -> tuple[str, int | None]:
    host, port = scope.get("server") or ("0.0.0.0", _HTTP_PORT)  # noqa: S104 - what upstream reports where nothing is told
    return host, port


def request_attributes(scope: Scope, headers: Headers) -> Attributes:
    """Return the attributes that a request's span starts with, without the route."""
    host, port = _server_of(scope)
    method = scope.get("method") or ""
    known = _sanitized_method(method).strip() if method else ""
    given = {
        "url.scheme": scope.get("scheme"),
        "server.address": host if port is None or port == _HTTP_PORT else f"{host}:{port}",
        "server.port": port,
        "network.protocol.version": scope.get("http_version"),
        "url.path": scope.get("path"),
        "url.query": _query(scope) if scope.get("path") else None,
        "http.request.method_original": method.strip() if method and method.strip() != known else None,
        "http.request.method": known,
    }
    attributes = {key: value for key, value in given.items() if value}
    agent = headers.get(b"user-agent")
    if agent:
        _add_agent(attributes, text_of(agent))
    client = scope.get("client")
    if client is not None:
        _add_client(attributes, client)
    return attributes


def _query(scope: Scope) -> str | None:
    query = scope.get("query_string")
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace") if query else None
    return query or None


def _add_agent(attributes: Attributes, agent: str) -> None:
    attributes["user_agent.original"] = agent
    synthetic = _synthetic_type(agent)
    if synthetic:
        attributes["user_agent.synthetic.type"] = synthetic


def _add_client(attributes: Attributes, client: Any) -> None:
    address, port = client[0], client[1]
    if address:
        attributes["client.address"] = address
    if port:
        attributes["client.port"] = port


def active_attributes(attributes: Attributes) -> Attributes:
    """Return the attributes of `http.server.active_requests`."""
    return {key: attributes[key] for key in ("http.request.method", "url.scheme") if key in attributes}


def duration_attributes(attributes: Attributes) -> Attributes:
    """Return the attributes of the duration and the sizes of a request that has been answered."""
    return {key: attributes[key] for key in _DURATION if key in attributes}
