"""The analysis as charts: plain data in plotly's form, times and numbers only, without colours.

No text out of telemetry is in a chart: plotly takes some of HTML in its labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clew.desk.waterfall import format_duration, format_number
from clew.files.reader.timestamps import format_timestamp

if TYPE_CHECKING:
    from clew.desk.analysis import Analysis, Period

_DECADES_NS: Final = tuple(10**power for power in range(2, 14))
_LINES: Final = (("p50", "p50_ns"), ("p90", "p90_ns"), ("p95", "p95_ns"), ("p99", "p99_ns"))
_WIDE_SPREAD: Final = 20
"""From this ratio of the longest to the shortest on, the axis is logarithmic."""

_RATE_SHARE: Final = 0.26
"""Part of the throughput's height that the error rate has for itself."""

_MAX_MARKED: Final = 80
"""Periods up to which each is marked with a point."""


@dataclass(frozen=True)
class Chart:
    """One chart: its place on the page, what it shows in words, plotly's traces and layout, and its numbers."""

    name: str
    title: str
    caption: str
    traces: tuple[dict[str, Any], ...]
    layout: dict[str, Any]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The same as a table, for those who do not see the picture."""


def make_charts(analysis: Analysis) -> tuple[Chart, ...]:
    """Draw requests over time; nothing where there are none."""
    periods = analysis.periods
    return (_latency(periods), _heat(periods), _throughput(periods)) if periods else ()


def _time_axis(periods: tuple[Period, ...]) -> dict[str, Any]:
    """Return the axis that all charts share, so that what happened at one time stands at one place."""
    first, last = periods[0], periods[-1]
    return {"range": [_moment(first.start_ns), _moment(last.start_ns + last.width_ns)]}


def _latency(periods: tuple[Period, ...]) -> Chart:
    """Draw percentiles of each period; a period without requests is a gap."""
    times = [_middle(period) for period in periods]
    mode = "lines+markers" if len(periods) <= _MAX_MARKED else "lines"
    traces: list[dict[str, Any]] = []
    for label, name in _LINES:
        values = [getattr(period.latency, name) if period.latency.count else None for period in periods]
        texts = [format_duration(value) if value is not None else "" for value in values]
        traces.append(
            {
                "type": "scatter",
                "mode": mode,
                "name": label,
                "x": times,
                "y": values,
                "text": texts,
                "connectgaps": len(periods) > _MAX_MARKED,
                "hovertemplate": "%{text}",
            }
        )
    known = [value for trace in traces for value in trace["y"] if value]
    return Chart(
        "latency",
        "Latency over time",
        "How long requests took: half of them at most p50, 99 in 100 at most p99.",
        tuple(traces),
        {
            "yaxis": _duration_axis(min(known, default=1), max(known, default=1)),
            "xaxis": _time_axis(periods),
            "hovermode": "x unified",
        },
        ("From (UTC)", "Requests", *(label for label, _ in _LINES), "Longest"),
        tuple(_latency_row(period) for period in periods if period.latency.count),
    )


def _latency_row(period: Period) -> tuple[str, ...]:
    latency = period.latency
    told = (latency.p50_ns, latency.p90_ns, latency.p95_ns, latency.p99_ns, latency.longest_ns)
    return (_clock(period.start_ns), f"{latency.count:,}", *map(format_duration, told))


def _heat(periods: tuple[Period, ...]) -> Chart:
    """Draw how many requests took how long, period by period; bands double in width."""
    levels = [level for period in periods for level, _ in period.heat]
    bands = range(min(levels, default=0), max(levels, default=0) + 1)
    counts = [dict(period.heat) for period in periods]
    grid = [[count.get(level) for count in counts] for level in bands]
    names = [_band(level) for level in bands]
    trace = {
        "type": "heatmap",
        "x": [*(_moment(period.start_ns) for period in periods), _moment(periods[-1].start_ns + periods[-1].width_ns)],
        "y": list(bands),
        "z": grid,
        "text": [[name] * len(periods) for name in names],
        "hoverongaps": False,
        "hovertemplate": "%{x}<br>%{text}: %{z:,} requests<extra></extra>",
        "colorbar": {
            "orientation": "h",
            "thickness": 8,
            "len": 0.3,
            "x": 1,
            "xpad": 0,
            "ypad": 0,
            "xanchor": "right",
            "y": 1.01,
            "yanchor": "bottom",
            "outlinewidth": 0,
            "nticks": 4,
        },
    }
    step = max(1, len(bands) // 8)
    axis = {"tickvals": [level - 0.5 for level in bands][::step], "ticktext": [_edge(level) for level in bands][::step]}
    totals = [sum(count.get(level, 0) for count in counts) for level in bands]
    return Chart(
        "heat",
        "Heat map",
        "How many requests took how long, counted by the scale; one slow path shows as a band of its own.",
        (trace,),
        {"xaxis": _time_axis(periods), "yaxis": axis},
        ("Duration", "Requests"),
        tuple((name, f"{total:,}") for name, total in zip(names, totals, strict=True)),
    )


def _throughput(periods: tuple[Period, ...]) -> Chart:
    """Draw requests a second, those that failed on their own, and below them the share of these."""
    seconds = periods[0].width_ns / 1e9
    times = [_middle(period) for period in periods]
    failed = [period.latency.errors / seconds for period in periods]
    good = [(period.latency.count - period.latency.errors) / seconds for period in periods]
    rates = [period.latency.error_rate if period.latency.count else None for period in periods]
    bar = {"type": "bar", "x": times, "width": 920 * seconds, "hovertemplate": "%{y:.3~g}/s"}
    traces = (
        {**bar, "name": "ok", "y": good},
        {**bar, "name": "failed", "y": failed},
        {
            "type": "scatter",
            "mode": "lines+markers" if len(periods) <= _MAX_MARKED else "lines",
            "name": "error rate",
            "x": times,
            "y": rates,
            "yaxis": "y2",
            "fill": "tozeroy",
            "connectgaps": len(periods) > _MAX_MARKED,
            "hovertemplate": "%{y:.2%}",
        },
    )
    top = min(1.0, max(0.05, 1.15 * max((rate for rate in rates if rate), default=0.0)))
    layout = {
        "xaxis": {**_time_axis(periods), "anchor": "y2"},
        "barmode": "stack",
        "hovermode": "x unified",
        "yaxis": {"ticksuffix": "/s", "rangemode": "tozero", "domain": [_RATE_SHARE + 0.06, 1]},
        "yaxis2": {"tickformat": "~%", "nticks": 4, "range": [0, top], "domain": [0, _RATE_SHARE]},
    }
    rows = tuple(_throughput_row(period) for period in periods if period.latency.count)
    width = format_duration(periods[0].width_ns)
    caption = f"Requests a second, by when they began, in periods of {width}; below, the share that failed."
    return Chart(
        "throughput",
        "Throughput and errors",
        caption,
        traces,
        layout,
        ("From (UTC)", "Requests", "A second", "Failed", "Error rate"),
        rows,
    )


def _throughput_row(period: Period) -> tuple[str, ...]:
    latency = period.latency
    rate = format_number(period.throughput_per_s)
    return (_clock(period.start_ns), f"{latency.count:,}", rate, f"{latency.errors:,}", f"{latency.error_rate:.2%}")


def _duration_axis(shortest_ns: int, longest_ns: int) -> dict[str, Any]:
    """Return an axis of durations that is labelled in units a person reads."""
    if longest_ns > _WIDE_SPREAD * shortest_ns:
        ticks = [tick * step for tick in _DECADES_NS for step in (1, 3)]
        return {"type": "log", "tickvals": ticks, "ticktext": [format_duration(tick) for tick in ticks]}
    step = _round_step(longest_ns / 5)
    ticks = [step * number for number in range(1 + int(longest_ns // step) + 1)]
    texts = ["0", *(format_duration(tick) for tick in ticks[1:])]
    return {"rangemode": "tozero", "tickvals": ticks, "ticktext": texts}


def _round_step(about: float) -> int:
    """Return a step of 1, 2 or 5 times a power of ten."""
    power = 10 ** max(0, len(str(int(about))) - 1)
    return int(next(step * power for step in (1, 2, 5, 10) if step * power >= about))


def _band(level: int) -> str:
    """Name a band of the heat map: durations from 2^(level-1) to 2^level microseconds."""
    if level == 0:
        return "below 1 µs"
    return f"{format_duration(1000 << level - 1)} to {format_duration(1000 << level)}"


def _edge(level: int) -> str:
    return format_duration(1000 << level - 1) if level else "0"


def _middle(period: Period) -> str:
    """Return where a period's point stands."""
    return _moment(period.start_ns + period.width_ns // 2)


def _moment(time_ns: int) -> str:
    """Write a time as plotly reads it: without a zone it is taken as it stands."""
    return format_timestamp(time_ns).removesuffix("Z")


def _clock(time_ns: int) -> str:
    return format_timestamp(time_ns)[:19].replace("T", " ")
