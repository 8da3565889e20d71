"""Upstream's OTLP exporters, read for what they know of their endpoint: the one module that knows their private fields.

They resolve every `OTEL_EXPORTER_OTLP_*` variable, certificates and credentials. Where a release has moved what is read
here, `make_transport` returns None and the caller lets the exporter send for itself.
"""

from __future__ import annotations

import copy
import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from clew import diagnostics
from clew.delivery.grpc_transport import GrpcTransport
from clew.delivery.plain_exchange import PlainExchange
from clew.delivery.transport import (
    COMPRESSIONS,
    CONTENT_TYPES,
    Encoding,
    Exchange,
    HttpTransport,
    Transport,
    abandoned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTTP_MODULE = "opentelemetry.exporter.otlp.proto.http"
_GRPC_MODULE = "opentelemetry.exporter.otlp.proto.grpc"
_REQUESTS_MODULE = "opentelemetry.exporter.http.transport._requests"
_URLLIB3_MODULE = "opentelemetry.exporter.http.transport._urllib3"
_PLAIN_URL: Final = re.compile(r"[!-~]+")
_METADATA_NAME: Final = re.compile(r"[0-9a-z_.-]+")
_METADATA_TEXT: Final = re.compile(r"[ -~]*")


def is_otlp(exporter: object) -> bool:
    """Return whether `exporter` is one of upstream's OTLP exporters."""
    return type(exporter).__module__.startswith((_HTTP_MODULE, _GRPC_MODULE))


def make_transport(exporter: object, signal: str, *, encoding: Encoding = "protobuf") -> Transport | None:
    """Make a transport to the endpoint of `exporter`, or return None, told, if this release hides it.

    Args:
        exporter: One for which `is_otlp` holds; it must not be used any more.
        signal: One of `schema.SIGNALS`.
        encoding: Of the bodies over HTTP.
    """
    try:
        if type(exporter).__module__.startswith(_GRPC_MODULE):
            return _grpc(exporter, signal)
        return _http(exporter, signal, encoding)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        diagnostics.report(
            f"exporter-{signal}",
            f"{signal} go through upstream's exporter, without a spool: {type(exporter).__module__} is of a release "
            f"that Clew does not know ({error})",
        )
        return None


def _http(exporter: Any, signal: str, encoding: Encoding) -> Transport:
    """Make the transport of an HTTP exporter, as releases up to 1.44 and from 1.45 have it."""
    compression = exporter._compression.value  # noqa: SLF001 - see the docstring
    if compression not in COMPRESSIONS:
        raise ValueError(f"compression {compression!r}")
    client = getattr(exporter, "_client", None)
    if client is None:
        url, timeout_s = exporter._endpoint, exporter._timeout  # noqa: SLF001
        exchange = _session_exchange(exporter, url, encoding)
    else:
        url, timeout_s = client._endpoint, client._timeout  # noqa: SLF001
        exchange = _client_exchange(client, url, encoding)
    return HttpTransport(
        signal,
        exchange,
        endpoint=_shown(url),
        encoding=encoding,
        compression=compression,
        timeout_s=float(timeout_s),
    )


def _session_exchange(exporter: Any, url: str, encoding: Encoding) -> Exchange:
    """Make what posts for an exporter that has a session of requests."""
    session = exporter._session  # noqa: SLF001
    if _is_plain(url, session, None):
        return PlainExchange(url, lambda: _typed(session.headers, encoding))
    verify, cert = exporter._certificate_file, exporter._client_cert  # noqa: SLF001
    return _SessionExchange(session, url, _typed({}, encoding), verify, cert)


def _client_exchange(client: Any, url: str, encoding: Encoding) -> Exchange:
    """Make what posts for an exporter that has a client with a transport."""
    transport, headers = client._transport, client._headers  # noqa: SLF001
    session = getattr(transport, "_session", None)
    if _is_plain(url, session, transport):
        return PlainExchange(url, lambda: _typed(_with_those_of(session, headers), encoding))
    if session is not None and type(transport).__module__ == _REQUESTS_MODULE:
        # Upstream leaves the certificate to the session, where REQUESTS_CA_BUNDLE would go before it.
        return _SessionExchange(session, url, _typed(headers, encoding), session.verify, session.cert)
    return _UpstreamExchange(transport, url, _typed(headers, encoding))


def _with_those_of(session: Any, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers of a request with those that a session adds now: a credential provider's may renew a token."""
    added: Mapping[str, str] = dict(getattr(session, "headers", None) or {})
    given = {name.lower() for name in headers}
    return {**{name: text for name, text in added.items() if name.lower() not in given}, **headers}


def _typed(headers: Mapping[str, str], encoding: Encoding) -> dict[str, str]:
    """Return the headers of a request in `encoding`, whose answer comes uncompressed on a connection that stays."""
    changed = {"content-type", "accept-encoding", "connection"}
    kept = {name: text for name, text in headers.items() if name.lower() not in changed}
    return {**kept, "Content-Type": CONTENT_TYPES[encoding], "Accept-Encoding": "identity"}


def _is_plain(url: str, session: Any, transport: object) -> bool:
    """Return whether a bare connection does what upstream would: no TLS, no proxy, no credentials, nothing to quote."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.username is not None or not _PLAIN_URL.fullmatch(url):
        return False
    if session is None:
        return type(transport).__module__ == _URLLIB3_MODULE
    return _is_plain_session(url, session)


def _is_plain_session(url: str, session: Any) -> bool:
    """Return whether a session of requests is as requests makes it, and finds neither proxy nor password for `url`."""
    import requests  # noqa: PLC0415 - whoever made the session has imported it
    from requests import utils  # noqa: PLC0415

    if type(session) is not requests.Session:
        return False
    if session.auth or session.proxies or session.params or any(session.hooks.values()) or len(session.cookies):
        return False
    if any(type(adapter) is not requests.adapters.HTTPAdapter for adapter in session.adapters.values()):
        return False
    return not session.trust_env or not (utils.get_environ_proxies(url) or utils.get_netrc_auth(url))


def _shown(url: str) -> str:
    """Return the endpoint as it may be shown: without credentials or a query."""
    parts = urlsplit(url)
    path = parts.path if parts.netloc else parts.path.rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))


class _SessionExchange:
    """A session of requests, with what upstream's exporters have it verify and show."""

    def __init__(self, session: Any, url: str, headers: Mapping[str, str], verify: Any, cert: Any) -> None:
        self._session, self._url, self._headers, self._verify, self._cert = session, url, headers, verify, cert

    def post(self, body: bytes, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
        """Post; a kept connection that turns out to be closed is replaced once."""
        import requests  # noqa: PLC0415 - upstream has imported it

        due_at = time.monotonic() + timeout_s
        try:
            return self._post(body, timeout_s)
        except requests.exceptions.ConnectionError:
            left_s = due_at - time.monotonic()
            if left_s <= 0:
                raise
            return self._post(body, left_s)

    def _post(self, body: bytes, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
        response = self._session.post(
            self._url,
            data=body,
            headers=self._headers,
            timeout=timeout_s,
            verify=self._verify,
            cert=self._cert,
            allow_redirects=False,
        )
        return response.status_code, response.headers, response.content

    def close(self) -> None:
        """Close the pooled connections; the session opens new ones."""
        self._session.close()

    def abandon(self) -> None:
        """Let the session open new connections."""
        _renew_pools(self._session)


class _UpstreamExchange:
    """A transport of upstream's HTTP exporters from 1.45 that has no session of requests."""

    def __init__(self, transport: Any, url: str, headers: Mapping[str, str]) -> None:
        self._transport, self._url, self._headers = transport, url, dict(headers)

    def post(self, body: bytes, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
        """Post; a kept connection that turns out to be closed is replaced once."""
        due_at = time.monotonic() + timeout_s
        result = self._request(body, timeout_s)
        if result.error is not None and self._transport.is_connection_error(result.error):
            left_s = due_at - time.monotonic()
            result = self._request(body, left_s) if left_s > 0 else result
        if result.status_code is None:
            raise result.error or OSError("no answer")
        return result.status_code, result.headers(), result.content()

    def _request(self, body: bytes, timeout_s: float) -> Any:
        return self._transport.request("POST", self._url, headers=self._headers, data=body, timeout=timeout_s)

    def close(self) -> None:
        """Close the pooled connections; the transport opens new ones."""
        self._transport.close()

    def abandon(self) -> None:
        """Let the transport open new connections, if it is one of upstream's own."""
        _renew_pools(getattr(self._transport, "_session", None))
        pool: Any = getattr(self._transport, "_pool", None)
        if type(pool).__module__ == "urllib3.poolmanager":
            abandoned.append(pool)
            self._transport._pool = type(pool)(**pool.connection_pool_kw)  # noqa: SLF001


def _renew_pools(session: Any) -> None:
    """Give a session of requests pools of its own in a forked child, and leave the parent's as they are."""
    adapters = getattr(session, "adapters", None)
    if isinstance(adapters, dict):
        abandoned.append(dict(adapters))
        # An adapter copies as it pickles: its settings, with a new pool.
        adapters.update({prefix: copy.copy(adapter) for prefix, adapter in adapters.items()})


def _grpc(exporter: Any, signal: str) -> Transport:
    """Make the transport of a gRPC exporter, and close the channel that it opened before anybody sends."""
    import grpc  # noqa: PLC0415 - upstream has imported it

    endpoint, options, compression = exporter._endpoint, exporter._channel_options, exporter._compression  # noqa: SLF001
    credentials = None if exporter._insecure else exporter._credentials  # noqa: SLF001
    metadata, timeout_s = tuple(exporter._headers), exporter._timeout  # noqa: SLF001
    retryable = frozenset(exporter._retryable_error_codes)  # noqa: SLF001

    def make_channel() -> Any:
        if not all(map(_is_metadata, metadata)):
            # Told by gRPC itself, it would be an error of the call that looks like the server's.
            raise ValueError("invalid header")
        if credentials is None:
            return grpc.insecure_channel(endpoint, options=options, compression=compression)
        return grpc.secure_channel(endpoint, credentials, options=options, compression=compression)

    transport = GrpcTransport(
        signal,
        endpoint=f"grpc://{endpoint}",
        make_channel=make_channel,
        metadata=metadata,
        retryable=retryable,
        timeout_s=float(timeout_s),
    )
    exporter._channel.close()  # noqa: SLF001
    return transport


def _is_metadata(pair: tuple[str, Any]) -> bool:
    """Return whether gRPC can send a header."""
    name, value = pair
    return bool(
        _METADATA_NAME.fullmatch(name)
        and (name.endswith("-bin") or not isinstance(value, str) or _METADATA_TEXT.fullmatch(value))
    )
