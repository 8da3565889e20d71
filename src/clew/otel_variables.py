"""OpenTelemetry's own variables, where Clew has to know them.

What it sets where the user set nothing, and what holds for the parts of the SDK that it stands in for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

from clew import diagnostics
from clew.settings import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Batching:
    """How records of one signal wait and leave."""

    queue_size: int
    batch_size: int
    delay_s: float
    timeout_s: float


_SIGNALS: Final = ("traces", "metrics", "logs")
_BATCH_PREFIXES: Final = {"traces": "OTEL_BSP_", "logs": "OTEL_BLRP_"}


def batching(environ: Mapping[str, str], signal: str, queue_size: int) -> Batching:
    """Return how `signal` is batched: as OpenTelemetry's variables say, else as suits Clew's pipeline.

    Args:
        environ: The process's environment.
        signal: traces, metrics or logs; metrics have no such variables.
        queue_size: What `CLEW_QUEUE_SIZE` says.
    """
    prefix = _BATCH_PREFIXES.get(signal, "")
    queue = _positive(environ, f"{prefix}MAX_QUEUE_SIZE", queue_size)
    batch = _positive(environ, f"{prefix}MAX_EXPORT_BATCH_SIZE", 512)
    delay_ms = _positive(environ, f"{prefix}SCHEDULE_DELAY", 1000)
    timeout_ms = _positive(environ, f"{prefix}EXPORT_TIMEOUT", 30_000)
    return Batching(queue, min(batch, queue), delay_ms / 1000, timeout_ms / 1000)


def _positive(environ: Mapping[str, str], variable: str, default: int) -> int:
    """Return a whole number above 0 from a variable of OpenTelemetry's, or `default` as upstream does for a bad one."""
    text = environ.get(variable, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else default


@dataclass(frozen=True)
class AttributeLimits:
    """How many attributes a log record may have, and how long their strings may be; None is no limit."""

    count: int | None
    length: int | None


def log_attribute_limits(environ: Mapping[str, str]) -> AttributeLimits:
    """Return the limits of a log record's attributes: its own variables go before the general ones."""

    def limit(name: str, default: int | None) -> int | None:
        for variable in (f"OTEL_LOGRECORD_ATTRIBUTE_{name}", f"OTEL_ATTRIBUTE_{name}"):
            text = environ.get(variable, "").strip()
            if text.isdecimal():
                return int(text)
        return default

    return AttributeLimits(limit("COUNT_LIMIT", 128), limit("VALUE_LENGTH_LIMIT", None))


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Return whether `OTEL_SDK_DISABLED` turns everything off."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def defaults(environ: Mapping[str, str], mode: str = "otlp") -> dict[str, str]:
    """Return what Clew sets where the user set nothing, by variable.

    The protocol follows from the endpoint's port, since a wrong pair fails without a word: 4317 is grpc, all else
    http/protobuf. Semantic conventions are the stable ones, whose durations are seconds.
    """
    exporter = "clew_file" if mode == "file" else "otlp"
    found = {
        "OTEL_TRACES_EXPORTER": exporter,
        "OTEL_METRICS_EXPORTER": exporter,
        "OTEL_LOGS_EXPORTER": exporter,
        "OTEL_EXPORTER_OTLP_PROTOCOL": _protocol(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")),
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
    }
    for signal in map(str.upper, _SIGNALS):
        endpoint = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "")
        if endpoint and "OTEL_EXPORTER_OTLP_PROTOCOL" in _unset(environ, found):
            found[f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"] = _protocol(endpoint)
    return {name: found[name] for name in _unset(environ, found)}


def _unset(environ: Mapping[str, str], variables: Iterable[str]) -> list[str]:
    return [name for name in variables if not environ.get(name, "").strip()]


def names_service(environ: Mapping[str, str]) -> bool:
    """Return whether the user gave the service a name."""
    attributes = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = (pair.partition("=")[0].strip() == "service.name" for pair in attributes.split(","))
    return bool(environ.get("OTEL_SERVICE_NAME", "").strip()) or any(named)


def exporter_names(environ: Mapping[str, str], signal: str) -> tuple[str, ...]:
    """Return the exporters chosen for `signal` (traces, metrics or logs), `otlp` resolved by its protocol.

    Metrics go by Clew's own exporter then; `http/json` is an encoding of the http exporter, where upstream refuses it.
    """
    chosen = names(environ.get(f"OTEL_{signal.upper()}_EXPORTER", ""))
    if chosen in {(), ("none",)}:
        return ()
    otlp = "otlp_proto_grpc" if otlp_protocol(environ, signal) == "grpc" else "otlp_proto_http"
    if signal == "metrics":
        otlp = "clew_otlp"
    return tuple(otlp if name == "otlp" else name for name in chosen)


def otlp_protocol(environ: Mapping[str, str], signal: str) -> str:
    """Return the OTLP protocol of `signal`: grpc, http/protobuf or http/json."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "").strip()
    return own or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "grpc"


def for_exporters(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return what upstream's OTLP exporters are to read in place of what is set, by variable; None is unset.

    An empty variable is as good as none (specification, "Parsing empty value"), which upstream's gRPC exporters do not
    know; nor do they know the compression `none`, and a value that they do not know would end the boot.
    """
    otlp = {name: text for name, text in environ.items() if name.startswith(_OTLP)}
    empty = dict.fromkeys(name for name, text in otlp.items() if not text.strip())
    timeouts = dict.fromkeys(name for name, text in otlp.items() if name.endswith("_TIMEOUT") and not _is_number(text))
    for name in timeouts.keys() - empty.keys():
        diagnostics.report(name, f"{name}={otlp[name]!r} is no number of seconds; the default holds")
    return {**empty, **timeouts, **_compressions(environ)}


_OTLP: Final = "OTEL_EXPORTER_OTLP_"


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _compressions(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the compression of each signal on its own, if one that goes by gRPC has what gRPC does not know."""
    of_all = f"{_OTLP}COMPRESSION"
    chosen = {signal: f"{_OTLP}{signal.upper()}_COMPRESSION" for signal in _SIGNALS}
    values = {
        signal: (environ.get(name, "").strip() or environ.get(of_all, "").strip()) for signal, name in chosen.items()
    }
    by_grpc = [signal for signal in _SIGNALS if otlp_protocol(environ, signal) == "grpc"]
    unknown = [signal for signal in by_grpc if values[signal].lower() not in {"", "gzip"}]
    told = ", ".join(f"{signal} ({values[signal]!r})" for signal in unknown if values[signal].lower() != "none")
    if told:
        diagnostics.report("compression", f"gRPC has gzip and none; uncompressed go {told}")
    found = {chosen[signal]: None if signal in unknown else value or None for signal, value in values.items()}
    return {of_all: None, **found} if unknown else {}


def _protocol(endpoint: str) -> str:
    """Return the protocol that belongs to the endpoint's port."""
    return "grpc" if re.search(r":4317(?:/|$)", endpoint.strip()) else "http/protobuf"
