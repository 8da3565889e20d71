"""One span, log record and metric point sent the way that the variables say, and what became of each."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clew import settings
from clew.desk.doctor.connection import StepError, connected
from clew.desk.doctor.findings import masked, ok, problem, warning
from clew.desk.doctor.probe_records import Probe, rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.desk.doctor.configuration import Target
    from clew.desk.doctor.findings import Finding

MAX_SKEW_S: Final = 5.0
"""How far the endpoint's clock may be off: its answer tells whole seconds."""

_OK: Final = 200
_CONTENT_TYPES: Final = {"http/json": "application/json", "http/protobuf": "application/x-protobuf"}
_METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_MAX_DETAIL: Final = 200

_CURES: Final = {
    400: "the endpoint does not take OTLP in this form; try another OTEL_EXPORTER_OTLP_PROTOCOL",
    401: "set OTEL_EXPORTER_OTLP_HEADERS to what the endpoint asks for, such as authorization=Bearer%20TOKEN",
    403: "the credentials in OTEL_EXPORTER_OTLP_HEADERS may not write here",
    404: "correct the path in OTEL_EXPORTER_OTLP_ENDPOINT, or add a pipeline of this signal to the Collector",
    405: "correct the path in OTEL_EXPORTER_OTLP_ENDPOINT",
    415: "the endpoint does not take this encoding; try another OTEL_EXPORTER_OTLP_PROTOCOL",
    429: "the endpoint is asked too often; telemetry waits in the spool meanwhile",
}
_GRPC_STATUS: Final = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "UNIMPLEMENTED": 404,
    "RESOURCE_EXHAUSTED": 429,
}

_NO_GRPC: Final = ("failed to connect", "http1", "http/2", "http2 header")
"""What grpcio's errors say where the other side speaks something else."""


class _Answer(NamedTuple):
    """What an endpoint answered."""

    status: int
    detail: str
    body: bytes
    skew_s: float | None = None


def examine_endpoints(targets: list[Target], timeout_s: float) -> Iterator[Finding]:
    """Send a probe of each signal, all at the same time; it takes at most about three times `timeout_s`."""
    answers: queue.SimpleQueue[tuple[str, list[Finding]]] = queue.SimpleQueue()
    probe = Probe()

    def run(target: Target) -> None:
        answers.put((target.signal, list(_examine(target, probe, timeout_s))))

    for target in targets:
        threading.Thread(target=run, args=(target,), daemon=True).start()
    deadline = time.monotonic() + 3 * timeout_s
    done: dict[str, list[Finding]] = {}
    while len(done) < len(targets) and (left_s := deadline - time.monotonic()) > 0:
        try:
            signal, findings = answers.get(timeout=left_s)
        except queue.Empty:
            break
        done[signal] = findings
    clocks: set[str] = set()
    for target in targets:
        late = problem(target.signal, f"no answer from {target.shown} in time", "look at the endpoint's own log")
        for finding in done.get(target.signal, [late]):
            # Each signal's probe reads a host's clock anew, now and then a second later.
            if finding.topic != "clock" or target.host not in clocks:
                yield finding
            if finding.topic == "clock":
                clocks.add(target.host)


def _examine(target: Target, probe: Probe, timeout_s: float) -> Iterator[Finding]:
    """Go step by step towards one endpoint, as far as it goes."""
    try:
        with connected(target, timeout_s) as connection:
            yield ok("endpoint", f"{target.place} is reached{', with TLS' * target.is_secure}")
            answer = _call(target, probe, timeout_s) if target.protocol == "grpc" else _post(target, probe, connection)
        yield from _judge(target, answer)
    except StepError as error:
        yield problem(error.topic, masked(error.found, target.secrets()), error.cure)
    except Exception as error:  # noqa: BLE001 - an endpoint may answer anything; whatever comes of it is a finding
        found = f"the probe ended with {type(error).__name__}: {masked(str(error), target.secrets())[:_MAX_DETAIL]}"
        yield problem(target.signal, found, "look at the endpoint's own log")


