"""Why a Collector takes nothing now, for a person: what a transport's detail says of it and which variable cures it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clew.delivery.transport import Outcome

_CAUSES: Final = tuple(
    (re.compile(detail), told)
    for detail, told in (
        (
            r"CERTIFICATE_VERIFY_FAILED",
            "has a certificate that nobody vouches for (see OTEL_EXPORTER_OTLP_CERTIFICATE)",
        ),
        (r"CERTIFICATE_REQUIRED", "asks for a certificate (see OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)"),
        (
            r"Could not find .*TLS|X509|\bPEM\b|security handshaker",
            "is not asked: a file of OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE or _CLIENT_KEY cannot be used",
        ),
        (r"WRONG_VERSION_NUMBER", "does not speak TLS (see the https in its endpoint)"),
        (r"^BadStatusLine", "does not speak HTTP (see OTEL_EXPORTER_OTLP_PROTOCOL)"),
        (r"Expected SETTINGS frame|http1\.x server", "does not speak gRPC (see OTEL_EXPORTER_OTLP_PROTOCOL)"),
        (r"^ProxyError", "is not reached by the proxy that HTTP_PROXY or HTTPS_PROXY names"),
        (r"gaierror|NameResolutionError|Domain name not found", "is not found by its name"),
        (r"[Ii]nvalid ?[Hh]eader|'latin-1'", "is not asked: OTEL_EXPORTER_OTLP_HEADERS has what no header can hold"),
        (
            r"^(MissingSchema|InvalidSchema|InvalidURL)",
            "is not asked: its endpoint does not begin with http:// or https://",
        ),
    )
)
"""How OpenSSL, BoringSSL, gRPC, requests and `http.client` say it; their words are not shown, they may hold secrets."""


def told(outcome: Outcome) -> str:
    """Return what a person is told of a Collector that takes nothing now."""
    if outcome.kind != "unreachable":
        return f"takes no more for now ({outcome.detail})"
    return next((told for cause, told in _CAUSES if cause.search(outcome.detail)), "does not answer")
