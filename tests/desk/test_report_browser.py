"""The report in a real browser: it draws, it can be used by mouse and keyboard, and it asks nobody for anything."""

from __future__ import annotations

import base64
import json
import math
import os
import random
from typing import TYPE_CHECKING

import pytest
from browser import Page, find_browser

from clew.desk.options import Place
from clew.desk.report.contents import Selection, collect
from clew.desk.report.page import render
from otlp_lines import STACKTRACE, log, logs_line, span, spans_line, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BROWSER = find_browser()
DRAWN = "document.documentElement.dataset.drawn === '3'"
OPEN_WITHIN_S = 3.0

pytestmark = pytest.mark.skipif(
    BROWSER is None and os.environ.get("CI") != "true", reason="no Chromium is installed: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Run a browser with one page, for all tests here: its start takes longer than most of them."""
    assert BROWSER is not None, "the report's tests in CI need a Chromium"
    with Page(tmp_path_factory.mktemp("profile"), BROWSER) as opened:
        yield opened


@pytest.fixture
def page(browser: Page) -> Page:
    """Return the page as new: light, wide, nothing kept of what other tests did."""
    browser.open("data:text/html,")
    browser.show_as()
    browser.events.clear()
    return browser


def write_report(folder: Path, *sources: Path) -> str:
    """Write the report on files, and return its address."""
    path = folder / "report.html"
    path.write_text(render(collect(Place(sources), Selection())), "utf-8")
    return path.as_uri()


def test_draws_and_asks_for_nothing(page: Page, shop: Path, tmp_path: Path) -> None:
    """Every chart is drawn, nothing complains, no request leaves the page."""
    page.open(write_report(tmp_path, shop), DRAWN)

    assert [] == page.complaints()
    assert [] == page.requests()
    drawn = "[...document.querySelectorAll('.chart')].map(one => [one.id, one.querySelectorAll(%s).length > 0])"
    shapes = "'.scatterlayer .point, .heatmaplayer image, .barlayer .point'"
    assert [["chart-latency", True], ["chart-heat", True], ["chart-throughput", True]] == page.look(drawn % shapes)


def test_policy_holds(page: Page, shop: Path, tmp_path: Path) -> None:
    """What would load or run something is refused by the page's own policy."""
    page.open(write_report(tmp_path, shop), DRAWN)

    page.look("fetch('http://127.0.0.1:9/').catch(() => 0)")
    page.look("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")

    assert None is page.look("window.ran")
    told = " ".join(page.complaints())
    assert ("connect-src 'none'" in told, "script-src 'sha256-" in told) == (True, True)


def test_link_opens_the_waterfall(page: Page, shop: Path, tmp_path: Path) -> None:
    """A click on a request's ID opens its waterfall, and a click on a line of that its attributes."""
    page.open(write_report(tmp_path, shop), DRAWN)
    request = "document.querySelector('#request-1')"
    assert False is page.look(f"{request}.open")

    page.look("document.querySelector('#slow a').click()")
    page.wait_until(f"{request}.open")
    line = f"{request}.querySelector('.line.span')"
    page.look(f"{line}.querySelector('summary').click()")

    assert True is page.look(f"{line}.open")
    assert "correlation.id" in page.look(f"{line}.innerText")
    assert ["POST /checkout", "POST", "POST /orders", "SELECT stock", "POST", "POST /charge"] == page.look(
        f"[...{request}.querySelectorAll('.line.span b')].map(one => one.textContent)"
    )
    assert "root cause" in page.look(f"{request}.innerText")


def test_what_was_raised_is_seen_in_its_place(page: Page, shop: Path, tmp_path: Path) -> None:
    """A log line of the waterfall says when it came, and in red what was raised."""
    page.open(write_report(tmp_path, shop), DRAWN)
    line = "[...document.querySelectorAll('.line.log')].find(one => one.querySelector('.bad'))"

    assert "payments.gateway.CardDeclined: card declined" == page.look(f"{line}.querySelector('.bad').textContent")
    assert page.look(f"{line}.querySelector('.track i').classList.contains('failed')")
    assert page.look(
        "[...document.querySelectorAll('.line.log, .line.event')].every(one => "
        "/^\\+[\\d.]+ (ns|µs|ms|s)$/.test(one.querySelector('.took').textContent))"
    )


def test_keyboard(page: Page, shop: Path, tmp_path: Path) -> None:
    """With the keyboard alone: the first stop skips to the report, what has the focus is seen, Enter opens."""
    page.open(write_report(tmp_path, shop), DRAWN)

    page.press("Tab")
    assert "Skip to the report" == page.look("document.activeElement.textContent")
    assert "none" != page.look("getComputedStyle(document.activeElement).outlineStyle")
    page.look("document.querySelector('#request-1 summary').focus()")
    page.press("Enter", text="\r")

    assert True is page.look("document.querySelector('#request-1').open")


def test_sorting(page: Page, shop: Path, tmp_path: Path) -> None:
    """A column's name sorts the operations by it, down and up."""
    page.open(write_report(tmp_path, shop), DRAWN)
    names = "[...document.querySelectorAll('.sortable tbody th')].map(one => one.textContent)"
    button = "[...document.querySelectorAll('.sortable thead button')].find(one => one.textContent === 'Longest')"

    page.look(f"{button}.click()")
    down = page.look(names)
    page.look(f"{button}.click()")
    up = page.look(names)

    assert ("POST /checkout", "SELECT stock") == (down[0], down[-1])
    assert ("SELECT stock", "POST /checkout") == (up[0], up[-1])
    assert "ascending" == page.look(f"{button}.closest('th').getAttribute('aria-sort')")


def test_charts_zoom_together(page: Page, shop: Path, tmp_path: Path) -> None:
    """A stretch of time that is chosen in one chart is shown by all, and all show everything again."""
    page.open(write_report(tmp_path, shop), DRAWN)
    ranges = "[...document.querySelectorAll('[data-chart]')].map(one => String(one.layout.xaxis.range))"
    whole = page.look(ranges)
    chosen = "'2025-11-24 16:00:00.1,2025-11-24 16:00:00.3'"
    heat = "document.querySelector('[data-chart=heat]')"

    page.look(
        f"const [first, last] = {chosen}.split(','); "
        f"void Plotly.relayout({heat}, {{'xaxis.range[0]': first, 'xaxis.range[1]': last}})"
    )
    page.wait_until(f"{ranges}.every(one => one === {chosen})")
    page.look(f"void Plotly.relayout({heat}, {{'xaxis.autorange': true}})")
    page.wait_until(f"String({ranges}) === {json.dumps(','.join(whole))}")

    assert [] == page.complaints()


def test_sections_stay_at_hand(page: Page, shop: Path, tmp_path: Path) -> None:
    """The links to the sections stay on top while one scrolls, and do not cover what they lead to."""
    page.open(write_report(tmp_path, shop), DRAWN)
    page.look("document.documentElement.style.scrollBehavior = 'auto'")
    page.look("document.querySelector('#requests').scrollIntoView()")

    top = "document.querySelector({!r}).getBoundingClientRect()"
    assert 0 == page.look(f"{top.format('nav')}.top")
    assert page.look(f"{top.format('nav')}.bottom <= {top.format('#requests h2')}.top")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_scheme(page: Page, shop: Path, tmp_path: Path, scheme: str) -> None:
    """The page follows the system's light or dark; text has a contrast of at least 4.5 in both."""
    page.show_as(scheme=scheme)
    page.open(write_report(tmp_path, shop), DRAWN)

    ground = page.look("getComputedStyle(document.body).backgroundColor")
    assert {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme] == ground
    for selector in ("body", ".quiet", "a", ".bad dd"):
        colour = page.look(f"getComputedStyle(document.querySelector({selector!r})).color")
        assert contrast(colour, ground) >= 4.5, (selector, colour)
    assert page.look("getComputedStyle(document.body).color") == page.look(
        "getComputedStyle(document.querySelector('.xtick text')).fill"
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_narrow(page: Page, shop: Path, tmp_path: Path) -> None:
    """On a telephone nothing makes the page wider than the screen."""
    page.show_as(width=390, height=800)
    page.open(write_report(tmp_path, shop), DRAWN)
    page.look("document.querySelectorAll('details').forEach(one => one.open = true)")

    assert 390 >= page.look("document.documentElement.scrollWidth")


def test_print(page: Page, shop: Path, tmp_path: Path) -> None:
    """The page prints, in light colours whatever the screen has."""
    page.show_as(scheme="dark")
    page.open(write_report(tmp_path, shop), DRAWN)

    printed = base64.b64decode(page.call("Page.printToPDF", printBackground=True)["data"])

    assert printed.startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert "rgb(255, 255, 255)" == page.look("getComputedStyle(document.body).backgroundColor")


def test_hostile_names(page: Page, tmp_path: Path) -> None:
    """Names that try to be script run nowhere."""
    hostile = "</script><script>ran=1</script><img src=x onerror=ran=2><a href='javascript:ran=3'>x</a>"
    failed = span(
        "a" * 16, hostile, kind=2, failed=True, raised=hostile, **{"http.route": hostile, "correlation.id": hostile}
    )
    write(tmp_path / "x" / "traces.jsonl", spans_line(hostile, failed))
    write(tmp_path / "x" / "logs.jsonl", logs_line(hostile, log(hostile, span_id="a" * 16), logger=hostile))

    page.open(write_report(tmp_path, tmp_path / "x"), DRAWN)
    page.look("document.querySelectorAll('details').forEach(one => one.open = true)")

    assert [] == page.complaints()
    assert "undefined" == page.look("typeof ran")
    assert 0 == page.look("document.images.length")
    assert hostile in page.look("document.body.textContent")


@pytest.mark.slow
def test_large_report_opens_quickly(page: Page, tmp_path: Path) -> None:
    """A report on 100,000 spans is open with all its charts drawn in less than three seconds."""
    write_many(tmp_path / "x", 100_000)
    address = write_report(tmp_path, tmp_path / "x")

    seconds = math.inf
    for run in range(10):  # what else the machine does is no part of the claim
        seconds = min(seconds, page.open(f"{address}?{run}", DRAWN))
        if seconds < OPEN_WITHIN_S:
            break

    assert [] == page.complaints()
    assert seconds < OPEN_WITHIN_S


def write_many(folder: Path, count: int) -> None:
    """Write requests of five spans with their logs; one in fifty fails."""
    chance = random.Random(1)
    spans, logs = [], []
    for number in range(1, count // 5 + 1):
        begin, took = number * 40, chance.lognormvariate(3, 1)
        failed = chance.random() < 0.02
        shared = {"trace_id": f"{number:032x}", "correlation.id": f"order-{number}"}
        root = f"{number:012x}0000"
        spans.append(
            span(
                root,
                "GET /",
                begin=begin,
                end=begin + took,
                kind=2,
                failed=failed,
                **shared,
                **{"http.route": f"/r{number % 40}", "http.request.method": "GET"},
            )
        )
        for part in range(1, 5):
            raised = "shop.Late" if failed and part == 4 else ""
            place = begin + took * part / 5
            spans.append(
                span(
                    f"{number:012x}{part:04x}",
                    f"step {part}",
                    parent=root,
                    begin=place,
                    end=place + took / 6,
                    kind=3,
                    failed=bool(raised),
                    raised=raised,
                    **shared,
                )
            )
        severity = {"severity": 17, "level": "ERROR", "exception.type": "shop.Late", "exception.stacktrace": STACKTRACE}
        logs.append(log("handled", ms=begin + 1, span_id=root, **shared, **(severity if failed else {})))
    write(
        folder / "traces-shop.jsonl", *(spans_line("shop", *spans[at : at + 500]) for at in range(0, len(spans), 500))
    )
    write(folder / "logs-shop.jsonl", *(logs_line("shop", *logs[at : at + 500]) for at in range(0, len(logs), 500)))
