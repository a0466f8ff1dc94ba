"""The charts of the views, from facts computed by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.views.chart import LIMIT_STYLE, seconds
from flows.views.drawings import (
    NUM_SHOWN,
    NUM_VERSIONS_SHOWN,
    draw_cycle_hours,
    draw_drift,
    draw_estimates,
    draw_iou,
    draw_precision_recall,
    draw_training,
    draw_training_cost,
)
from flows.views.history import Attempt, CycleTimes, JudgedVersion, read_history
from maskloop.records.kinds import QualityEstimate
from maskloop.records.production_records import QualityMetric
from registry.evidence.diagnosis import ClassFindings, Diagnosis
from tests.fakes.incident_stories import Story

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def judged(version: int, **class_iou: float) -> JudgedVersion:
    floors = dict.fromkeys(class_iou, 0.6)
    return JudgedVersion(str(version), AT, "cycle-1", "pass", "data-v1", 0.7, class_iou, floors)


def test_iou_has_a_line_for_each_class_the_mean_and_their_floor() -> None:
    chart = draw_iou([judged(1, bolt=0.5, nut=0.9), judged(2, bolt=0.6)])
    assert chart is not None
    lines = {one.name: one.points for one in chart.series}
    assert lines == {
        "mean": ((1.0, 0.7), (2.0, 0.7)),
        "bolt": ((1.0, 0.5), (2.0, 0.6)),
        "the gates' floor of each class": ((1.0, 0.6), (2.0, 0.6)),
    }
    assert chart.series[1].notes[0] == "data-v1, judged 2026-03-02 09:00: pass"


def test_of_many_classes_the_lowest_are_drawn_and_keep_their_colours() -> None:
    classes = {f"class {number}": number / 10 for number in range(9, 0, -1)}
    chart = draw_iou([judged(1, **classes)])
    assert chart is not None
    drawn = [(one.name, one.style) for one in chart.series[1:-1]]
    assert drawn == [(f"class {number}", 9 - number) for number in range(7, 0, -1)]


def test_without_figures_there_is_no_chart() -> None:
    assert draw_iou([judged(1)]) is None
    assert draw_drift((), 0.3) is None
    assert draw_cycle_hours([CycleTimes("cycle-1", "manual", "", AT)]) is None
    assert draw_training_cost(()) is None
    assert draw_training({}) == ()


def test_of_many_versions_the_newest_are_shown_first() -> None:
    chart = draw_iou([judged(number, bolt=0.5) for number in range(1, 3 * NUM_VERSIONS_SHOWN + 1)])
    assert chart is not None
    assert (chart.begins_at, chart.x.low) == (2 * NUM_VERSIONS_SHOWN + 1, 1.0)


def test_drift_has_scores_the_windows_that_drifted_and_the_limit() -> None:
    story = Story()
    story.window("quiet", score=0.1)
    story.window("drift", score=0.8, drifted_features=("a", "b", "c", "d"))
    story.window("inconclusive", score=None)
    windows = read_history(story.ledger).windows
    chart = draw_drift(windows, 0.3)
    assert chart is not None
    times = [seconds(one.at) for one in windows]
    score, drift, unsure, limit = chart.series
    assert score.points == ((times[0], 0.1), (times[1], 0.8))
    assert (drift.points, unsure.points) == (((times[1], 0.8),), ())
    assert drift.notes == ("drift, 120 samples\nfrom belt\nin a, b, c and 1 more",)
    assert (limit.style, limit.points[0][1]) == (LIMIT_STYLE, 0.3)


def estimate(name: str, value: float | None, *, metric: QualityMetric = "mask_iou") -> QualityEstimate:
    band = (None, None) if value is None else (value - 0.1, value + 0.05)
    return QualityEstimate(
        class_name=name,
        metric=metric,
        value=value,
        low=band[0],
        high=band[1],
        confidence=0.9,
        num_pictures=80,
        refused_because="too far from what was learned" if value is None else "",
    )


def test_estimates_are_drawn_by_class_and_refused_ones_left_out() -> None:
    story = Story()
    story.window("quiet", estimates=(estimate("bolt", 0.7), estimate("nut", 0.9)))
    story.window("drift", estimates=(estimate("bolt", 0.5), estimate("nut", None)))
    story.window("quiet", estimates=(estimate("bolt", 0.2, metric="mask_ap"),))
    windows = read_history(story.ledger).windows
    chart = draw_estimates(windows)
    assert chart is not None
    first, second, _ = (seconds(one.at) for one in windows)
    assert [(one.name, one.points) for one in chart.series] == [
        ("bolt", ((first, 0.7), (second, 0.5))),
        ("nut", ((first, 0.9),)),
    ]
    assert chart.series[0].notes[1] == "0.40 to 0.55, 90%\n80 pictures, drift"
    assert draw_estimates(windows[2:]) is None


def test_of_many_windows_the_newest_are_shown_first() -> None:
    story = Story()
    for _ in range(NUM_SHOWN + 10):
        story.window("quiet", score=0.1)
    windows = read_history(story.ledger).windows
    chart = draw_drift(windows, 0.3)
    assert chart is not None
    assert chart.begins_at == seconds(windows[10].at)


def test_hours_of_cycles_are_points_by_outcome() -> None:
    ended: dict[str, Any] = {"closed_at": AT + timedelta(hours=3), "outcome": "promoted", "version": "1"}
    chart = draw_cycle_hours([CycleTimes("cycle-1", "manual", "", AT, **ended)])
    assert chart is not None
    (points,) = chart.series
    assert (points.name, points.points) == ("promoted", ((seconds(ended["closed_at"]), 3.0),))


def test_the_cost_is_added_up() -> None:
    hours = [Attempt("c", AT, 3600.0), Attempt("c", AT + timedelta(hours=1), 1800.0, "NaN")]
    chart = draw_training_cost(hours)
    assert chart is not None
    everything, lost = chart.series
    assert [total for _, total in everything.points] == [1.0, 1.5]
    assert [total for _, total in lost.points] == [0.5]


def test_losses_and_iou_of_a_training_are_two_charts() -> None:
    training = {"training loss": ((1.0, 2.0), (5.0, 1.0)), "validation IoU": ((5.0, 0.5),)}
    losses, shares = draw_training(training)
    assert [one.name for one in losses.series] == ["training loss"]
    assert (shares.x.high, shares.y.high) == (5.0, 1.0)


def test_precision_over_recall_rings_the_threshold_in_use() -> None:
    bolt = ClassFindings("bolt", 9, 0.8, 0.6, 0.7, 0.5, ((0.0, 1.0), (1.0, 0.2)))
    nut = ClassFindings("nut", 0, None, None, None, None)
    diagnosis = Diagnosis(None, {}, {}, None, None, (), (), (), (), (bolt, nut))
    curve, rings = draw_precision_recall(diagnosis).series
    assert curve.points == ((0.0, 1.0), (1.0, 0.2))
    assert (rings.points, rings.notes) == (((0.6, 0.8),), ("bolt",))
