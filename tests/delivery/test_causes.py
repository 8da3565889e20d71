"""A person is told why a Collector takes nothing, where that can be known, and never a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from pipelines import make_delivery, make_span, stored_records
from test_endpoint_variables import Certificates

from clew.delivery.endpoints import make_transport
from receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "OTEL_EXPORTER_OTLP_"


def tell(exporter: object, folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Send a span by what `exporter` stands for, see that it is kept, and return what was told of the Collector."""
    transport = make_transport(exporter, "traces")
    assert transport is not None
    delivery = make_delivery(folder)
    delivery.add_collector("traces", transport)
    delivery.put_span(make_span("kept"))
    assert delivery.flush(30)
    delivery.close(2)

    assert {"traces": 1} == stored_records(folder)
    error = capfd.readouterr().err
    assert "secret" not in error
    found = re.search(r"clew: Collector (\S+) (.*); keeping records in \S+\n", error)
    assert found is not None, error
    return found[2]


HTTP = "does not speak HTTP (see OTEL_EXPORTER_OTLP_PROTOCOL)"
GRPC = "does not speak gRPC (see OTEL_EXPORTER_OTLP_PROTOCOL)"
TLS = "does not speak TLS (see the https in its endpoint)"
HEADERS = "is not asked: OTEL_EXPORTER_OTLP_HEADERS has what no header can hold"
SCHEME = "is not asked: its endpoint does not begin with http:// or https://"
PROXY = "is not reached by the proxy that HTTP_PROXY or HTTPS_PROXY names"
NAME = "is not found by its name"
SILENT = "does not answer"


@pytest.mark.parametrize(
    ("exporter", "endpoint", "variables", "expected"),
    [
        (OTLPSpanExporter, "{grpc}", {}, HTTP),
        (GrpcSpanExporter, "{http}", {}, GRPC),
        (OTLPSpanExporter, "https://{http_place}", {}, TLS),
        (GrpcSpanExporter, "https://{grpc_place}", {}, TLS),
        (OTLPSpanExporter, "{http}", {"HEADERS": "token=secret%0Atoken"}, HEADERS),
        (OTLPSpanExporter, "{http}", {"HEADERS": "token=secret%E4%BD%A0"}, HEADERS),
        (OTLPSpanExporter, "https://{http_place}", {"HEADERS": "token=secret%0Atoken"}, HEADERS),
        (GrpcSpanExporter, "{grpc}", {"HEADERS": "token=secret%0Atoken"}, HEADERS),
        (GrpcSpanExporter, "{grpc}", {"HEADERS": "token=secret%C3%A9"}, HEADERS),
        (OTLPSpanExporter, "{http_place}", {}, SCHEME),
        (OTLPSpanExporter, "user:secret@collector", {}, SCHEME),
        (OTLPSpanExporter, "ftp://user:secret@collector", {}, SCHEME),
        (OTLPSpanExporter, "http://collector.invalid", {}, NAME),
        (OTLPSpanExporter, "https://collector.invalid", {}, NAME),
        (GrpcSpanExporter, "http://collector.invalid", {}, NAME),
        (OTLPSpanExporter, "http://127.0.0.1:1/?key=secret", {}, SILENT),
        (GrpcSpanExporter, "http://127.0.0.1:1", {}, SILENT),
    ],
)
def test_cause(
    exporter: Any,
    endpoint: str,
    variables: Mapping[str, str],
    expected: str,
    receiver: Receiver,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an endpoint or a header makes impossible is named with its variable, and the records are kept."""
    places = {"http": receiver.http_endpoint, "grpc": receiver.grpc_endpoint}
    places |= {f"{name}_place": url.partition("//")[2] for name, url in places.items()}
    monkeypatch.setenv(f"{PREFIX}ENDPOINT", endpoint.format(**places))
    for name, text in variables.items():
        monkeypatch.setenv(PREFIX + name, text)

    assert expected == tell(exporter(), tmp_path, capfd)


def test_proxy(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that does not answer is told from a Collector that does not."""
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:1")

    assert PROXY == tell(OTLPSpanExporter("http://collector.test/v1/traces"), tmp_path, capfd)


ASKS = "asks for a certificate (see OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)"
FILES = "is not asked: a file of OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE or _CLIENT_KEY cannot be used"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"CERTIFICATE": "nowhere.pem"}, FILES),
        ({"CERTIFICATE": "server.key"}, FILES),
        ({"CERTIFICATE": "authority.pem", "CLIENT_CERTIFICATE": "nowhere.pem"}, FILES),
        ({"CERTIFICATE": "authority.pem", "CLIENT_CERTIFICATE": "client.pem", "CLIENT_KEY": "server.key"}, FILES),
        ({"CERTIFICATE": "authority.pem", "CLIENT_CERTIFICATE": "authority.pem"}, FILES),
        # In TLS 1.3 the client has begun to send when the server refuses it, and may not get to read why.
        ({"CERTIFICATE": "authority.pem"}, f"{ASKS}|{SILENT}"),
        ({}, "has a certificate that nobody vouches for (see OTEL_EXPORTER_OTLP_CERTIFICATE)"),
    ],
)
def test_certificates(
    files: Mapping[str, str],
    expected: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So is a certificate that is missing, broken, or not believed."""
    certificates = Certificates(tmp_path)
    for name, file in files.items():
        monkeypatch.setenv(PREFIX + name, str(tmp_path / file))
    with Receiver(identity=certificates.identity(asks=True)) as receiver:
        monkeypatch.setenv(f"{PREFIX}ENDPOINT", receiver.http_endpoint)

        assert tell(OTLPSpanExporter(), tmp_path, capfd) in expected.split("|")
