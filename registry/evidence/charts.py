"""Charts as inline SVG for pages that need no network: lines over steps, versions or recall, and bars. Pure.

A chart has no text inside its plot: names stand in a legend below it, so that labels cannot hide each other,
however close the lines are and however narrow the screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from markupsafe import Markup

Point = tuple[float, float]

COLOURS: Final = (
    "#3b6ea5", "#c8651b", "#2f8f5b", "#8a4fa3", "#a3283b", "#0f8b8d", "#8c6d1f", "#55606e",
)  # fmt: skip
"""Told apart by most colour-blind readers; beyond them lines repeat in dashes."""
NEUTRAL: Final = -1
_NEUTRAL_COLOUR: Final = "#1d2430"
_WIDTH, _HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 40
_MOST_MARKED: Final = 30
"""Lines of more points are drawn without dots."""
_CHARACTER_PX: Final = 6.5


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: For the legend.
        points: x and y, in the order they are joined; both finite.
        marks: Points drawn as rings, without a line.
        style: The number of its colour, so that a class keeps its own in every chart; `NEUTRAL` for what is
            no class. None: its place among the lines.
    """

    name: str
    points: tuple[Point, ...]
    marks: tuple[Point, ...] = ()
    style: int | None = None


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: What it shows, with its unit.
        low: Where it begins.
        high: Where it ends, above ``low``.
        whole: Only whole numbers are ticks.
        names: Places and what is written there, instead of round numbers.
    """

    title: str
    low: float
    high: float
    whole: bool = False
    names: tuple[tuple[float, str], ...] = ()

    def place(self, value: float) -> float:
        """Return where on the axis a value lies, 0..1; what lies outside is put at the end.

        >>> Axis("", 0.0, 4.0).place(1.0), Axis("", 0.0, 4.0).place(5.0)
        (0.25, 1.0)
        """
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def ticks(axis: Axis, most: int = 5) -> list[float]:
    """Return round numbers on an axis, at most ``most`` and one.

    >>> ticks(Axis("", 0.0, 1.0)), ticks(Axis("", 0.0, 137.0)), ticks(Axis("", 1.0, 3.0, whole=True))
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 50.0, 100.0], [1.0, 2.0, 3.0])
    """
    rough = (axis.high - axis.low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    step = max(1.0, step) if axis.whole else step
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def fit_axis(title: str, values: Sequence[float], *, low: float | None = None, whole: bool = False) -> Axis:
    """Make an axis that holds all values; ``low`` fixes where it begins."""
    bottom = min(values, default=0.0) if low is None else low
    top = max(values, default=1.0)
    return Axis(title, bottom, top if top > bottom else bottom + 1.0, whole)


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> Markup:
    """Draw lines with axes and a legend below.

    Args:
        title: For readers who cannot see it.
        x: From left to right.
        y: From bottom to top.
        lines: Each with a colour of its own, see `Line.style`.
    """
    return _draw_line_chart(title, x, y, tuple(lines))


@lru_cache(maxsize=64)  # the pages of one version show the same charts, and are written again and again
def _draw_line_chart(title: str, x: Axis, y: Axis, lines: tuple[Line, ...]) -> Markup:
    drawn = Markup("").join(_draw_line(line, index, x, y) for index, line in enumerate(lines))
    svg = Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}"><title>{title}</title>{axes}{lines}</svg>'
    ).format(w=_WIDTH, h=_HEIGHT, title=title, axes=_draw_axes(x, y), lines=drawn)
    entries = Markup("").join(_draw_entry(line, index) for index, line in enumerate(lines))
    return Markup('<figure class="chart">{}<figcaption class="legend">{}</figcaption></figure>').format(
        svg, entries
    )


def bar_chart(title: str, x_title: str, y_title: str, bars: Sequence[tuple[str, float]]) -> Markup:
    """Draw a histogram: one bar for each bin, the bin's name below it where there is room.

    Args:
        title: For readers who cannot see it.
        x_title: What the bins are, with their unit.
        y_title: What is counted.
        bars: Name and height, 0 or more, from left to right.
    """
    y = fit_axis(y_title, [height for _, height in bars], low=0.0, whole=True)
    x = Axis(x_title, 0.0, max(1.0, float(len(bars))))
    longest_px = _CHARACTER_PX * (1 + max((len(name) for name, _ in bars), default=0))
    every = max(1, math.ceil(longest_px * len(bars) / (_WIDTH - _LEFT - _RIGHT)))
    parts = [_draw_frame(x, y)]
    for index, (name, height) in enumerate(bars):
        left, right, top = _across(x, index + 0.06), _across(x, index + 0.94), _down(y, height)
        parts.append(
            Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}">'
                "<title>{}</title></rect>"
            ).format(left, top, right - left, _down(y, 0.0) - top, COLOURS[0], f"{name}: {height:g}")
        )
        if index % every == 0:
            parts.append(
                Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                    (left + right) / 2, _HEIGHT - _BOTTOM + 15, name
                )
            )
    svg = Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}"><title>{title}</title>{parts}</svg>'
    ).format(w=_WIDTH, h=_HEIGHT, title=title, parts=Markup("").join(parts))
    return Markup('<figure class="chart">{}<figcaption>{}</figcaption></figure>').format(svg, title)


def _draw_line(line: Line, index: int, x: Axis, y: Axis) -> Markup:
    colour, dash = _style(line, index)
    placed = [(_across(x, point[0]), _down(y, point[1])) for point in line.points]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in placed)
    parts = [
        Markup(
            '<polyline points="{}" fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>'
        ).format(path, colour, dash)
    ]
    if len(placed) <= _MOST_MARKED:
        parts += [
            _dot(place, colour, f"{line.name}: {value:.3g} at {at:g}")
            for place, (at, value) in zip(placed, line.points, strict=True)
        ]
    parts += [
        Markup(
            '<circle cx="{:.1f}" cy="{:.1f}" r="4.5" fill="#fff" stroke="{}" stroke-width="2">'
            "<title>{}</title></circle>"
        ).format(_across(x, at), _down(y, value), colour, f"{line.name}: {value:.3f} at {at:.3f}")
        for at, value in line.marks
    ]
    return Markup("").join(parts)


def _dot(place: Point, colour: str, title: str) -> Markup:
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"><title>{}</title></circle>').format(
        *place, colour, title
    )


def _draw_axes(x: Axis, y: Axis) -> Markup:
    """Draw a frame and the numbers of the axis across."""
    names = [
        Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            _across(x, place),
            _HEIGHT - _BOTTOM + 15,
            "end" if x.names and place == x.high else "middle",  # a name is wider than a number
            name,
        )
        for place, name in x.names or [(tick, f"{tick:g}") for tick in ticks(x)]
    ]
    return Markup("").join([_draw_frame(x, y), *names])


def _draw_frame(x: Axis, y: Axis) -> Markup:
    """Draw the axes with their titles, and the grid and the numbers of the one upwards."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for tick in ticks(y):
        parts.append(
            Markup(
                '<path class="grid" d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}" text-anchor="end">{:g}</text>'
            ).format(_LEFT, _down(y, tick), right, _LEFT - 5, _down(y, tick) + 4, tick)
        )
    parts.append(Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(_LEFT, _TOP, bottom, right))
    parts.append(
        Markup('<text class="name" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (_LEFT + right) / 2, _HEIGHT - 6, x.title
        )
    )
    middle = (_TOP + bottom) / 2
    parts.append(
        Markup(
            '<text class="name" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format(middle, y.title)
    )
    return Markup("").join(parts)


def _draw_entry(line: Line, index: int) -> Markup:
    colour, dash = _style(line, index)
    return Markup(
        '<span><svg viewBox="0 0 24 8" aria-hidden="true"><path d="M1 4H23" stroke="{}" stroke-width="3" '
        'stroke-dasharray="{}"/></svg>{}</span> '
    ).format(colour, dash, line.name)


def _style(line: Line, index: int) -> tuple[str, str]:
    if line.style == NEUTRAL:
        return _NEUTRAL_COLOUR, "none"
    index = index if line.style is None else line.style
    dashes = ("none", "6 3", "2 3")
    return COLOURS[index % len(COLOURS)], dashes[index // len(COLOURS) % len(dashes)]


def _across(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _down(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM)
