"""The way to an endpoint, step by step: the name, the port, TLS. Each step that fails names its cure."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.desk.doctor.configuration import Target


class StepError(Exception):
    """A step towards the endpoint failed: what was found, and the cure."""

    def __init__(self, topic: str, found: str, cure: str) -> None:
        super().__init__(found)
        self.topic, self.found, self.cure = topic, found, cure


@contextlib.contextmanager
def connected(target: Target, timeout_s: float) -> Iterator[socket.socket]:
    """Connect to the endpoint, with TLS where it is asked for, and close the connection at the end.

    Raises:
        StepError: If a step fails.
    """
    plain = _reach(target, timeout_s)
    try:
        connection = _shake_hands(plain, target) if target.is_secure else plain
    except BaseException:
        plain.close()
        raise
    with connection:
        yield connection


def _reach(target: Target, timeout_s: float) -> socket.socket:
    place = target.place
    try:
        return socket.create_connection((target.host, target.port), timeout=timeout_s)
    except socket.gaierror:
        cure = "correct the name in OTEL_EXPORTER_OTLP_ENDPOINT, or the resolver"
        raise StepError("endpoint", f"the name {target.host!r} has no address", cure) from None
    except TimeoutError:
        cure = "look for a firewall or a wrong address in OTEL_EXPORTER_OTLP_ENDPOINT"
        raise StepError("endpoint", f"nothing answers at {place} within {timeout_s:g} s", cure) from None
    except (OSError, OverflowError) as error:
        cure = "start a Collector there, or set OTEL_EXPORTER_OTLP_ENDPOINT; telemetry waits in the spool until then"
        raise StepError("endpoint", f"{place} cannot be reached: {_reason(error)}", cure) from None


def _shake_hands(plain: socket.socket, target: Target) -> ssl.SSLSocket:
    try:
        context = target.tls()
    except OSError as error:
        cure = "correct OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY"
        raise StepError("TLS", f"a certificate file cannot be used: {_reason(error)}", cure) from None
    if target.protocol == "grpc":
        context.set_alpn_protocols(["h2"])
    try:
        return context.wrap_socket(plain, server_hostname=target.host)
    except ssl.SSLCertVerificationError as error:
        cure = (
            "set OTEL_EXPORTER_OTLP_CERTIFICATE to the file of the authority that signed it, or correct the host's name"
        )
        raise StepError(
            "TLS", f"the certificate of {target.host} is not accepted: {error.verify_message}", cure
        ) from None
    except TimeoutError:
        raise StepError("TLS", "the other side does not answer the TLS handshake", _plain_cure(target)) from None
    except OSError as error:
        raise StepError("TLS", f"no TLS at {target.place}: {_reason(error)}", _plain_cure(target)) from None


def _plain_cure(target: Target) -> str:
    return f"if it has no TLS, write http://{target.place} in OTEL_EXPORTER_OTLP_ENDPOINT"


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error or type(error).__name__)
