"""The page: contents and charts put into one HTML file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from clew.desk.report import sections, waterfalls
from clew.desk.report.charts import make_charts
from clew.desk.report.markup import Markup, escape, join, script_data, tag
from clew.errors import MissingExtraError
from clew.files.reader.timestamps import format_timestamp
from clew.version import __version__

if TYPE_CHECKING:
    from clew.desk.report.charts import Chart
    from clew.desk.report.contents import Contents

_CURE: Final = "pip install 'clew-opentelemetry[report]'"


def render(contents: Contents, title: str = "Clew report", *, made_at: datetime | None = None) -> str:
    """Return the page as a whole.

    Its policy lets run only the scripts whose hashes it names, and forbids every connection.

    Args:
        contents: What to tell.
        title: Heads the page.
        made_at: When it was made; now.

    Raises:
        MissingExtraError: If plotly is not installed.
    """
    charts = make_charts(contents.analysis)
    scripts = [_plotly(), _package_text("page.js")] if charts else [_package_text("page.js")]
    parts = sections.Links(contents)
    return Template(_package_text("page.html")).substitute(
        policy=escape(_policy(scripts)),
        title=escape(title),
        style=_package_text("page.css"),
        subtitle=_subtitle(contents, made_at or datetime.now(timezone.utc)),
        overview=sections.overview(contents),
        charts=join(*map(_chart, charts)) if charts else sections.no_requests(contents),
        operations=sections.operations(contents),
        errors=sections.errors(contents, parts),
        slowest=sections.examples(contents.slowest, parts, "slowest"),
        failing=sections.examples(contents.failing, parts, "failing"),
        requests=join(*map(waterfalls.story, contents.stories)) or tag("p", "No request to show.", class_="quiet"),
        telemetry=sections.telemetry(contents),
        sources=sections.sources(contents),
        version=escape(__version__),
        data=script_data({chart.name: {"data": chart.traces, "layout": chart.layout} for chart in charts}),
        scripts=Markup("\n".join(f"<script>{text}</script>" for text in scripts)),
    )


def _policy(scripts: list[str]) -> str:
    """Return the content security policy: the page's own scripts and styles, no connection, no frame, no form."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _chart(chart: Chart) -> Markup:
    """Make a chart's place, and its numbers as a table."""
    head = tag("tr", *(tag("th", name, scope="col") for name in chart.head))
    rows = (tag("tr", *(tag("td", text) for text in row)) for row in chart.rows)
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="numbers")
    return tag(
        "section",
        tag("h2", chart.title, id=f"{chart.name}-title"),
        tag("p", chart.caption, class_="quiet"),
        tag(
            "div", class_="chart", id=f"chart-{chart.name}", data_chart=chart.name, role="img", aria_label=chart.caption
        ),
        tag("details", tag("summary", "As a table"), tag("div", table, class_="wide", tabindex=0), class_="as-table"),
        id=chart.name,
        aria_labelledby=f"{chart.name}-title",
    )


def _subtitle(contents: Contents, made_at: datetime) -> Markup:
    analysis = contents.analysis
    if not analysis.start_ns:
        return join(f"made {made_at:%Y-%m-%d %H:%M} UTC")
    start, end = (format_timestamp(time_ns)[:19].replace("T", " ") for time_ns in (analysis.start_ns, analysis.end_ns))
    return join(
        f"{start} to {end} UTC · ",
        ", ".join(analysis.services[: sections.MAX_NAMES]),
        f" · made {made_at:%Y-%m-%d %H:%M} UTC",
    )


def check_plotly() -> None:
    """Check that the charts' library is there, before long work begins.

    Raises:
        MissingExtraError: If it is not.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None or not _bundle(spec.origin).is_file():
        raise MissingExtraError(f"the report's charts need plotly: {_CURE}")


def _plotly() -> str:
    """Return plotly's script out of the Python package, such that it may stand in a page."""
    check_plotly()
    spec = find_spec("plotly")
    text = _bundle(str(spec.origin if spec else "")).read_text("utf-8")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _bundle(origin: str) -> Path:
    return Path(origin).parent / "package_data" / "plotly.min.js"


def _package_text(name: str) -> str:
    return (resources.files("clew.desk.report") / name).read_text("utf-8")
