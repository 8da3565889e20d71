"""What upstream's variables say of an endpoint holds for all three signals: TLS, credentials, headers, addresses."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest
import trustme
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from clew.delivery.endpoints import make_transport
from clew.delivery.transport import Outcome
from programs import instrumented
from receiver import Identity, Receiver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAM = """
import logging
from opentelemetry import metrics, trace
logging.basicConfig(stream=open("console.txt", "w"))
with trace.get_tracer("shop").start_as_current_span("order"):
    logging.getLogger("shop").error("no shelf")
metrics.get_meter("shop").create_counter("orders").add(1)
"""

PROVIDER = """
import os, grpc, requests
from pathlib import Path

def session():
    session = requests.Session()
    session.headers["Authorization"] = "Bearer of the session"
    return session

def basic():
    session = requests.Session()
    session.auth = ("shop", "of the session")
    return session

def channel():
    secure = grpc.ssl_channel_credentials(Path(os.environ["AUTHORITY"]).read_bytes())
    return grpc.composite_channel_credentials(secure, grpc.access_token_call_credentials("of the channel"))
"""

PROTOCOLS = ("http/protobuf", "http/json", "grpc")
SIGNALS = {"traces", "logs", "metrics"}


class Certificates:
    """A certificate authority, a server of its and a client of its, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("shop.test")
        self.authority = folder / "authority.pem"
        self.server, self.server_key = folder / "server.pem", folder / "server.key"
        self.client, self.client_key = folder / "client.pem", folder / "client.key"
        authority.cert_pem.write_to_path(str(self.authority))
        for issued, certificate, key in (
            (server, self.server, self.server_key),
            (client, self.client, self.client_key),
        ):
            issued.cert_chain_pems[0].write_to_path(str(certificate))
            issued.private_key_pem.write_to_path(str(key))

    def identity(self, *, asks: bool) -> Identity:
        """Return what the server shows, and whether it asks for the client's."""
        return Identity(self.server, self.server_key, self.authority if asks else None)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Make them anew."""
    return Certificates(tmp_path)


def _run(receiver: Receiver, folder: Path, protocol: str, environ: Mapping[str, str]) -> str:
    """Run the program, and return what it wrote to stderr."""
    (folder / "shop.py").write_text(PROGRAM)
    with instrumented(
        ["python", "shop.py"], receiver=receiver, cwd=folder, protocol=protocol, environ=environ
    ) as process:
        _, error = process.communicate(timeout=60)
    assert 0 == process.returncode
    return error.decode()


def _arrived(receiver: Receiver) -> set[str]:
    return {request.signal for request in receiver.requests}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls(certificates: Certificates, tmp_path: Path, protocol: str) -> None:
    """A server whose certificate OTEL_EXPORTER_OTLP_CERTIFICATE vouches for gets all."""
    with Receiver(identity=certificates.identity(asks=False)) as receiver:
        error = _run(receiver, tmp_path, protocol, {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.authority)})

        assert ("", SIGNALS) == (error, _arrived(receiver))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_for_all_else(certificates: Certificates, tmp_path: Path, variable: str) -> None:
    """It vouches for the server also where the program's other requests have a bundle of their own."""
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.authority), variable: str(certificates.client)}
    with Receiver(identity=certificates.identity(asks=False)) as receiver:
        error = _run(receiver, tmp_path, "http/protobuf", environ)

        assert ("", SIGNALS) == (error, _arrived(receiver))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_both_sides_show_certificates(certificates: Certificates, tmp_path: Path, protocol: str) -> None:
    """A server that asks for a client's certificate gets the one of OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE."""
    environ = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.authority),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificates.client),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(certificates.client_key),
    }
    with Receiver(identity=certificates.identity(asks=True)) as receiver:
        error = _run(receiver, tmp_path, protocol, environ)

        assert ("", SIGNALS) == (error, _arrived(receiver))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_nobody_vouches_for_gets_nothing(
    certificates: Certificates, tmp_path: Path, protocol: str
) -> None:
    """The records stay on disk, one line says so, and the program ends well."""
    with Receiver(identity=certificates.identity(asks=False)) as receiver:
        error = _run(receiver, tmp_path, protocol, {})

        assert set() == _arrived(receiver)
    assert re.search(
        r"^clew: Collector 127\.0\.0\.1:\d+ has a certificate that nobody vouches for", error, re.MULTILINE
    )
    assert any((tmp_path / "clew" / "spool").rglob("*logs*"))


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (dict.fromkeys(("HEADERS", "INSECURE", "TIMEOUT", "CERTIFICATE", "COMPRESSION", "LOGS_ENDPOINT"), ""), ""),
        ({"COMPRESSION": "none"}, ""),
        ({"TIMEOUT": "10s"}, "clew: OTEL_EXPORTER_OTLP_TIMEOUT='10s' is no number of seconds; the default holds\n"),
    ],
)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_no_value_stops_telemetry(
    protocol: str, variables: dict[str, str], told: str, receiver: Receiver, tmp_path: Path
) -> None:
    """Variables that are empty, say "none" or say nothing that can be understood leave the rest as it is."""
    environ = {f"OTEL_EXPORTER_OTLP_{name}": text for name, text in variables.items()}

    assert (told, SIGNALS) == (_run(receiver, tmp_path, protocol, environ), _arrived(receiver))


