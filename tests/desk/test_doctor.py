"""`clew doctor` finds what keeps telemetry from arriving, says what cures it, and shows no secret."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.desk.doctor import packages, probing, storage
from clew.desk.doctor.configuration import Target, make_targets
from clew.desk.doctor.examination import examine
from clew.desk.doctor.findings import Finding
from clew.desk.doctor.probe_records import Probe
from clew.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Outcome
    from receiver import Receiver

SIGNALS = ("traces", "metrics", "logs")


def findings(environ: dict[str, str], topic: str = "", **options: Any) -> list[Finding]:
    """Return what is found, of one topic if it is named."""
    return [finding for finding in examine(environ, **options) if topic in {"", finding.topic}]


def endpoint_findings(url: str, protocol: str = "http/protobuf", timeout_s: float = 3.0, **more: str) -> list[Finding]:
    """Return what is found at an endpoint."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **more}
    targets = make_targets(environ, Settings.from_mapping(environ))
    return list(dict.fromkeys(probing.examine_endpoints(targets, timeout_s)))


@pytest.fixture
def free_port() -> Iterator[int]:
    """Return a port at which nothing listens, and nothing can while the test lasts."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield int(place.getsockname()[1])


class TestProbe:
    """One span, log record and metric point, and what became of them."""

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
    def test_accepted(self, receiver: Receiver, protocol: str) -> None:
        """Each signal arrives by each protocol, and is told to have."""
        url = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint

        found = endpoint_findings(url, protocol)

        assert {"ok"} == {finding.level for finding in found}
        assert set(SIGNALS) <= {finding.topic for finding in found}
        assert {(signal, protocol) for signal in SIGNALS} == {(one.signal, one.protocol) for one in receiver.requests}
        (span,), (log,), (point,) = receiver.spans, receiver.logs, receiver.metrics
        assert ("clew doctor: probe", "clew doctor: probe", "clew.doctor.probe", 1) == (
            span.name,
            log.body,
            point.name,
            point.value,
        )
        assert span.trace_id == log.trace_id

    def test_protobuf_is_complete(self) -> None:
        """The bytes put together by hand are the messages that they are meant to be, without unknown fields."""
        probe = Probe(b"t" * 16, b"s" * 8, 1_700_000_000_000_000_000)
        kinds = {
            "traces": ExportTraceServiceRequest,
            "metrics": ExportMetricsServiceRequest,
            "logs": ExportLogsServiceRequest,
        }

        for signal, kind in kinds.items():
            body = probe.body(signal, "grpc")
            parsed = kind.FromString(body)
            parsed.DiscardUnknownFields()
            assert body == parsed.SerializeToString(deterministic=True)
        span = (
            ExportTraceServiceRequest.FromString(probe.body("traces", "grpc")).resource_spans[0].scope_spans[0].spans[0]
        )
        assert (b"t" * 16, b"s" * 8, 1, probe.time_ns, probe.time_ns) == (
            span.trace_id,
            span.span_id,
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
        )

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
    @pytest.mark.parametrize(
        ("status", "cure"),
        [
            (401, "OTEL_EXPORTER_OTLP_HEADERS"),
            (404, "add a pipeline"),
            (429, "asked too often"),
            (503, "endpoint's own log"),
        ],
    )
    def test_refused(self, receiver: Receiver, protocol: str, status: int, cure: str) -> None:
        """A refusal is a problem of each signal, with what the endpoint said and what cures it."""
        receiver.respond(status, message="not today")
        url = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint

        bad = [finding for finding in endpoint_findings(url, protocol) if finding.level == "problem"]

        assert set(SIGNALS) == {finding.topic for finding in bad}
        assert all(cure in finding.cure and "refuses the probe" in finding.found for finding in bad)

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
    def test_rejected_by_partial_success(self, receiver: Receiver, protocol: str) -> None:
        """An endpoint that accepts the request and rejects the record is told with its reason."""
        receiver.respond(200, rejected=1, message="quota")
        url = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint

        bad = [finding for finding in endpoint_findings(url, protocol) if finding.level == "problem"]

        assert set(SIGNALS) == {finding.topic for finding in bad}
        assert all(finding.found.endswith("rejects the probe: quota") or "quota" in finding.found for finding in bad)

    def test_headers_are_sent_and_not_shown(self, receiver: Receiver) -> None:
        """Headers go along; their values appear nowhere, not even where the endpoint repeats them."""
        receiver.respond(401, message="bad token s3cret/token")

        for url, protocol in ((receiver.http_endpoint, "http/protobuf"), (receiver.grpc_endpoint, "grpc")):
            found = endpoint_findings(
                url, protocol, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20s3cret/token,x-key=s3cret/token"
            )
            assert "s3cret" not in str(found)
        assert {"Bearer s3cret/token"} == {one.headers["authorization"] for one in receiver.requests}


class TestWay:
    """The way to an endpoint."""

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_nothing_listens(self, free_port: int, protocol: str) -> None:
        """A port at which nothing listens is one problem, not three."""
        (finding,) = endpoint_findings(f"http://127.0.0.1:{free_port}", protocol)

        assert ("endpoint", "problem", f"127.0.0.1:{free_port} cannot be reached: Connection refused") == (
            finding.topic,
            finding.level,
            finding.found,
        )

    def test_name_without_an_address(self) -> None:
        """A host that has no address is told by its name."""
        (finding,) = endpoint_findings("http://nowhere.invalid:4318")

        assert "the name 'nowhere.invalid' has no address" == finding.found

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_no_answer(self, protocol: str) -> None:
        """An endpoint that takes a connection and says nothing costs a bounded time."""
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen(8)
            began = time.monotonic()

            found = endpoint_findings(f"http://127.0.0.1:{mute.getsockname()[1]}", protocol, timeout_s=0.5)

        assert 5 > time.monotonic() - began
        assert set(SIGNALS) == {finding.topic for finding in found if finding.level == "problem"}

    def test_http_to_a_grpc_port(self, receiver: Receiver) -> None:
        """HTTP at a port of gRPC is told with the protocol that fits."""
        bad = [one for one in endpoint_findings(receiver.grpc_endpoint) if one.level == "problem"]

        assert 3 == len(bad)
        assert all("takes gRPC: OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in finding.cure for finding in bad)

    def test_grpc_to_an_http_port(self, receiver: Receiver) -> None:
        """And gRPC at a port of HTTP."""
        bad = [one for one in endpoint_findings(receiver.http_endpoint, "grpc") if one.level == "problem"]

        assert 3 == len(bad)
        assert all("takes HTTP: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in finding.cure for finding in bad)

    @pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
    def test_tls_to_a_plain_port(self, receiver: Receiver, protocol: str) -> None:
        """TLS at a port without it is one problem with the address to write."""
        port = receiver.grpc_port if protocol == "grpc" else receiver.http_port

        (finding,) = endpoint_findings(f"https://127.0.0.1:{port}", protocol)

        assert ("TLS", "problem") == (finding.topic, finding.level)
        assert f"http://127.0.0.1:{port}" in finding.cure


class _Taker(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything, at a time of its own."""

    date = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response_only(200)
        if self.date:
            self.send_header("Date", self.date)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def serve(handler: type[_Taker], context: ssl.SSLContext | None = None) -> http.server.ThreadingHTTPServer:
    """Start a server; the caller shuts it down."""

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing: a client that gives up is part of these tests."""

    server = Quiet(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class TestTls:
    """An endpoint with a certificate of its own."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> tuple[Path, Path]:
        """Make a certificate for 127.0.0.1 and its key."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl makes the certificate, and is not installed")
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        name = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*command, *name], check=True, capture_output=True)
        return certificate, key

    @pytest.fixture
    def server(self, authority: tuple[Path, Path]) -> Iterator[http.server.ThreadingHTTPServer]:
        """Run a server with that certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority)
        server = serve(_Taker, context)
        yield server
        server.shutdown()
        server.server_close()

    def test_trusted(self, server: http.server.ThreadingHTTPServer, authority: tuple[Path, Path]) -> None:
        """With the authority's file it is accepted."""
        url = f"https://127.0.0.1:{server.server_port}"

        found = endpoint_findings(url, OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority[0]))

        assert {"ok"} == {finding.level for finding in found}
        assert f"127.0.0.1:{server.server_port} is reached, with TLS" == found[0].found

    def test_unknown_authority(self, server: http.server.ThreadingHTTPServer) -> None:
        """Without it the certificate is not, and the variable that cures it is named."""
        (finding,) = endpoint_findings(f"https://127.0.0.1:{server.server_port}")

        assert "the certificate of 127.0.0.1 is not accepted: self-signed certificate" == finding.found
        assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in finding.cure

    def test_plain_to_a_tls_port(self, server: http.server.ThreadingHTTPServer) -> None:
        """Plain HTTP at a port with TLS is told with the address to write."""
        found = endpoint_findings(f"http://127.0.0.1:{server.server_port}")
        bad = [one for one in found if one.level == "problem"]

        assert 3 == len(bad)
        assert all(f"https://127.0.0.1:{server.server_port}" in finding.cure for finding in bad)

    def test_file_that_is_none(self, server: http.server.ThreadingHTTPServer) -> None:
        """A certificate file that is not there is told."""
        url = f"https://127.0.0.1:{server.server_port}"

        (finding,) = endpoint_findings(url, OTEL_EXPORTER_OTLP_CERTIFICATE="/nowhere/ca.pem")

        assert "a certificate file cannot be used: No such file or directory" == finding.found


