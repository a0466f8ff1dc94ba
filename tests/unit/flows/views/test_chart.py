"""Charts: what is drawn, what the chart library gets, and what is left out of long lines."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from flows.views.chart import MAX_LIVE, Chart, Series, describe_chart, draw, fit, limit_line, thin_out
from registry.evidence.charts import Axis

UNIT = Axis("IoU", 0.0, 1.0)


def chart(*series: Series, begins_at: float = 0.0) -> Chart:
    return Chart("a chart", Axis("version", 0.0, 10.0, whole=True), UNIT, series, begins_at=begins_at)


def test_a_chart_is_an_svg_with_the_same_values_as_json_beside_it() -> None:
    drawn = str(draw(chart(Series("bolt", ((0.0, 0.5), (10.0, 1.0)), notes=("first", "second")))))
    assert 'polyline points="44.0,95.0 348.0,10.0"' in drawn
    found = re.search(r'<script type="application/json">(.*)</script>', drawn)
    assert found
    (line,) = json.loads(found[1])["series"]
    assert line == {
        "name": "bolt",
        "kind": "line",
        "style": 0,
        "x": [0.0, 10.0],
        "y": [0.5, 1.0],
        "notes": ["first", "second"],
    }


def test_a_name_cannot_end_the_script_that_holds_it() -> None:
    drawn = str(draw(chart(Series("</script><script>alert(1)</script>", ((1.0, 0.5),)))))
    assert drawn.count("<script") == drawn.count("</script>") == 1
    held = drawn.partition('json">')[2].partition("</script>")[0]
    assert json.loads(held)["series"][0]["name"] == "</script><script>alert(1)</script>"


def test_times_are_written_for_people_and_for_the_library() -> None:
    over_time = Chart("a", Axis("time", 0.0, 60.0, names=((0.0, "00:00"),)), UNIT, (), is_over_time=True)
    line = Series("score", ((0.0, 0.5),))
    described = describe_chart(Chart("a", over_time.x, UNIT, (line,), is_over_time=True))
    assert described["series"][0]["x"] == ["1970-01-01 00:00:00"]
    assert ">00:00</text>" in str(draw(over_time))


def test_the_svg_shows_the_newest_part_and_the_library_has_all() -> None:
    long = chart(Series("bolt", tuple((float(x), 0.5) for x in range(11))), begins_at=8.0)
    assert str(draw(long)).count("<circle") == 3
    described = describe_chart(long)
    assert len(described["series"][0]["x"]) == 11
    assert (described["x"]["from"], described["x"]["to"]) == (8.0, 10.0)


def test_a_limit_goes_across_the_whole_chart() -> None:
    assert limit_line("floor", 0.6, Axis("x", 2.0, 5.0)).points == ((2.0, 0.6), (5.0, 0.6))


def test_an_axis_has_room_above_the_highest_value() -> None:
    assert fit("loss", [Series("a", ((0.0, 2.0),))]).high == 2.1
    assert fit("loss", []).high == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=500), st.integers(4, 60))
def test_thinning_keeps_extremes_order_and_notes(values: list[float], most: int) -> None:
    points = tuple((float(x), value) for x, value in enumerate(values))
    thin = thin_out(Series("a", points, notes=tuple(str(x) for x in range(len(points)))), most)
    kept = [value for _, value in thin.points]
    assert (min(kept), max(kept)) == (min(values), max(values))
    assert list(thin.points) == sorted(thin.points)
    assert [str(int(x)) for x, _ in thin.points] == list(thin.notes)
    assert len(thin.points) <= max(most, 1) + 2


def test_the_library_gets_thousands_of_points_and_no_more() -> None:
    line = Series("a", tuple((float(x), 0.5) for x in range(3 * MAX_LIVE)))
    assert len(describe_chart(chart(line))["series"][0]["x"]) <= MAX_LIVE
