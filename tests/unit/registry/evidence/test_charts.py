from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.evidence.charts import COLOURS, NEUTRAL, Axis, Line, bar_chart, fit_axis, line_chart, ticks
from registry.evidence.model_charts import training_charts

SHARE = Axis("share", 0.0, 1.0)
STEPS = Axis("step", 0.0, 100.0)


def points_of(chart: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in path.split())]
        for path in re.findall(r'<polyline points="([^"]*)"', chart)
    ]


def test_a_line_goes_through_the_places_of_its_figures() -> None:
    """The plot is 44..348 wide and 10..180 high: halfway is 196 and 95."""
    (line,) = points_of(line_chart("IoU", STEPS, SHARE, [Line("bolt", ((0, 0.0), (50, 0.5), (100, 1.0)))]))
    assert line == [(44.0, 180.0), (196.0, 95.0), (348.0, 10.0)]


def test_every_line_has_a_colour_and_an_entry_in_the_legend() -> None:
    lines = [Line(f"class {number}", ((0, 0.1),)) for number in range(10)]
    chart = str(line_chart("IoU", STEPS, SHARE, lines))
    legend = chart.partition("legend")[2]
    assert [f"class {number}<" in legend for number in range(10)] == [True] * 10
    styles = re.findall(r'<polyline [^>]* stroke="([^"]+)"[^>]*dasharray="([^"]+)"', chart)
    assert len(set(styles)) == 10, "beyond the colours there are dashes"


def test_a_chart_says_what_it_is_to_who_cannot_see_it() -> None:
    chart = line_chart("IoU over versions", STEPS, SHARE, [Line("bolt", ((0, 0.25),))])
    assert 'role="img" aria-label="IoU over versions"' in chart
    assert "<title>bolt: 0.25 at 0</title>" in chart


def test_names_become_no_markup() -> None:
    nasty = "<script>alert(1)</script>\"'&"
    chart = line_chart(nasty, Axis(nasty, 0, 1), Axis(nasty, 0, 1), [Line(nasty, ((0, 0.5),))])
    assert "<script" not in chart
    ElementTree.fromstring(str(chart))


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=40),
    st.floats(-1e5, 1e5),
    st.floats(1e-3, 1e6),
)
def test_nothing_is_drawn_outside_the_plot(
    points: list[tuple[float, float]], low: float, span: float
) -> None:
    axis = Axis("", low, low + span)
    for line in points_of(line_chart("x", axis, axis, [Line("a", tuple(points))])):
        assert all(44 <= x <= 348 and 10 <= y <= 180 for x, y in line)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis("", 0.0, 0.5), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (Axis("", 0.0, 0.6), [0.0, 0.2, 0.4, 0.6]),
        (Axis("", -3.0, 3.0), [-2.0, 0.0, 2.0]),
        (Axis("", 0.0, 13.0), [0.0, 5.0, 10.0]),
        (Axis("", 0.0, 30.0), [0.0, 10.0, 20.0, 30.0]),
        (Axis("", 7.0, 8.0, whole=True), [7.0, 8.0]),
        (Axis("", 0.3, 1.2, whole=True), [1.0]),
    ],
)
def test_ticks_are_ones_twos_and_fives(axis: Axis, expected: list[float]) -> None:
    assert ticks(axis) == expected


@pytest.mark.parametrize(("value", "place"), [(2.0, 0.0), (1.0, 0.0), (3.0, 0.25), (6.0, 1.0), (9.0, 1.0)])
def test_a_value_outside_of_an_axis_is_put_at_its_end(value: float, place: float) -> None:
    assert Axis("", 2.0, 6.0).place(value) == place


@pytest.mark.parametrize(("num_points", "num_dots"), [(30, 30), (31, 0)])
def test_a_line_of_many_points_is_drawn_without_dots(num_points: int, num_dots: int) -> None:
    line = Line("bolt", tuple((float(step), 0.5) for step in range(num_points)))
    assert str(line_chart("IoU", STEPS, SHARE, [line])).count('r="3"') == num_dots


