"""Header capture and methods are as upstream has them, with less work."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os
if {ours}:
    from clew import header_capture
    header_capture.install(os.environ)
from opentelemetry.util.http import sanitize_method
from opentelemetry.instrumentation import wsgi
environ = {{"HTTP_X_TENANT": "a", "HTTP_ACCEPT": "b"}}
print([sanitize_method(method) for method in ("GET", "get", "BREW", None, "GET")])
print(wsgi.collect_custom_request_headers_attributes(environ))
print(wsgi.collect_custom_response_headers_attributes([("x-tenant", "a"), ("x-tenant", "b")]))
"""


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Tenant"},
        {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "x-.*"},
        {"OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": "true"},
    ],
    ids=lambda environ: next(iter(environ), "none"),
)
def test_what_is_captured_is_upstreams(environ: dict[str, str]) -> None:
    """Methods and headers come out the same, whatever is asked for."""

    def output(*, ours: bool) -> str:
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(ours=ours)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout

    assert output(ours=False) == output(ours=True)
