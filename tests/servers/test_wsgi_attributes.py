"""What a span and its metrics say of a WSGI request is what upstream's instrumentation says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation import wsgi as upstream
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.sdk.trace import TracerProvider

from clew.servers import wsgi_attributes

_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0xFF), max_size=12)
_PORTS = st.sampled_from(["80", "8000", "0", ""])
_ENVIRONS = st.fixed_dictionaries(
    {},
    optional={
        "REQUEST_METHOD": st.sampled_from(["GET", "get", "FOO", " PUT ", ""]),
        "wsgi.url_scheme": st.sampled_from(["http", "https", ""]),
        "HTTP_HOST": _TEXTS,
        "SERVER_PORT": _PORTS,
        "RAW_URI": _TEXTS,
        "REQUEST_URI": _TEXTS,
        "PATH_INFO": _TEXTS,
        "QUERY_STRING": _TEXTS,
        "REMOTE_ADDR": st.sampled_from(["127.0.0.1", "::1", ""]),
        "REMOTE_HOST": st.sampled_from(["127.0.0.1", "shop", ""]),
        "REMOTE_PORT": _PORTS | st.just("odd") | st.integers(0, 9),
        "HTTP_USER_AGENT": _TEXTS | st.sampled_from(["Googlebot", "alwayson/1"]) | st.just(b"raw"),
        "SERVER_PROTOCOL": st.sampled_from(["HTTP/1.1", "http/2", "INCLUDED", "HTTP/", ""]),
    },
)


@given(_ENVIRONS)
def test_request_attributes_are_upstreams(environ: dict[str, Any]) -> None:
    """Each attribute that upstream collects is there with its value, and no other one."""
    expected = upstream.collect_request_attributes(environ, _StabilityMode.HTTP)

    assert expected == wsgi_attributes.request_attributes(environ)


@given(st.dictionaries(st.sampled_from([*wsgi_attributes._DURATION, "url.path", "server.port"]), st.integers()))
def test_metrics_attributes_are_upstreams(attributes: dict[str, Any]) -> None:
    """Of a span's attributes the metrics get those that upstream gives them."""
    expected = (
        upstream._parse_active_request_count_attrs(attributes, _StabilityMode.HTTP),
        upstream._parse_duration_attrs(attributes, _StabilityMode.HTTP),
    )

    assert expected == (wsgi_attributes.active_attributes(attributes), wsgi_attributes.duration_attributes(attributes))


@pytest.mark.parametrize("status", ["200 OK", "100 Continue", "404 Not Found", "499 Closed", "302 "])
def test_response_is_told_as_by_upstream(status: str) -> None:
    """An ordinary status is on the span and in the metric's attributes."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    theirs, ours = tracer.start_span("upstream"), tracer.start_span("ours")
    expected: dict[str, Any] = {}
    attributes: dict[str, Any] = {}

    upstream.add_response_attributes(theirs, status, [], expected, _StabilityMode.HTTP)

    assert wsgi_attributes.tell_response(ours, status, attributes)
    assert (theirs.attributes, theirs.status.status_code) == (ours.attributes, ours.status.status_code)  # type: ignore[attr-defined]
    assert expected == attributes


@pytest.mark.parametrize("status", ["500 Oops", "99 Odd", "abc def", ""])
def test_other_statuses_are_left(status: str) -> None:
    """What means an error, or nothing, is left to upstream."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("ours")

    assert not wsgi_attributes.tell_response(span, status, {})