def test_a_mark_is_a_ring_at_its_place_with_both_figures() -> None:
    chart = str(line_chart("x", SHARE, SHARE, [Line("bolt", (), marks=((0.5, 0.25),))]))
    assert '<circle cx="196.0" cy="137.5" r="4.5"' in chart
    assert "<title>bolt: 0.250 at 0.500</title>" in chart


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e6), st.booleans())
def test_ticks_are_few_and_on_the_axis(low: float, span: float, whole: bool) -> None:
    axis = Axis("", low, low + span, whole=whole)
    found = ticks(axis)
    assert len(found) <= 7
    slack = span * 1e-6 + 1e-9
    assert all(low - slack <= tick <= low + span + slack for tick in found)
    assert not whole or all(float(tick).is_integer() for tick in found)


@pytest.mark.parametrize(
    ("values", "ends"),
    [((), (0.0, 1.0)), ((3.0,), (0.0, 3.0)), ((0.0, 0.0), (0.0, 1.0)), ((-2.0, -1.0), (0.0, 1.0))],
)
def test_an_axis_has_a_length_whatever_it_holds(values: tuple[float, ...], ends: tuple[float, float]) -> None:
    axis = fit_axis("loss", values, low=0.0)
    assert (axis.low, axis.high) == ends


def test_an_axis_whose_beginning_is_not_fixed_begins_at_the_lowest_figure() -> None:
    assert fit_axis("IoU", (0.75, 0.5, 0.25)) == Axis("IoU", 0.25, 0.75)
    assert fit_axis("IoU", (4.0, 4.0), whole=True) == Axis("IoU", 4.0, 5.0, whole=True)


def test_a_class_keeps_its_colour_in_every_chart() -> None:
    axis = Axis("", 0.0, 1.0)
    points = ((0.0, 0.5), (1.0, 1.0))
    whole = line_chart("x", axis, axis, [Line("mean", points, style=NEUTRAL), Line("nut", points, style=1)])
    part = line_chart("x", axis, axis, [Line("nut", points, style=1)])
    strokes = [re.findall(r'<polyline [^>]*stroke="(#\w+)"', chart) for chart in (whole, part)]
    assert strokes[0][1:] == strokes[1] == [COLOURS[1]]
    assert strokes[0][0] not in COLOURS


def test_a_training_is_drawn_with_what_there_is() -> None:
    loss = ((10.0, 2.0), (20.0, 1.0))
    assert training_charts({}) == []
    (only,) = training_charts({"training loss": loss})
    assert points_of(only) == [[(196.0, 10.0), (348.0, 95.0)]], "from step 0 to 20, from loss 0 to 2"
    both, iou = training_charts(
        {"training loss": loss, "validation loss": loss, "validation IoU": ((20.0, 0.5),)}
    )
    assert "validation loss" in both
    assert points_of(iou) == [[(348.0, 95.0)]]


def test_a_bar_is_as_high_as_its_number_and_says_it() -> None:
    """The plot is 170 px high: of at most 4, one of 2 takes 85."""
    chart = str(bar_chart("sizes", "px", "instances", [("1", 4), ("2-3", 2), ("4-7", 0)]))
    assert re.findall(r'<rect [^>]*height="([^"]+)"', chart) == ["170.0", "85.0", "0.0"]
    assert "<title>2-3: 2</title>" in chart
    ElementTree.fromstring(chart)


def test_names_of_bars_are_left_out_before_they_overlap() -> None:
    bars = [(f"{2**number}-{2 ** (number + 1) - 1}", 1.0) for number in range(12)]
    named = [f">{name}</text>" in bar_chart("sizes", "px", "instances", bars) for name, _ in bars]
    assert 3 <= sum(named) < 12
    assert all(f"<title>{name}: 1</title>" in bar_chart("sizes", "px", "n", bars) for name, _ in bars)


def test_a_histogram_without_bars_is_a_frame() -> None:
    assert "<rect" not in bar_chart("sizes", "px", "instances", [])
