"""What the variables say: values that cannot be used, telemetry switched off, where each signal goes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from clew import otel_variables, settings
from clew.desk.doctor.findings import masked, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clew.desk.doctor.findings import Finding
    from clew.settings import Settings

PROTOCOLS: Final = ("grpc", "http/protobuf", "http/json")
_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = 4318
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"


@dataclass(frozen=True)
class Target:
    """Where one signal goes, as OpenTelemetry's variables say."""

    signal: str
    protocol: str
    host: str
    port: int
    path: str
    is_secure: bool
    headers: Mapping[str, str] = field(repr=False)
    certificate: str = ""
    """File of the authority that signed the endpoint's certificate."""
    client_certificate: str = ""
    client_key: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """Host and port as an address has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """The endpoint without its user."""
        scheme = "grpc" if self.protocol == "grpc" else "http"
        return f"{scheme}{'s' * self.is_secure}://{self.place}{self.path}"

    def secrets(self) -> tuple[str, ...]:
        """Return what may not be shown."""
        return tuple(self.headers.values())

    def tls(self) -> ssl.SSLContext:
        """Return how the endpoint's certificate is checked.

        Raises:
            OSError: If a file cannot be read or holds no certificate.
        """
        context = ssl.create_default_context(cafile=self.certificate or None)
        if self.client_certificate:
            context.load_cert_chain(self.client_certificate, self.client_key or None)
        return context


def examine_settings(environ: Mapping[str, str], resolved: Settings) -> Iterator[Finding]:
    """Tell which values cannot be used, and whether anything is switched off."""
    for line in resolved.problems:
        text, _, used = line.rpartition("; using ")
        yield problem("settings", text, f"correct it; {used} is used now")
    if not resolved.problems:
        yield ok("settings", "every CLEW_* value can be used")
    if otel_variables.is_disabled(environ):
        yield warning("settings", "OTEL_SDK_DISABLED=true turns all telemetry off", "unset OTEL_SDK_DISABLED")
    elif resolved.mode == "off":
        yield warning("settings", "CLEW_MODE=off turns all telemetry off", "unset CLEW_MODE")
    yield from _declarative(environ)


def _declarative(environ: Mapping[str, str]) -> Iterator[Finding]:
    path = environ.get("OTEL_CONFIG_FILE", "").strip()
    if path and not Path(path).is_file():
        yield problem("settings", f"OTEL_CONFIG_FILE={path} is no file", "correct the path, or unset OTEL_CONFIG_FILE")
    elif path:
        yield ok(
            "settings", f"OTEL_CONFIG_FILE={path} says where telemetry goes; endpoints below are the variables' own"
        )


def make_targets(environ: Mapping[str, str], resolved: Settings) -> list[Target]:
    """Return where the signals go that are sent by OTLP.

    Raises:
        ValueError: If an endpoint is no URL, or a protocol none that there is.
    """
    merged = {**environ, **otel_variables.defaults(environ, resolved.mode)}
    if resolved.mode == "off" or otel_variables.is_disabled(environ):
        return []
    signals = ("traces", "metrics", "logs")
    return [_target(merged, signal) for signal in signals if "otlp" in _exporters(merged, signal)]


def _exporters(environ: Mapping[str, str], signal: str) -> tuple[str, ...]:
    return settings.names(environ.get(f"OTEL_{signal.upper()}_EXPORTER", ""))


def _target(environ: Mapping[str, str], signal: str) -> Target:
    def value(name: str) -> str:
        own = environ.get(f"{_PREFIX}{signal.upper()}_{name}", "").strip()
        return own or environ.get(f"{_PREFIX}{name}", "").strip()

    protocol = otel_variables.otlp_protocol(environ, signal)
    if protocol not in PROTOCOLS:
        raise ValueError(f"the protocol of {signal} is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}")
    own = environ.get(f"{_PREFIX}{signal.upper()}_ENDPOINT", "").strip()
    default = f"http://localhost:{_GRPC_PORT if protocol == 'grpc' else _HTTP_PORT}"
    url = own or environ.get(f"{_PREFIX}ENDPOINT", "").strip() or default
    host, port, path, is_secure = _place(url, protocol, insecure=value("INSECURE"))
    if protocol != "grpc" and not own:
        path = f"{path.rstrip('/')}/v1/{signal}"
    return Target(
        signal,
        protocol,
        host,
        port,
        path,
        is_secure,
        _headers(value("HEADERS")),
        value("CERTIFICATE"),
        value("CLIENT_CERTIFICATE"),
        value("CLIENT_KEY"),
    )


def _place(url: str, protocol: str, insecure: str) -> tuple[str, int, str, bool]:
    """Return host, port, path and whether TLS is used; gRPC takes an address without a scheme as well."""
    if protocol == "grpc" and "://" not in url:
        url = f"{'http' if insecure.lower() == 'true' else 'https'}://{url}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{masked(url)!r} is no endpoint; write http://host:port or https://host:port")
    is_secure = parts.scheme == "https"
    if protocol == "grpc":
        return parts.hostname, parts.port or 443, "", is_secure
    return parts.hostname, parts.port or (443 if is_secure else 80), parts.path, is_secure


def _headers(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}


def examine_protocols(targets: list[Target]) -> Iterator[Finding]:
    """Tell whether protocol and port fit: a wrong pair fails at each batch."""
    usual = {_GRPC_PORT: "grpc", _HTTP_PORT: "http"}
    for target in targets:
        spoken = target.protocol.partition("/")[0]
        expected = usual.get(target.port, spoken)
        if expected != spoken:
            wanted = "grpc" if expected == "grpc" else "http/protobuf"
            found = f"{target.signal} go by {target.protocol} to port {target.port}, where Collectors take {expected}"
            yield warning("protocol", found, f"set OTEL_EXPORTER_OTLP_PROTOCOL={wanted}, or leave it unset")
    if targets:
        told = ", ".join(dict.fromkeys(f"{target.protocol} to {target.place}" for target in targets))
        yield ok("protocol", told)