def test_variables_stay_as_they_are(receiver: Receiver, tmp_path: Path) -> None:
    """What upstream is spared, the program and its children still find in their environment."""
    program = "import os; assert ('none', '') == tuple(os.environ['OTEL_EXPORTER_OTLP_' + n] for n in NAMES)\n"
    (tmp_path / "shop.py").write_text(program.replace("NAMES", "('COMPRESSION', 'TIMEOUT')"))
    environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_TIMEOUT": ""}
    with instrumented(
        ["python", "shop.py"], receiver=receiver, cwd=tmp_path, protocol="grpc", environ=environ
    ) as process:
        _, error = process.communicate(timeout=60)

    assert (0, b"") == (process.returncode, error)


@pytest.fixture
def providers(tmp_path: Path) -> dict[str, str]:
    """Install credential providers where the program finds them, and return the variable that says where."""
    folder = tmp_path / "site"
    described = folder / "shop_credentials-1.dist-info"
    described.mkdir(parents=True)
    (folder / "shop_credentials.py").write_text(PROVIDER)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-credentials\nVersion: 1\n")
    (described / "entry_points.txt").write_text(
        "[opentelemetry_otlp_credential_provider]\nsession = shop_credentials:session\nbasic = shop_credentials:basic\n"
        "channel = shop_credentials:channel\n"
    )
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("protocol", PROTOCOLS[:2])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("session", "Bearer of the session"),
        ("basic", "Basic " + base64.b64encode(b"shop:of the session").decode()),
    ],
)
def test_credential_provider(
    providers: dict[str, str], receiver: Receiver, tmp_path: Path, protocol: str, name: str, expected: str
) -> None:
    """What a credential provider's session adds to requests is on each of them."""
    environ = {**providers, "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": name}

    error = _run(receiver, tmp_path, protocol, environ)

    assert ("", SIGNALS) == (error, _arrived(receiver))
    assert {expected} == {request.headers["authorization"] for request in receiver.requests}


def test_credential_provider_of_one_signal(providers: dict[str, str], receiver: Receiver, tmp_path: Path) -> None:
    """A provider for one signal's requests is asked for no other's."""
    environ = {**providers, "OTEL_PYTHON_EXPORTER_OTLP_HTTP_LOGS_CREDENTIAL_PROVIDER": "session"}

    assert "" == _run(receiver, tmp_path, "http/protobuf", environ)
    assert {("logs", "Bearer of the session"), ("traces", ""), ("metrics", "")} == {
        (request.signal, request.headers.get("authorization", "")) for request in receiver.requests
    }


def test_credential_provider_of_a_channel(
    providers: dict[str, str], certificates: Certificates, tmp_path: Path
) -> None:
    """What a credential provider gives for gRPC's channel secures it and is on each call."""
    environ = {
        **providers,
        "OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER": "channel",
        "AUTHORITY": str(certificates.authority),
    }
    with Receiver(identity=certificates.identity(asks=False)) as receiver:
        error = _run(receiver, tmp_path, "grpc", environ)

        assert ("", SIGNALS) == (error, _arrived(receiver))
        assert {"Bearer of the channel"} == {request.headers["authorization"] for request in receiver.requests}


