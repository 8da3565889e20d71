"""Flask's requests are told of as upstream's instrumentation tells of them."""

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

PROGRAM = Path(__file__).parent / "programs" / "flask_corpus.py"


def _run(way: str, environ: Mapping[str, str] | None = None) -> Any:
    command, environ = [sys.executable, PROGRAM, way], {**os.environ, **(environ or {})}
    output = subprocess.run(command, env=environ, capture_output=True, check=False, timeout=120, text=True)
    assert (0, "") == (output.returncode, output.stderr)
    return json.loads(output.stdout)


@pytest.fixture(scope="module")
def corpus() -> dict[str, Any]:
    """Return what came of the corpus plain, under upstream's functions and under ours."""
    return {way: _run(way) for way in ("plain", "upstream", "clew")}


def _column(corpus: dict[str, Any], way: str, index: int) -> dict[str, Any]:
    return {name: row[index] for name, row in corpus[way]["requests"].items()}


def _spans(corpus: dict[str, Any], way: str, *, streamed: bool) -> dict[str, Any]:
    return {name: told for name, told in _column(corpus, way, 1).items() if streamed is ("/stream" in name)}


def test_answers_are_upstreams(corpus: dict[str, Any]) -> None:
    """Status, headers, body, and exceptions that reach the server, through the same functions."""
    assert _column(corpus, "upstream", 0) == _column(corpus, "clew", 0)


def test_answers_are_those_of_the_plain_application(corpus: dict[str, Any]) -> None:
    """Status, body and exceptions are as without telemetry; the headers have the IDs in addition."""
    plain, clew = (
        {
            name: [part for part in sent if not (isinstance(part, list) and "content-type" in part)]
            for name, sent in column.items()
        }
        for column in (_column(corpus, "plain", 0), _column(corpus, "clew", 0))
    )

    assert plain == clew


def test_spans_are_upstreams(corpus: dict[str, Any]) -> None:
    """Names, kinds, parents, statuses, attributes, events and scopes of all spans, nested ones too."""
    assert _spans(corpus, "upstream", streamed=False) == _spans(corpus, "clew", streamed=False)


def test_streamed_parts_are_in_the_trace(corpus: dict[str, Any]) -> None:
    """What is done while a response is streamed has the request's span above it; upstream begins a trace for each."""
    upstream, clew = (_spans(corpus, way, streamed=True) for way in ("upstream", "clew"))

    assert [[None, None, None]] * len(upstream) == [[each[-1] for each in told] for told in upstream.values()]
    assert [[None, told[0][0], told[0][0]] for told in clew.values()] == [
        [each[-1] for each in told] for told in clew.values()
    ]
    assert [told[0] for told in upstream.values()] == [told[0] for told in clew.values()]


def test_hooks_are_called(corpus: dict[str, Any]) -> None:
    """The user's hooks see each request and response."""
    assert _column(corpus, "upstream", 2) == _column(corpus, "clew", 2)


def test_no_span_stays_current(corpus: dict[str, Any]) -> None:
    """After each request nothing of it is left in its thread."""
    assert [] == [name for name, left in _column(corpus, "clew", 3).items() if not left]


def test_metrics_are_upstreams(corpus: dict[str, Any]) -> None:
    """Instruments, attributes and counts."""
    assert corpus["upstream"]["points"] == corpus["clew"]["points"]


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "/items/1.*,/absent"},
        {
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "host",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "content-.*",
        },
        {"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup"},
    ],
    ids=["excluded", "captured", "old names too"],
)
def test_variables_hold(environ: dict[str, str]) -> None:
    """What the user excludes, captures or names otherwise is as under upstream."""
    corpus = {way: _run(way, environ) for way in ("upstream", "clew")}

    assert _spans(corpus, "upstream", streamed=False) == _spans(corpus, "clew", streamed=False)
    assert [_column(corpus, "upstream", index) for index in (0, 2, 3)] == [
        _column(corpus, "clew", index) for index in (0, 2, 3)
    ]
    assert corpus["upstream"]["points"] == corpus["clew"]["points"]
