"""A chart of a view: one description, drawn as SVG, and by the chart library where that runs. Pure.

The SVG stands in the page; the same data stand beside it as JSON, from which `charts.js` makes a chart whose
values can be pointed at, whose lines can be switched off and whose axes can be zoomed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from markupsafe import Markup

from registry.evidence.charts import COLOURS, Axis, Line, Point, fit_axis, line_chart

MAX_DRAWN: Final = 300
"""Points of a line in the SVG, which is 304 px wide."""
MAX_LIVE: Final = 6000
"""Points of a line for the chart library."""
LIMIT_STYLE: Final = 2 * len(COLOURS) - 1
"""Grey and dashed."""
BAD_STYLE: Final = 1
"""Orange: told apart from the blue of a line by colour-blind readers too."""
UNSURE_STYLE: Final = 7
"""Grey."""
_MAX_TIME_NAMES: Final = 5


@dataclass(frozen=True)
class Series:
    """One line, or one kind of points, of a chart.

    Attributes:
        name: For the legend.
        points: x and y, both finite, in rising order of x; x is seconds since 1970 on an axis of time.
        style: See `registry.evidence.charts.Line`.
        notes: What a reader who points at a value is told besides: one for each point, or none.
        kind: A line through the points, or the points alone.
    """

    name: str
    points: tuple[Point, ...]
    style: int | None = None
    notes: tuple[str, ...] = ()
    kind: Literal["line", "points"] = "line"


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: What it shows.
        x: From left to right; with names where they are times.
        y: From bottom to top.
        series: In the order of the legend.
        is_over_time: x is seconds since 1970, UTC.
        begins_at: What lies left of it is not drawn, and the chart library shows it once asked to.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    is_over_time: bool = False
    begins_at: float = -math.inf


def limit_line(name: str, value: float, x: Axis) -> Series:
    """Return a dashed line across the chart."""
    return Series(name, ((x.low, value), (x.high, value)), LIMIT_STYLE)


def seconds(at: datetime) -> float:
    """Return a time as a place on an axis of time."""
    return at.timestamp()


def time_axis(times: Sequence[datetime]) -> Axis:
    """Return the axis that holds all times, with days or hours written on it.

    >>> march = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 9)]
    >>> [name for _, name in time_axis(march).names]
    ['Mar 1', 'Mar 3', 'Mar 5', 'Mar 7', 'Mar 9']
    """
    first, last = (min(times), max(times)) if times else (datetime(1970, 1, 1, tzinfo=UTC),) * 2
    if last - first < timedelta(minutes=1):
        first, last = first - timedelta(minutes=1), last + timedelta(minutes=1)
    width = last - first
    form = "%H:%M" if width < timedelta(days=2) else "%b %-d" if width < timedelta(days=400) else "%b %Y"
    names = []
    for index in range(_MAX_TIME_NAMES):
        at = first + width * index / (_MAX_TIME_NAMES - 1)
        names.append((seconds(at), at.strftime(form)))
    return Axis(f"time, UTC, to {last:%Y-%m-%d %H:%M}", seconds(first), seconds(last), names=tuple(names))


def draw(chart: Chart) -> Markup:
    """Return the chart as HTML: the SVG, and the data for the chart library."""
    lines = [_as_line(one, chart.begins_at) for one in chart.series if one.points]
    figure = line_chart(chart.title, _shorten(chart), chart.y, lines)
    data = json.dumps(describe_chart(chart), separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # a script element ends at a tag, whatever JSON says
        data = data.replace(character, f"\\u{ord(character):04x}")
    return Markup('<div class="live">{}<script type="application/json">{}</script></div>').format(
        figure,
        Markup(data),  # noqa: S704 - no tag can begin in it
    )


def describe_chart(chart: Chart) -> dict[str, Any]:
    """Return what the chart library needs, as plain data."""
    return {
        "title": chart.title,
        "x": {
            "title": "time, UTC" if chart.is_over_time else chart.x.title,
            "low": chart.x.low,
            "high": chart.x.high,
            "from": _place(chart.begins_at, chart) if chart.begins_at > chart.x.low else None,
            "to": _place(chart.x.high, chart),
            "whole": chart.x.whole,
        },
        "y": {"title": chart.y.title, "low": chart.y.low, "high": chart.y.high},
        "time": chart.is_over_time,
        "series": [
            _describe_series(thin_out(one, MAX_LIVE), place, is_over_time=chart.is_over_time)
            for place, one in enumerate(one for one in chart.series if one.points)
        ],
    }


def thin_out(series: Series, most: int) -> Series:
    """Keep at most about ``most`` points: of each stretch the lowest and the highest, so that peaks stay.

    >>> thin_out(Series("", tuple((float(x), float(x == 7)) for x in range(100))), 10).points[:3]
    ((0.0, 0.0), (7.0, 1.0), (20.0, 0.0))
    """
    points = series.points
    if len(points) <= most:
        return series
    size = math.ceil(2 * len(points) / most)
    kept: list[int] = []
    for begin in range(0, len(points), size):
        stretch = range(begin, min(begin + size, len(points)))
        lowest = min(stretch, key=lambda index: points[index][1])
        highest = max(stretch, key=lambda index: points[index][1])
        kept += sorted({lowest, highest})
    notes = tuple(series.notes[index] for index in kept) if series.notes else ()
    return replace(series, points=tuple(points[index] for index in kept), notes=notes)


def fit(title: str, series: Sequence[Series], *, low: float | None = 0.0, least: float = 0.0) -> Axis:
    """Return the axis upwards that holds all values with a little room; it ends at ``least`` or above."""
    values = [value for one in series for _, value in one.points]
    top = max([least, *(1.05 * value for value in values)])
    return fit_axis(title, [*values, top], low=low)


def _shorten(chart: Chart) -> Axis:
    """Return the axis of what is drawn."""
    if chart.begins_at <= chart.x.low:
        return chart.x
    if chart.is_over_time:
        return time_axis([datetime.fromtimestamp(at, UTC) for at in (chart.begins_at, chart.x.high)])
    return replace(chart.x, low=chart.begins_at)


def _place(x: float, chart: Chart) -> float | str:
    if chart.is_over_time:
        return datetime.fromtimestamp(x, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return x


def _as_line(series: Series, begins_at: float) -> Line:
    if series.style == LIMIT_STYLE:
        return Line(series.name, series.points, style=series.style)
    points = tuple(point for point in series.points if point[0] >= begins_at)
    thin = thin_out(replace(series, points=points, notes=()), MAX_DRAWN)
    if series.kind == "points":
        return Line(series.name, (), thin.points, style=series.style)
    return Line(series.name, thin.points, style=series.style)


def _describe_series(series: Series, place: int, *, is_over_time: bool) -> dict[str, Any]:
    places: list[Any] = [x for x, _ in series.points]
    if is_over_time:
        places = [datetime.fromtimestamp(x, UTC).strftime("%Y-%m-%d %H:%M:%S") for x in places]
    return {
        "name": series.name,
        "kind": series.kind,
        "style": place if series.style is None else series.style,
        "x": places,
        "y": [float(f"{value:.5g}") for _, value in series.points],
        **({"notes": list(series.notes)} if series.notes else {}),
    }
