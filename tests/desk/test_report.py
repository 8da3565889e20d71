"""`clew report` tells what the files hold, on one page that nothing out of telemetry can break out of."""

from __future__ import annotations

import html.parser
import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.desk.options import Place
from clew.desk.report.contents import MAX_SLOWEST, Selection, collect
from clew.desk.report.markup import Markup, escape, script_data, tag
from clew.desk.report.page import render
from clew.desk.report.requests import MAX_LOGS, MAX_SPANS
from otlp_lines import STACKTRACE, counter, log, logs_line, metrics_line, span, spans_line, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[2J\u202e"


class _Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._quiet = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._quiet = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]

    def links(self) -> list[str]:
        return [attributes.get("href") or "" for name, attributes in self.elements if name == "a"]


def page_of(*paths: Path) -> _Elements:
    """Return the report on files."""
    return _Elements(render(collect(Place(paths), Selection())))


class TestContents:
    """What stands on the page."""

    def test_failing_request(self, shop: Path) -> None:
        """The failing request is there by its root cause, in tables, as a group, and whole with its logs."""
        page = page_of(shop)

        for told in (
            "payments.gateway.CardDeclined card declined",
            "Begins in payments · POST /charge",
            "Told in shop, orders",
            "Failures 1, told by 7 records",
            "root cause POST /charge payments",
            "INFO 3 items reserved",
            "Files 4, 0.0 MB",
        ):
            assert told in page.text
        assert "#request-1" in page.links()

    def test_links_lead_somewhere(self, shop: Path) -> None:
        """Every link is to a place on the page, and no place is there twice."""
        page = page_of(shop)

        assert len(set(page.ids())) == len(page.ids())
        assert set() == {link.removeprefix("#") for link in page.links()} - set(page.ids())

    def test_percentiles_are_of_spans(self, tmp_path: Path) -> None:
        """Percentiles are the durations of spans themselves, not bounds of buckets."""
        spans = [
            span(f"{number:016x}", "GET /", end=number, kind=2, trace_id=f"{number:032x}") for number in range(1, 101)
        ]
        path = write(tmp_path / "traces.jsonl", spans_line("shop", *spans))

        requests = collect(Place((path,)), Selection()).analysis.requests

        assert (50_000_000, 95_000_000, 99_000_000, 100_000_000) == (
            requests.p50_ns,
            requests.p95_ns,
            requests.p99_ns,
            requests.longest_ns,
        )

    def test_failing_requests_by_their_entry(self, tmp_path: Path) -> None:
        """A request that failed in several services stands in the list once, by the call that came in from outside."""
        path = write(
            tmp_path / "traces.jsonl",
            spans_line("shop", span("a" * 16, "POST /orders", kind=2, end=9, failed=True)),
            spans_line("pay", span("b" * 16, "POST /charge", parent="a" * 16, kind=2, begin=2, end=7, failed=True)),
        )

        failing = collect(Place((path,)), Selection()).failing

        assert [("shop", "POST /orders")] == [(example.service, example.name) for example in failing]

    def test_slowest_are_different_requests(self, tmp_path: Path) -> None:
        """A request stands in the list once, by its slowest part, however many services it went through."""
        spans = [
            span(f"{trace:08x}{part:08x}", f"part {part}", end=1000 * trace - part, kind=2, trace_id=f"{trace:032x}")
            for trace in range(1, 5)
            for part in range(3)
        ]
        path = write(tmp_path / "traces.jsonl", spans_line("shop", *spans))

        slowest = collect(Place((path,)), Selection()).slowest

        assert [(4, "part 0"), (3, "part 0"), (2, "part 0"), (1, "part 0")] == [
            (int(example.trace_id, 16), example.name) for example in slowest
        ]

    def test_large_request_is_bounded(self, tmp_path: Path) -> None:
        """Of a request with thousands of records those that failed and the longest are shown; the rest is counted."""
        root = span("a" * 16, "root", end=9000, kind=2)
        spans = [span(f"{number:016x}", "step", parent="a" * 16, end=number) for number in range(1, 2001)]
        spans[0]["status"] = {"code": 2}
        logs = [log(f"line {number}", ms=number, span_id="a" * 16) for number in range(500)]
        write(tmp_path / "x" / "traces.jsonl", spans_line("shop", root, *spans))
        write(tmp_path / "x" / "logs.jsonl", logs_line("shop", *logs))

        (story,) = collect(Place((tmp_path / "x",)), Selection()).stories

        assert (MAX_SPANS, MAX_LOGS) == (len(story.trace.spans), len(story.trace.logs))
        assert {"a" * 16, f"{1:016x}", f"{2000:016x}"} <= {one.span_id for one in story.trace.spans}
        assert "line 0" == story.trace.logs[0].message
        assert 2001 - MAX_SPANS + 500 - MAX_LOGS == story.trace.omitted

    def test_repeats_count_once(self, shop: Path, tmp_path: Path) -> None:
        """What a replay wrote a second time changes no number."""
        (tmp_path / "telemetry" / "traces-again.jsonl").write_bytes((shop / "traces-orders.jsonl").read_bytes())

        contents = collect(Place((shop,)), Selection())

        assert (6, 3, 1) == (contents.analysis.spans, contents.analysis.requests.count, len(contents.stories))
        assert 6 == len(contents.stories[0].trace.spans)

    def test_selection(self, shop: Path) -> None:
        """Period and services choose what is counted."""
        only = collect(Place((shop,)), Selection(services=frozenset({"orders"})))
        none = collect(Place((shop,)), Selection(until_ns=1))

        assert (3, ("orders",)) == (only.analysis.spans, only.analysis.services)
        assert (0, 0) == (none.analysis.spans, none.log_records)

    def test_own_metrics(self, tmp_path: Path) -> None:
        """Records that were lost and CPU time are told by signal and reason."""
        lost = counter("clew.delivery.records", 7, signal="logs", outcome="dropped", reason="queue_full")
        cpu = counter("clew.overhead.cpu_time", 3, component="delivery")
        write(tmp_path / "x" / "metrics.jsonl", metrics_line("shop", lost, cpu))
        write(tmp_path / "x" / "traces.jsonl", spans_line("shop", span("a" * 16, kind=2)))

        text = page_of(tmp_path / "x").text

        assert "7 records were lost. Service Signal Outcome Reason Records shop logs dropped queue_full 7" in text
        assert "shop delivery 3.000 s" in text

    def test_logs_alone(self, tmp_path: Path) -> None:
        """Files without spans make a page without charts that says so."""
        failed = log("no", severity=17, level="ERROR", **{"exception.type": "E", "exception.stacktrace": STACKTRACE})
        path = write(tmp_path / "logs.jsonl", logs_line("shop", failed, log()))

        text = page_of(path).text

        assert "the files hold 2 log records, no spans in this period" in text
        assert "E no" in text


