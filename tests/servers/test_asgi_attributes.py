"""What a span says of an ASGI scope is what upstream's instrumentation says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation import asgi as upstream
from opentelemetry.instrumentation._semconv import _StabilityMode

from clew.servers.asgi_attributes import headers_of, request_attributes, text_of, url_of

_SERVER = {"server.address": "shop", "server.port": 80}
_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=12)
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"host", b"Host", b"user-agent", b"User-Agent", b"content-length", b"x"]),
        _TEXTS.map(str.encode) | st.sampled_from([b"Googlebot", b"alwayson/1", b""]),
    ),
    max_size=6,
)
_SCOPES = st.fixed_dictionaries(
    {"type": st.just("http"), "headers": _HEADERS, "path": _TEXTS},
    optional={
        "method": st.sampled_from(["GET", "get", "FOO", " PUT ", ""]),
        "scheme": st.sampled_from(["http", "https", ""]),
        "server": st.none() | st.tuples(st.sampled_from(["127.0.0.1", "::1", "shop"]), st.integers(0, 65535)),
        "client": st.none() | st.tuples(st.sampled_from(["127.0.0.1", ""]), st.integers(0, 65535)),
        "http_version": st.sampled_from(["1.0", "1.1", "2", ""]),
        "query_string": _TEXTS.map(str.encode) | _TEXTS,
    },
)


@given(_SCOPES)
def test_attributes_are_upstreams(scope: dict[str, Any]) -> None:
    """Each attribute that upstream collects is there with its value, in its order or another, and no other one."""
    expected = upstream.collect_request_attributes(scope, _StabilityMode.HTTP)

    assert expected == request_attributes(scope, headers_of(scope))


@given(_SCOPES)
def test_url_is_upstreams(scope: dict[str, Any]) -> None:
    """The URL that is compared with the excluded ones is upstream's."""
    assert upstream.get_host_port_url_tuple(scope)[2] == url_of(scope, headers_of(scope))


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"server": ("/run/shop.sock", None)}, {"server.address": "/run/shop.sock"}),
        ({"path": "/", "query_string": b"a=\xff"}, {**_SERVER, "url.path": "/", "url.query": "a=\ufffd"}),
        ({"headers": iter([(b"user-agent", b"\xff\\")])}, {**_SERVER, "user_agent.original": "\xff\\"}),
    ],
    ids=["unix socket", "query", "header"],
)
def test_what_upstream_fails_at(scope: dict[str, Any], expected: dict[str, Any]) -> None:
    """A socket without a port, bytes that are no UTF-8 and headers that are no list do not fail the request."""
    assert expected == request_attributes({"server": ("shop", 80), **scope}, headers_of(scope))


def test_text() -> None:
    """A header's bytes are UTF-8, or else Latin-1."""
    assert ("é", "\xff") == (text_of("é".encode()), text_of(b"\xff"))
