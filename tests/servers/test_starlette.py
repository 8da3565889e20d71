"""Starlette's and FastAPI's requests are told of as upstream's middleware tells of them, without being in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(__file__).parent / "programs" / "asgi_corpus.py"
OURS = {"access-control-expose-headers", "traceresponse", "x-correlation-id"}
"""Headers that carry the IDs of a response."""


@pytest.fixture(scope="module")
def corpus() -> dict[str, Any]:
    """Return what came of the corpus plain, under upstream's instrumentations and under ours."""
    return {way: _run(way) for way in ("plain", "upstream", "clew")}


def _run(way: str, environ: Mapping[str, str] | None = None) -> Any:
    command, environ = [sys.executable, PROGRAM, way], {**os.environ, **(environ or {})}
    output = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=120, text=True)
    assert "" == output.stderr
    return json.loads(output.stdout)


def _answers(result: dict[str, Any]) -> dict[str, Any]:
    """Return each request's messages without the headers that are ours."""
    return {name: [_without_ours(message) for message in sent] for name, (sent, _) in result["requests"].items()}


def _without_ours(message: list[Any]) -> list[Any]:
    kind, *rest = message
    return (
        [kind, rest[0], sorted(set(rest[1]) - OURS), rest[2]] if kind.startswith(("http.", "websocket.")) else message
    )


def test_answers_and_tracebacks_are_those_of_the_plain_application(corpus: dict[str, Any]) -> None:
    """Messages, and the frames of every exception that reaches the server, are as without any telemetry."""
    assert _answers(corpus["plain"]) == _answers(corpus["clew"])


def test_spans_are_upstreams(corpus: dict[str, Any]) -> None:
    """Names, kinds, parents, statuses, attributes, events and scopes of all spans are upstream's.

    One thing upstream does not see: that Starlette answers 500 for an exception.
    """
    expected = {name: spans for name, (_, spans) in corpus["upstream"]["requests"].items()}
    told = {name: spans for name, (_, spans) in corpus["clew"]["requests"].items()}
    failed = next(name for name in told if name.startswith("starlette GET /fail "))
    seen = [["error.type", "500"], ["http.response.status_code", 500]]

    assert sorted([*expected.pop(failed)[0][4], *seen]) == told.pop(failed)[0][4]
    assert expected == told


def test_every_response_carries_its_ids(corpus: dict[str, Any]) -> None:
    """Each response that begins has the headers, an application's own `X-Correlation-ID` once."""
    starts = [
        message
        for name, (sent, _) in corpus["clew"]["requests"].items()
        for message in sent
        if message[0] == "http.response.start" and not name.endswith("suppressed")
    ]

    assert [message[:2] for message in starts] == [message[:2] for message in starts if OURS <= set(message[2])]
    assert {1} == {message[2].count("x-correlation-id") for message in starts}


def test_metrics_are_upstreams(corpus: dict[str, Any]) -> None:
    """Instruments, attributes, counts and sizes are upstream's, save where upstream is wrong.

    Upstream gives a streamed response the size of the response before it, and a failed one no status.
    """
    wrong, right = (
        [
            point
            for point in corpus[way]["points"]
            if ["http.route", "/stream"] not in point[3] and ["http.route", "/fail"] not in point[3]
        ]
        for way in ("upstream", "clew")
    )
    sizes = [point for point in corpus["clew"]["points"] if point[2] == "By" and ["http.route", "/stream"] in point[3]]

    assert ([], wrong) == (sizes, right)


CHOICES = {
    "excluded": ({"OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": "/items/1.*,/absent"}, ["GET /busy"]),
    "captured": (
        {
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "host",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "content-.*",
        },
        ["GET /items/{number:int}", "GET /busy"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES)
def test_variables_hold(choice: str) -> None:
    """URLs that the user excludes get no span, and headers that the user wants are on the spans, as under upstream."""
    environ, names = CHOICES[choice]
    upstream, clew = (
        {
            name: spans
            for name, (_, spans) in _run(way, environ)["requests"].items()
            if name.startswith(("fastapi GET /items/17 [('host', 'shop.example:8000')]", "fastapi GET /busy"))
        }
        for way in ("upstream", "clew")
    )

    assert upstream == clew
    assert set(names) == {span[0] for spans in clew.values() for span in spans if span[1] == "SERVER"}


def test_what_the_program_instruments_is_left_to_upstream(corpus: dict[str, Any]) -> None:
    """Applications that the program has instrumented itself have upstream's spans and answers, and no second ones."""
    assert corpus["upstream"] == _run("both")