@pytest.mark.parametrize(
    ("date", "level"), [("Mon, 01 Jan 2024 00:00:00 GMT", "warning"), ("not a date", None), ("", None)]
)
def test_clock(date: str, level: str | None) -> None:
    """A clock that disagrees is a warning; an answer that tells no time says nothing about it."""
    server = serve(type("Taker", (_Taker,), {"date": date}))
    found = endpoint_findings(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()

    assert ([level] if level else []) == [finding.level for finding in found if finding.topic == "clock"]


def test_clock_is_told_once() -> None:
    """A clock that goes on between the probes of the three signals is one warning."""
    minutes = itertools.count()
    server = serve(
        type("Taker", (_Taker,), {"date": property(lambda _: f"Mon, 01 Jan 2024 00:{next(minutes):02}:00 GMT")})
    )
    found = endpoint_findings(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()

    assert ["warning"] == [finding.level for finding in found if finding.topic == "clock"]


class TestTargets:
    """Where the variables send each signal."""

    def target(self, signal: str, **environ: str) -> Target | None:
        """Return where a signal goes."""
        found = make_targets(environ, Settings.from_mapping(environ))
        return next((target for target in found if target.signal == signal), None)

    @pytest.mark.parametrize(
        ("environ", "shown"),
        [
            ({}, "http://localhost:4318/v1/logs"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "grpc://c:4317"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4317"}, "grpc://[::1]:4317"),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c:443/otlp/v1/logs"),
            ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:1/x"}, "http://c:1/x"),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc://localhost:4317"),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}, "grpcs://c:4317"),
            (
                {
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": "c:9",
                    "OTEL_EXPORTER_OTLP_INSECURE": "true",
                },
                "grpc://c:9",
            ),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://ann:pw@c:4318"}, "http://c:4318/v1/logs"),
        ],
    )
    def test_place(self, environ: dict[str, str], shown: str) -> None:
        """Endpoint, protocol and path follow the specification and Clew's defaults."""
        target = self.target("logs", **environ)

        assert target is not None
        assert shown == target.shown

    @pytest.mark.parametrize(
        "environ",
        [{"CLEW_MODE": "file"}, {"CLEW_MODE": "off"}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_LOGS_EXPORTER": "none"}],
    )
    def test_none(self, environ: dict[str, str]) -> None:
        """A signal that does not go by OTLP has no endpoint to examine."""
        assert None is self.target("logs", **environ)

    @pytest.mark.parametrize(
        "environ",
        [
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://c"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:port"},
        ],
    )
    def test_unusable(self, environ: dict[str, str]) -> None:
        """What cannot be used is a problem, not a fall."""
        (finding,) = findings(environ, "endpoint", is_online=False)

        assert "problem" == finding.level

    @pytest.mark.parametrize(("port", "protocol"), [(4317, "http/protobuf"), (4318, "grpc")])
    def test_port_of_the_other_protocol(self, port: int, protocol: str) -> None:
        """A protocol at the other one's usual port is a warning with what to set."""
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://c:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}

        levels = [finding.level for finding in findings(environ, "protocol", is_online=False)]

        assert ["warning", "warning", "warning", "ok"] == levels


class TestConfiguration:
    """Variables."""

    def test_bad_value(self) -> None:
        """A value that cannot be used is a problem that names it."""
        (finding,) = findings({"CLEW_QUEUE_SIZE": "many"}, "settings", is_online=False)

        assert (
            Finding(
                "settings",
                "problem",
                "CLEW_QUEUE_SIZE must be a whole number above 0, got 'many'",
                "correct it; 65536 is used now",
            )
            == finding
        )

    def test_propagator_that_is_none(self) -> None:
        """A propagator that is not installed is told with what it does: the program does not start."""
        (finding,) = findings({"OTEL_PROPAGATORS": "tracecontext,nonsense"}, "propagators", is_online=False)

        assert ("problem", "OTEL_PROPAGATORS names nonsense, which is not installed") == (finding.level, finding.found)
        assert "ends with an error before the program" in finding.cure

    @pytest.mark.parametrize("value", ["tracecontext,baggage,clew", " tracecontext , baggage", "none", ""])
    def test_propagators(self, value: str) -> None:
        """Those that are installed are fine."""
        assert ["ok"] == [one.level for one in findings({"OTEL_PROPAGATORS": value}, "propagators", is_online=False)]

    def test_exporter_that_is_none(self) -> None:
        """So is an exporter that is not installed."""
        (finding,) = findings({"OTEL_LOGS_EXPORTER": "otlp,parchment"}, "exporters", is_online=False)

        assert "OTEL_LOGS_EXPORTER names parchment, which is not installed" == finding.found

    @pytest.mark.parametrize(("variable", "value"), [("OTEL_SDK_DISABLED", "true"), ("CLEW_MODE", "off")])
    def test_switched_off(self, variable: str, value: str) -> None:
        """Telemetry that is switched off is a warning."""
        assert f"{variable}={value} turns all telemetry off" in [
            finding.found for finding in findings({variable: value}, "settings", is_online=False)
        ]

    def test_configuration_file(self, tmp_path: Path) -> None:
        """A declarative configuration that is not there is a problem."""
        found = findings({"OTEL_CONFIG_FILE": str(tmp_path / "no.yaml")}, "settings", is_online=False)

        assert f"OTEL_CONFIG_FILE={tmp_path}/no.yaml is no file" in [
            one.found for one in found if one.level == "problem"
        ]


class TestPackages:
    """What is installed."""

    def test_clew_wins(self) -> None:
        """Beside upstream's distribution Clew wins."""
        found = list(packages.examine_distribution({}))

        assert [("distribution", "ok"), ("configurator", "ok")] == [(one.topic, one.level) for one in found]
        assert "clew wins, beside distro" == found[0].found

    @pytest.mark.parametrize(("name", "level"), [("distro", "warning"), ("acme", "problem"), ("clew", "ok")])
    def test_another_is_chosen(self, name: str, level: str) -> None:
        """A choice of another is told; one that is not installed is a problem."""
        assert level == next(packages.examine_distribution({"OTEL_PYTHON_DISTRO": name})).level

    def test_versions_fit(self) -> None:
        """The packages of the tests' environment fit."""
        assert ["ok"] == [finding.level for finding in packages.examine_versions()]

    def test_library_without_instrumentation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library that nothing watches is a warning with the command that adds it: by our extra, else by its name."""
        for name in ("pymongo-4.9", "Pyramid-2.0"):
            folder = tmp_path / f"{name}.dist-info"
            folder.mkdir()
            package, version = name.split("-")
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        monkeypatch.syspath_prepend(tmp_path)

        found = {finding.found.split()[0]: finding.cure for finding in packages.examine_instrumentations()}

        assert "pip install 'opentelemetry-instrumentation-pymongo>=0.65b0,<1'" == found["pymongo"]
        assert "pip install 'opentelemetry-instrumentation-pyramid>=0.65b0,<1'" == found["pyramid"]


class TestFolder:
    """The folder of telemetry files."""

    def settings(self, folder: Path, **environ: str) -> Settings:
        """Return settings with this folder."""
        return Settings.from_mapping({"CLEW_DIR": str(folder), **environ})

    def test_one_to_be_made(self, tmp_path: Path) -> None:
        """A folder that is not there yet is fine where it can be made, and is not made."""
        folder = tmp_path / "a" / "b"

        found = list(storage.examine_folder(self.settings(folder)))

        assert [("folder", "ok"), ("disk", "ok")] == [(finding.topic, finding.level) for finding in found]
        assert [] == list(tmp_path.iterdir())

    def test_no_folder(self, tmp_path: Path) -> None:
        """A file in its place is a problem."""
        (tmp_path / "file").write_text("")

        (finding,) = storage.examine_folder(self.settings(tmp_path / "file"))

        assert ("problem", f"{tmp_path}/file is no folder") == (finding.level, finding.found)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_one_that_cannot_be_written(self, tmp_path: Path) -> None:
        """A folder that may not be written is a problem."""
        tmp_path.chmod(0o500)

        (finding,) = storage.examine_folder(self.settings(tmp_path))
        tmp_path.chmod(0o700)

        assert f"{tmp_path} cannot be written: Permission denied" == finding.found

    def test_system_folder(self) -> None:
        """A place where not even root may write is a problem."""
        (finding,) = storage.examine_folder(self.settings("/proc/self/clew"))  # type: ignore[arg-type]

        assert "problem" == finding.level

    def test_modes(self, tmp_path: Path) -> None:
        """What other users may read is a warning, and the command that ends it."""
        tmp_path.chmod(0o755)
        segment = tmp_path / "logs-shop-1-20260101T000000000000Z.jsonl"
        segment.write_text("{}\n")
        segment.chmod(0o644)

        found = [finding for finding in storage.examine_folder(self.settings(tmp_path)) if finding.topic == "modes"]

        assert [f"chmod 700 {tmp_path}", f"chmod 600 {segment}"] == [finding.cure for finding in found]

    def test_too_little_room(self, tmp_path: Path) -> None:
        """Less room than retention leaves is a warning."""
        settings = self.settings(tmp_path, CLEW_RETENTION_MIN_FREE="900000GiB")

        assert ["warning"] == [one.level for one in storage.examine_folder(settings) if one.topic == "disk"]

    @pytest.mark.parametrize(
        ("age_s", "bound", "level"), [(10, "1MiB", "ok"), (3600, "1MiB", "warning"), (10, "1000", "problem")]
    )
    def test_spool(self, tmp_path: Path, age_s: float, bound: str, level: str) -> None:
        """What waits in the spool is told; for long it is a warning, near the bound a problem."""
        segment = tmp_path / "spool" / "logs-shop-1-20260101T000000000000Z.jsonl"
        segment.parent.mkdir()
        segment.write_bytes(b"x" * 900)
        os.utime(segment, (time.time() - age_s,) * 2)

        (finding,) = storage.examine_spool(self.settings(tmp_path, CLEW_SPOOL_MAX_BYTES=bound))

        assert level == finding.level
        assert "0.0 MB in 1 file wait for the Collector" in finding.found

    def test_empty_spool(self, tmp_path: Path) -> None:
        """An empty spool is fine."""
        assert ["ok"] == [finding.level for finding in storage.examine_spool(self.settings(tmp_path))]


class TestCommand:
    """`clew doctor`."""

    def test_all_is_well(self, clew: Callable[..., Outcome], receiver: Receiver) -> None:
        """Without a problem the status is 0, and the last line counts."""
        outcome = clew("doctor", "--endpoint", receiver.http_endpoint)

        assert (0, "") == (outcome.status, outcome.err)
        assert outcome.out.splitlines()[-1].startswith("0 problems, ")
        assert (
            f"ok       logs            a probe by http/protobuf is accepted at {receiver.http_endpoint}/v1/logs"
            in outcome.out
        )

    def test_problem(self, clew: Callable[..., Outcome], free_port: int) -> None:
        """With a problem the status is 1, and its cure is told."""
        outcome = clew("doctor", "--endpoint", f"http://127.0.0.1:{free_port}")

        assert 1 == outcome.status
        assert f"problem  endpoint        127.0.0.1:{free_port} cannot be reached: Connection refused\n" in outcome.out
        assert "cure: start a Collector there" in outcome.out

    def test_data(self, clew: Callable[..., Outcome], free_port: int) -> None:
        """With `--json` a program gets the findings and how many are bad."""
        outcome = clew("doctor", "--endpoint", f"http://127.0.0.1:{free_port}", "--json")

        data = json.loads(outcome.out)
        assert (1, 1) == (outcome.status, data["problems"])
        assert {"topic", "level", "found", "cure"} == set(data["findings"][0])

    def test_offline(self, clew: Callable[..., Outcome], receiver: Receiver) -> None:
        """With `--offline` nothing is sent."""
        outcome = clew("doctor", "--endpoint", receiver.http_endpoint, "--offline")

        assert (0, []) == (outcome.status, list(receiver.requests))

    def test_secrets(self, clew: Callable[..., Outcome], receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        """No planted secret is printed."""
        monkeypatch.setenv("CLEW_CORRELATION_KEY", "planted-1")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=planted-2")
        url = receiver.http_endpoint.replace("http://", "http://ann:planted-3@")

        assert "planted" not in clew("doctor", "--endpoint", url).out + clew("doctor", "--endpoint", url, "--json").out

    def test_hostile_environment(self, clew: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever the variables hold, there are findings and no traceback."""
        for name in ("ENDPOINT", "PROTOCOL", "HEADERS", "CERTIFICATE", "CLIENT_KEY", "LOGS_ENDPOINT"):
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", "http://[::1:\udcff%,=;\n")
        monkeypatch.setenv("OTEL_PROPAGATORS", "\x1b[2J,,=")
        monkeypatch.setenv("OTEL_CONFIG_FILE", "x" * 5000)

        outcome = clew("doctor")

        assert 1 == outcome.status
        assert "Traceback" not in outcome.out + outcome.err
        assert "\x1b" not in outcome.out
