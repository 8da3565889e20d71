"""The page's sections but for charts and waterfalls: numbers and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clew.desk.query import counted
from clew.desk.report.markup import Markup, join, tag
from clew.desk.waterfall import format_duration
from clew.files.reader.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.desk.analysis import Example, Operation
    from clew.desk.error_groups import ErrorGroup
    from clew.desk.report.contents import Contents

MAX_OPERATIONS: Final = 100
"""Operations in the table, those with the longest total time."""

MAX_NAMES: Final = 8
_MAX_TEXT: Final = 4000
_TEXT_COLUMNS: Final = 3
"""Columns of the table of operations that hold no numbers."""


class Links:
    """Links from an ID to the request on the page that carries it."""

    def __init__(self, contents: Contents) -> None:
        self._numbers = {one: story.number for story in reversed(contents.stories) for one in story.identifiers}

    def link(self, identifier: str, *others: str) -> Markup:
        """Return an ID as a link to its request if that is shown, else as text."""
        number = next((self._numbers[one] for one in (identifier, *others) if one in self._numbers), None)
        shown = tag("code", identifier)
        return shown if number is None else tag("a", shown, href=f"#request-{number}")


def overview(contents: Contents) -> Markup:
    """Return the numbers that a person looks at first."""
    analysis, requests = contents.analysis, contents.analysis.requests
    failures = sum(group.failures for group in contents.groups)
    tiles = [
        ("Requests", f"{requests.count:,}", ""),
        ("Failed", f"{requests.error_rate:.2%}", "bad" if requests.errors else "good"),
        ("p50", format_duration(requests.p50_ns), ""),
        ("p95", format_duration(requests.p95_ns), ""),
        ("p99", format_duration(requests.p99_ns), ""),
        ("Longest", format_duration(requests.longest_ns), ""),
        ("Failures", f"{failures:,}", "bad" if failures else "good"),
        ("Records lost", f"{analysis.overhead.dropped:,}", "bad" if analysis.overhead.dropped else "good"),
    ]
    return tag("dl", *(_tile(*tile) for tile in tiles), class_="tiles")


def _tile(name: str, value: str, kind: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value), class_=kind or None)


def no_requests(contents: Contents) -> Markup:
    """Say why there is no chart."""
    told = f"{contents.log_records:,} log records, no spans" if contents.log_records else "no spans"
    text = f"There are no requests to draw: the files hold {told} in this period."
    return tag("section", tag("h2", "Latency"), tag("p", text, class_="quiet"), id="latency")


def operations(contents: Contents) -> Markup:
    """Return the table of operations; its columns can be sorted by."""
    all_of_them = contents.analysis.operations
    shown = all_of_them[:MAX_OPERATIONS]
    if not shown:
        return tag("p", "No operations.", class_="quiet")
    names = ("Service", "Operation", "Kind", "Count", "Failed", "p50", "p95", "p99", "Longest", "Total")
    head = (
        tag(
            "th",
            tag("button", name, type="button"),
            scope="col",
            aria_sort="descending" if name == "Total" else None,
            class_="number" if number >= _TEXT_COLUMNS else None,
        )
        for number, name in enumerate(names)
    )
    most_ns = max(1, shown[0].latency.total_ns)
    rows = (_operation(operation, most_ns) for operation in shown)
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="sortable")
    more = len(all_of_them) - len(shown)
    note = tag("p", f"{more:,} more operations took less time in total.", class_="quiet") if more else ""
    return join(tag("div", table, class_="wide", tabindex=0), note, _exactness(contents))


def _operation(operation: Operation, most_ns: int) -> Markup:
    latency = operation.latency
    times = (latency.p50_ns, latency.p95_ns, latency.p99_ns, latency.longest_ns)
    share = f"--share:{100 * latency.total_ns / most_ns:.1f}%"
    return tag(
        "tr",
        tag("td", operation.service),
        tag("th", operation.name, scope="row"),
        tag("td", operation.kind),
        _number(latency.count, f"{latency.count:,}"),
        _number(latency.error_rate, f"{latency.error_rate:.1%}" if latency.errors else "0", is_bad=latency.errors > 0),
        *(_number(time_ns, format_duration(time_ns)) for time_ns in times),
        tag("td", format_duration(latency.total_ns), data_value=latency.total_ns, class_="number bar", style=share),
    )


def _number(value: float, text: str, *, is_bad: bool = False) -> Markup:
    return tag("td", text, data_value=value, class_="number bad" if is_bad else "number")


def _exactness(contents: Contents) -> Markup:
    exact = contents.analysis.requests.is_exact and all(one.latency.is_exact for one in contents.analysis.operations)
    how = "exact: each is the duration of a span" if exact else "off by less than one in a thousand, for lack of memory"
    return tag("p", f"Percentiles are {how}.", class_="quiet")


def errors(contents: Contents, links: Links) -> Markup:
    """Return the error groups, each one to open."""
    if not contents.groups:
        return tag("p", "Nothing failed.", class_="quiet")
    more = contents.omitted_groups
    note = tag("p", f"{more:,} less frequent groups are left out.", class_="quiet") if more else ""
    return join(*(_group(group, links) for group in contents.groups), note)


def _group(group: ErrorGroup, links: Links) -> Markup:
    others = [service for service in group.services if service != group.service]
    examples = [item for one in group.examples for item in (links.link(one), " ")]
    facts: list[tuple[str, object]] = [
        ("Begins in", join(group.service, " · ", tag("code", group.operation))),
        ("Told in", ", ".join(others) or "that service alone"),
        ("First, last", f"{_clock(group.first_ns)}, {_clock(group.last_ns)} UTC"),
        ("Failures", f"{group.failures:,}, told by {group.records:,} records"),
        ("Requests", join(*examples) if examples else "none carries an ID"),
        ("Group", tag("code", group.id)),
    ]
    title = tag("span", tag("strong", group.type or "error"), " ", _line(group.message), class_="grow")
    return tag(
        "details",
        tag(
            "summary",
            title,
            tag("span", group.service, class_="chip"),
            tag("span", counted(group.failures, "failure"), class_="count"),
        ),
        definitions(facts),
        tag("pre", _cut(group.stacktrace), tabindex=0) if group.stacktrace else "",
        class_="card failed",
        id=f"group-{group.id}",
    )


def definitions(facts: Iterable[tuple[str, object]]) -> Markup:
    """Return names and values as a list."""
    return tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts")


def examples(found: tuple[Example, ...], links: Links, kind: str) -> Markup:
    """Return requests as a table whose IDs lead to their waterfalls."""
    if not found:
        return tag("p", f"No {kind} requests.", class_="quiet")
    names = ("Began (UTC)", "Service", "Operation", "Took", "Request")
    rows = (
        tag(
            "tr",
            tag("td", _clock(example.start_ns), class_="time"),
            tag("td", example.service),
            tag("td", example.name, class_="operation"),
            _number(example.duration_ns, format_duration(example.duration_ns), is_bad=example.is_failed),
            tag("td", links.link(example.correlation_id or example.trace_id, example.trace_id)),
        )
        for example in found
    )
    head = tag(
        "thead",
        tag("tr", *(tag("th", name, scope="col", class_="number" if name == "Took" else None) for name in names)),
    )
    return tag("div", tag("table", head, tag("tbody", *rows)), class_="wide", tabindex=0)


def telemetry(contents: Contents) -> Markup:
    """Return what telemetry itself cost and lost."""
    overhead = contents.analysis.overhead
    if not overhead.cpu_s and not overhead.records:
        text = "The files hold none of Clew's own metrics, so what was lost or used on the way is not known."
        return tag("p", text, class_="quiet")
    records = _table(
        ("Service", "Signal", "Outcome", "Reason", "Records"),
        [(*names, f"{count:,}") for *names, count in overhead.records],
        bad=lambda row: row[2] == "dropped",
    )
    costs = _table(
        ("Service", "Component", "CPU time"),
        [(service, part, f"{cpu_s:.3f} s") for service, part, cpu_s in overhead.cpu_s],
    )
    lost = f"{overhead.dropped:,} records were lost." if overhead.dropped else "No record was lost."
    return join(tag("p", lost), records, tag("h3", "What Clew cost"), costs)


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]], bad: object = None) -> Markup:
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    body = (
        tag("tr", *(tag("td", text) for text in row), class_="bad" if callable(bad) and bad(row) else None)
        for row in rows
    )
    return tag("div", tag("table", head, tag("tbody", *body)), class_="wide", tabindex=0)


def sources(contents: Contents) -> Markup:
    """Return what was read, and what could not be."""
    stats, selection = contents.stats, contents.selection
    facts: list[tuple[str, object]] = [
        ("Read from", ", ".join(contents.paths)),
        ("Files", f"{stats.files:,}, {stats.bytes / 1e6:,.1f} MB"),
        ("Records", f"{contents.analysis.spans:,} spans, {contents.log_records:,} log records, each counted once"),
    ]
    if selection.since_ns is not None or selection.until_ns is not None:
        facts.append(
            (
                "Period",
                f"{_clock(selection.since_ns or 0) or 'begin'} to {_clock(selection.until_ns or 0) or 'end'} UTC",
            )
        )
    if selection.services:
        facts.append(("Services", ", ".join(sorted(selection.services))))
    unread = [
        (stats.torn, "torn lines"),
        (stats.foreign, "lines in no known form"),
        (stats.overlong, "lines too long"),
        (len(stats.binary), "binary files"),
        (len(stats.damaged), "damaged files"),
        (len(stats.unreadable), "unreadable files"),
    ]
    told = ", ".join(f"{number:,} {what}" for number, what in unread if number)
    return definitions([*facts, ("Passed over", told or "nothing")])


def _clock(time_ns: int) -> str:
    return format_timestamp(time_ns)[:19].replace("T", " ")


def _line(text: str) -> str:
    first = text.partition("\n")[0]
    return first if len(first) <= 200 else first[:199] + "…"  # noqa: PLR2004 - a summary is one line


def _cut(text: str) -> str:
    """Keep head and tail of a traceback that is too long: the tail names the exception."""
    half = _MAX_TEXT // 2
    return text if len(text) <= _MAX_TEXT else f"{text[:half]}\n…\n{text[-half:]}"