def _post(target: Target, probe: Probe, connection: Any) -> _Answer:
    """Post the probe over the connection.

    Raises:
        StepError: If what answers speaks no HTTP.
    """
    client = http.client.HTTPConnection(target.host, target.port)
    client.sock = connection
    headers = {**target.headers, "content-type": _CONTENT_TYPES[target.protocol], "accept-encoding": "identity"}
    began = time.time()
    try:
        client.request("POST", target.path or "/", probe.body(target.signal, target.protocol), headers)
        response = client.getresponse()
        body = response.read(65536)
    except (http.client.HTTPException, ConnectionError) as error:
        raise StepError(
            target.signal, f"no HTTP from {target.shown}: {type(error).__name__}", _speech_cure(target)
        ) from None
    except TimeoutError:
        cure = "look at the endpoint's own log; if it takes gRPC: OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
        raise StepError(target.signal, f"{target.shown} takes the request and does not answer", cure) from None
    skew_s = _skew_s(response.headers.get("date"), (began + time.time()) / 2)
    return _Answer(response.status, response.reason, body, skew_s)


def _speech_cure(target: Target) -> str:
    """Say what else may listen there."""
    port = f"if port {target.port} takes gRPC: OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
    return port if target.is_secure else f"{port}; if it has TLS: https://{target.place}"


def _skew_s(date: str | None, now_s: float) -> float | None:
    """Return how far the endpoint's clock is ahead of ours, by the answer's Date."""
    try:
        return parsedate_to_datetime(date).timestamp() - now_s + 0.5 if date else None
    except (ValueError, TypeError):
        return None


def _call(target: Target, probe: Probe, timeout_s: float) -> _Answer:
    """Call the probe's method by gRPC, its messages as plain bytes.

    Raises:
        StepError: If grpcio is not installed, or what answers speaks no gRPC.
    """
    if find_spec("grpc") is None:
        raise StepError(target.signal, "grpcio is not installed", "pip install -U clew-opentelemetry")
    settings.process_environment().setdefault("GRPC_VERBOSITY", "NONE")
    import grpc  # noqa: PLC0415 - slow to import, and only gRPC needs it

    place = target.place
    channel = (
        grpc.secure_channel(place, _credentials(grpc, target)) if target.is_secure else grpc.insecure_channel(place)
    )
    try:
        call = channel.unary_unary(_METHODS[target.signal])
        metadata = tuple(target.headers.items())
        return _Answer(_OK, "", call(probe.body(target.signal, target.protocol), timeout=timeout_s, metadata=metadata))
    except grpc.RpcError as error:
        name, detail = error.code().name, str(error.details() or "")
        if name == "DEADLINE_EXCEEDED" or any(mark in detail.lower() for mark in _NO_GRPC):
            cure = f"if port {target.port} takes HTTP: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
            secure = "" if target.is_secure else f"; if it has TLS: https://{place}"
            found = f"no gRPC from {target.shown}: {masked(detail, target.secrets())[:_MAX_DETAIL] or name}"
            raise StepError(target.signal, found, cure + secure) from None
        return _Answer(_GRPC_STATUS.get(name, 500), f"{name} {detail}", b"")
    finally:
        channel.close()


def _credentials(grpc: Any, target: Target) -> Any:
    files = (target.certificate, target.client_key, target.client_certificate)
    return grpc.ssl_channel_credentials(*(_content(path) for path in files))


def _content(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _judge(target: Target, answer: _Answer) -> Iterator[Finding]:
    """Tell what an answer means."""
    count, message = rejection(target.signal, target.protocol, answer.body)
    said = masked(f"{answer.detail} {message}".strip(), target.secrets())[:_MAX_DETAIL]
    if answer.status != _OK:
        cure = _CURES.get(answer.status, "look at the endpoint's own log")
        yield problem(target.signal, f"{target.shown} refuses the probe: {answer.status} {said}".rstrip(), cure)
    elif count:
        yield problem(target.signal, f"{target.shown} rejects the probe: {said}", "look at the endpoint's own log")
    else:
        yield ok(target.signal, f"a probe by {target.protocol} is accepted at {target.shown}")
    if answer.skew_s is not None and abs(answer.skew_s) > MAX_SKEW_S:
        direction = "ahead" if answer.skew_s > 0 else "behind"
        found = f"the clock of {target.host} is {abs(answer.skew_s):.0f} s {direction} of this one"
        yield warning(
            "clock", found, "synchronise both clocks; times in traces over several hosts are wrong until then"
        )
    elif answer.skew_s is not None:
        yield ok("clock", f"agrees with that of {target.host}")