class TestSafety:
    """Nothing out of telemetry is anything but text."""

    def test_hostile_names(self, tmp_path: Path) -> None:
        """Names made of HTML appear as they are, and the page's own elements stay the only ones."""
        hostile = spans_line(
            HOSTILE,
            span(
                "a" * 16,
                HOSTILE,
                kind=2,
                failed=True,
                raised=HOSTILE,
                **{"http.route": HOSTILE, "correlation.id": HOSTILE, HOSTILE: HOSTILE},
            ),
        )
        told = logs_line(
            HOSTILE, log(HOSTILE, severity=17, level=HOSTILE, span_id="a" * 16, **{HOSTILE: HOSTILE}), logger=HOSTILE
        )
        write(tmp_path / "x" / "traces.jsonl", hostile)
        write(tmp_path / "x" / "logs.jsonl", told)
        write(
            tmp_path / "x" / "metrics.jsonl", metrics_line(HOSTILE, counter("clew.delivery.records", 1, signal=HOSTILE))
        )

        made = render(collect(Place((tmp_path / "x",)), Selection()), title=HOSTILE + "\ud800")
        page = _Elements(made)

        names = [name for name, _ in page.elements]
        assert (3, 0) == (names.count("script"), names.count("img"))
        assert [] == [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
        assert "<img src=x onerror=alert(2)>" in page.text
        assert "\x1b" not in made
        assert "\u202e" not in made
        made.encode()

    def test_policy(self, shop: Path) -> None:
        """The page's policy allows its own scripts by hash and no connection; nothing in it has an address."""
        page = page_of(shop)

        (policy,) = (attributes["content"] for name, attributes in page.elements if attributes.get("http-equiv"))
        assert re.fullmatch(
            r"default-src 'none'; script-src('? 'sha256-[\w+/=]{44}){2}'; style-src 'unsafe-inline'; img-src data:; "
            r"connect-src 'none'; base-uri 'none'; form-action 'none'",
            policy or "",
        )
        assert [] == [attributes["src"] for _, attributes in page.elements if "src" in attributes]

    @given(st.text())
    def test_escape_is_the_text(self, text: str) -> None:
        """Escaped text parses to the text alone, control characters made visible."""
        page = _Elements(str(tag("p", text, title=text)))

        assert [("p", {"title": html.unescape(escape(text))})] == page.elements
        assert html.unescape(escape(text)) == "".join(page.words)

    def test_markup_is_kept(self) -> None:
        """What is markup already is not escaped again."""
        assert "<p><b>&lt;</b></p>" == tag("p", tag("b", "<"))
        assert Markup("<br>") == escape(Markup("<br>"))

    @given(
        st.recursive(
            st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        )
    )
    def test_script_data(self, data: object) -> None:
        """Data inside a script element reads back the same, and no character of it can end the element."""
        text = script_data(data)

        assert json.loads(json.dumps(data)) == json.loads(text)
        assert set() == set("<>&") & set(text)


class TestCommand:
    """`clew report`."""

    def test_page_is_written(self, clew: Callable[..., Outcome], shop: Path, tmp_path: Path) -> None:
        """One line says what was written where."""
        target = tmp_path / "out.html"

        outcome = clew("report", shop, "--output", target, "--title", "Friday")

        assert (0, f"Wrote {target}: 3 requests, 6 spans, 4 log records, 1 error group\n", "") == outcome
        assert "<title>Friday</title>" in target.read_text("utf-8")

    def test_stdout(self, clew: Callable[..., Outcome], shop: Path) -> None:
        """With `-` the page is all that is printed."""
        out = clew("report", shop, "-o", "-").out

        assert (True, True) == (out.startswith("<!doctype html>"), out.rstrip().endswith("</html>"))

    def test_data(self, clew: Callable[..., Outcome], shop: Path) -> None:
        """With `--json` a program gets the numbers."""
        data = json.loads(clew("report", shop, "--json").out)

        assert (6, 3, 4) == (data["analysis"]["spans"], data["analysis"]["requests"]["count"], data["log_records"])
        assert ["payments.gateway.CardDeclined"] == [group["type"] for group in data["error_groups"]]

    def test_plotly_is_missing(
        self, clew: Callable[..., Outcome], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without plotly one line says what to install; the numbers can be had all the same."""
        monkeypatch.setitem(sys.modules, "plotly", None)

        outcome = clew("report", shop, "-o", tmp_path / "out.html")

        assert (1, "") == (outcome.status, outcome.out)
        assert "pip install 'clew-opentelemetry[report]'" in outcome.err
        assert 0 == clew("report", shop, "--json").status

    @pytest.mark.parametrize("content", [b"", b"\x00\x01" * 5000, b"{" * 100])
    def test_nothing_to_tell(self, clew: Callable[..., Outcome], tmp_path: Path, content: bytes) -> None:
        """Files that hold no record are an error in one line, and no page is written."""
        path = write(tmp_path / "traces.jsonl", content)

        outcome = clew("report", path, "-o", tmp_path / "out.html")

        assert (1, "") == (outcome.status, outcome.out)
        assert "clew: no spans or log records in 1 file" in outcome.err
        assert not (tmp_path / "out.html").exists()

    def test_place_that_cannot_be_written(self, clew: Callable[..., Outcome], shop: Path, tmp_path: Path) -> None:
        """A target that cannot be written is an error with a cure."""
        outcome = clew("report", shop, "-o", tmp_path / "missing" / "out.html")

        assert 1 == outcome.status
        assert "choose another place with --output" in outcome.err


def test_at_most_so_many(tmp_path: Path) -> None:
    """The number of requests that are shown whole does not grow with the files."""
    spans = [
        span(f"{number:016x}", end=number, kind=2, trace_id=f"{number:032x}", failed=True) for number in range(1, 400)
    ]
    path = write(tmp_path / "traces.jsonl", spans_line("shop", *spans))

    contents = collect(Place((path,)), Selection())

    assert (MAX_SLOWEST, MAX_SLOWEST) == (len(contents.slowest), len(contents.failing))
    assert len(contents.stories) <= 30