def test_each_signal_by_its_own_way(receiver: Receiver, tmp_path: Path) -> None:
    """Endpoint, protocol, headers and compression of one signal win over those of all."""
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=all",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{receiver.http_endpoint}/",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": receiver.grpc_endpoint,
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.http_endpoint}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-tenant=of%20traces",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none",
    }

    assert "" == _run(receiver, tmp_path, "http/protobuf", environ)
    assert {
        ("traces", "http/json", "of traces", ""),
        ("logs", "grpc", "all", ""),
        ("metrics", "http/protobuf", "all", "gzip"),
    } == {
        (item.signal, item.protocol, item.headers["x-tenant"], item.headers.get("content-encoding", ""))
        for item in receiver.requests
    }


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({"ENDPOINT": "{url}"}, ["/v1/traces", "/v1/logs", "/v1/metrics"]),
        ({"ENDPOINT": "{url}/"}, ["/v1/traces", "/v1/logs", "/v1/metrics"]),
        ({"ENDPOINT": "{url}/to/a%20b/"}, ["/to/a%20b/v1/traces", "/to/a%20b/v1/logs", "/to/a%20b/v1/metrics"]),
        ({"ENDPOINT": "{url}/a b"}, ["/a%20b/v1/traces", "/a%20b/v1/logs", "/a%20b/v1/metrics"]),
        (
            {"ENDPOINT": "{url}", "LOGS_ENDPOINT": "{url}/in/v1/logs?key=a"},
            ["/v1/traces", "/in/v1/logs?key=a", "/v1/metrics"],
        ),
    ],
)
def test_paths(
    variables: dict[str, str], paths: list[str], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows the endpoint for all signals is below its path; one signal's own is used as it is."""
    for name, text in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", text.format(url=receiver.http_endpoint))
    exporters = {"traces": OTLPSpanExporter(), "logs": OTLPLogExporter(), "metrics": OTLPMetricExporter()}
    for signal, exporter in exporters.items():
        transport = make_transport(exporter, signal)
        assert transport is not None
        assert Outcome("accepted") == transport.send(b"", 5)
        transport.close()

    assert paths == [request.headers[":path"] for request in receiver.requests]


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_proxy(receiver: Receiver, tmp_path: Path, variable: str) -> None:
    """Requests go by the proxy, with its password, whether or not the Collector's name can be found from here."""
    environ = {
        variable: receiver.http_endpoint.replace("//", "//shop:secret@"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318",
    }

    assert "" == _run(receiver, tmp_path, "http/protobuf", environ)
    password = "Basic " + base64.b64encode(b"shop:secret").decode()
    assert {(f"http://collector.invalid:4318/v1/{signal}", password) for signal in SIGNALS} == {
        (item.headers[":path"], item.headers["proxy-authorization"]) for item in receiver.requests
    }


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_no_proxy(receiver: Receiver, tmp_path: Path, protocol: str) -> None:
    """Where NO_PROXY names the Collector's host, no proxy is asked."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:1")
    environ = {**nowhere, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    assert ("", SIGNALS) == (_run(receiver, tmp_path, protocol, environ), _arrived(receiver))


def test_insecure(receiver: Receiver, certificates: Certificates, tmp_path: Path) -> None:
    """For gRPC without a scheme OTEL_EXPORTER_OTLP_INSECURE says whether it is TLS, for one signal or for all."""
    with Receiver(identity=certificates.identity(asks=False)) as secure:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{receiver.grpc_port}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"127.0.0.1:{secure.grpc_port}",
            "OTEL_EXPORTER_OTLP_LOGS_INSECURE": "false",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.authority),
        }
        assert "" == _run(receiver, tmp_path, "grpc", environ)

        assert ({"logs"}, {"traces", "metrics"}) == (_arrived(secure), _arrived(receiver))


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_timeout(protocol: str, receiver: Receiver, tmp_path: Path) -> None:
    """OTEL_EXPORTER_OTLP_TIMEOUT is seconds, as upstream reads it; one signal's own goes before it."""
    program = PROGRAM + "import time; time.sleep(5); print(time.time(), flush=True)"
    receiver.hang(30)
    (tmp_path / "shop.py").write_text(program)
    environ = {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
        "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "0.3",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "CLEW_SHUTDOWN_TIMEOUT": "2",
        "CLEW_DURABLE_LEVEL": "off",
    }
    with instrumented(
        ["python", "shop.py"], receiver=receiver, cwd=tmp_path, protocol=protocol, environ=environ, stderr=-2
    ) as process:
        lines = process.communicate(timeout=60)[0].decode().splitlines()
    receiver.stop()

    assert lines[0].startswith("clew: Collector 127.0.0.1:")
    assert lines[0].partition(";")[0].endswith("does not answer")
    float(lines[1])
