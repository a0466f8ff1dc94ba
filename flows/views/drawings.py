"""The charts of the views, each from the facts that it shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Final

from flows.views.chart import (
    BAD_STYLE,
    UNSURE_STYLE,
    Chart,
    Series,
    fit,
    limit_line,
    seconds,
    time_axis,
)
from flows.views.history import Attempt, CycleTimes, DriftWindow, JudgedVersion
from maskloop.records.kinds import QualityEstimate
from maskloop.wording import count
from registry.evidence.charts import NEUTRAL, Axis, Point, fit_axis
from registry.evidence.diagnosis import Diagnosis

MAX_CLASSES: Final = 7
"""More lines in one chart cannot be told apart."""
_OUTCOME_STYLES: Final[Mapping[str, int]] = {"promoted": 2, "rejected": 6, "failed": 1, "abandoned": 7}
NUM_SHOWN: Final = 150
"""Windows or cycles that a chart shows at first; the earlier ones once asked to."""
NUM_VERSIONS_SHOWN: Final = 50
_HOUR_S: Final = 3600.0


def draw_iou(versions: Sequence[JudgedVersion]) -> Chart | None:
    """Draw each class's IoU over the versions, and their mean; None without figures.

    Of more than seven classes the seven whose IoU is lowest in the newest version are drawn.
    """
    known = [one for one in versions if one.class_iou and one.version.isdigit()]
    if not known:
        return None
    newest = known[-1]
    worst = sorted(newest.class_iou, key=lambda name: newest.class_iou[name])[:MAX_CLASSES]
    lines = [_iou_line("mean", [(one, one.mean_iou) for one in known], NEUTRAL)]
    for place, name in enumerate(newest.class_iou):
        if name in worst:
            lines.append(_iou_line(name, [(one, one.class_iou.get(name)) for one in known], place))
    x = fit_axis("version", [float(one.version) for one in known], whole=True)
    floors = set(newest.floors.values())
    if len(floors) == 1:
        lines.append(limit_line("the gates' floor of each class", floors.pop(), x))
    first = float(known[-NUM_VERSIONS_SHOWN:][0].version)
    y = Axis("mask IoU", 0.0, 1.0)
    return Chart("mask IoU of each class over versions", x, y, tuple(lines), begins_at=first)


def _iou_line(name: str, found: Sequence[tuple[JudgedVersion, float | None]], style: int) -> Series:
    shown = [(one, iou) for one, iou in found if iou is not None]
    return Series(
        name,
        tuple((float(one.version), iou) for one, iou in shown),
        style,
        tuple(f"{one.data_tag}, judged {one.at:%Y-%m-%d %H:%M}: {one.outcome}" for one, _ in shown),
    )


def draw_drift(windows: Sequence[DriftWindow], limit: float) -> Chart | None:
    """Draw the drift score over time, with what was judged to be drift; None without scores.

    Args:
        windows: Oldest first.
        limit: The smallest effect that matters, 0..1.
    """
    scored = [(one, one.judged.score) for one in windows if one.judged.score is not None]
    if not scored:
        return None
    x = time_axis([one.at for one, _ in scored])
    marked = []
    for outcome, style in (("drift", BAD_STYLE), ("inconclusive", UNSURE_STYLE)):
        points, notes = _drift_points(scored, outcome)
        marked.append(Series(outcome, points, style, notes, "points"))
    points, notes = _drift_points(scored)
    lines = (
        Series("score of the window", points, 0, notes),
        *marked,
        limit_line("smallest effect", limit, x),
    )
    return Chart(
        "drift score over time",
        x,
        Axis("score: largest effect of a signal", 0.0, 1.0),
        lines,
        is_over_time=True,
        begins_at=_first_shown([one.at for one, _ in scored]),
    )


def _drift_points(
    scored: Sequence[tuple[DriftWindow, float]], outcome: str = ""
) -> tuple[tuple[Point, ...], tuple[str, ...]]:
    own = [(one, score) for one, score in scored if outcome in ("", one.judged.outcome)]
    points = tuple((seconds(one.at), score) for one, score in own)
    return points, tuple(_describe_window(one) for one, _ in own)


def _describe_window(window: DriftWindow) -> str:
    judged = window.judged
    signals = ", ".join(judged.drifted_features[:3])
    more = f" and {len(judged.drifted_features) - 3} more" if len(judged.drifted_features) > 3 else ""
    said = [f"{judged.outcome}, {count(judged.num_samples, 'sample')}"]
    said += [f"version {window.version}"] if window.version else []
    said += [f"from {', '.join(judged.sources)}"] if judged.sources else []
    said += [f"in {signals}{more}"] if signals else []
    return "\n".join(said)


def draw_estimates(windows: Sequence[DriftWindow]) -> Chart | None:
    """Draw each class's mask IoU in production over time, as estimated without labels; None without any.

    Of more than seven classes the seven whose newest estimate is lowest are drawn.

    Args:
        windows: Oldest first.
    """
    found: dict[str, list[tuple[DriftWindow, QualityEstimate, float]]] = {}
    for window in windows:
        for one in window.judged.estimates:
            if one.metric == "mask_iou" and one.value is not None:
                found.setdefault(one.class_name, []).append((window, one, one.value))
    if not found:
        return None
    worst = sorted(found, key=lambda name: found[name][-1][2])[:MAX_CLASSES]
    lines = tuple(
        Series(
            name,
            tuple((seconds(window.at), value) for window, _, value in own),
            place,
            tuple(_describe_estimate(window, one) for window, one, _ in own),
        )
        for place, (name, own) in enumerate(found.items())
        if name in worst
    )
    times = [window.at for own in found.values() for window, _, _ in own]
    return Chart(
        "estimated mask IoU of each class in production",
        time_axis(times),
        Axis("mask IoU, estimated", 0.0, 1.0),
        lines,
        is_over_time=True,
        begins_at=_first_shown([window.at for window in windows]),
    )


def _describe_estimate(window: DriftWindow, one: QualityEstimate) -> str:
    band = f"{one.low:.2f} to {one.high:.2f}, {one.confidence:.0%}"
    version = f"version {window.version}, " if window.version else ""
    return f"{band}\n{version}{count(one.num_pictures, 'picture')}, {window.judged.outcome}"


def draw_cycle_hours(cycles: Sequence[CycleTimes]) -> Chart | None:
    """Draw how long the closed cycles took, each where it ended; None without any."""
    closed = [(one, one.closed_at) for one in cycles if one.closed_at is not None]
    if not closed:
        return None
    series = tuple(
        Series(
            outcome,
            tuple((seconds(at), _hours(one.opened_at, at)) for one, at in own),
            style,
            tuple(f"{one.id} ({one.reason}), version {one.version or 'none'}" for one, _ in own),
            "points",
        )
        for outcome, style in _OUTCOME_STYLES.items()
        if (own := [(one, at) for one, at in closed if one.outcome == outcome])
    )
    ends = [at for _, at in closed]
    return Chart(
        "how long cycles took",
        time_axis(ends),
        fit("hours from opening to end", series),
        series,
        is_over_time=True,
        begins_at=_first_shown(ends),
    )


def draw_training_cost(attempts: Sequence[Attempt]) -> Chart | None:
    """Draw the hours of training so far, and of those the hours without a result; None without any."""
    if not attempts:
        return None
    x = time_axis([one.ended_at for one in attempts])
    series = (
        _running_total("all attempts", attempts, 0),
        _running_total("attempts without a result", [one for one in attempts if one.failure], BAD_STYLE),
    )
    return Chart("hours of training, added up", x, fit("hours", series), series, is_over_time=True)


def _running_total(name: str, attempts: Sequence[Attempt], style: int) -> Series:
    totals = accumulate(one.seconds / _HOUR_S for one in attempts)
    points = tuple((seconds(one.ended_at), total) for one, total in zip(attempts, totals, strict=True))
    notes = tuple(
        f"{one.cycle_id}: {one.seconds / 60:.1f} min{f'; {one.failure}' if one.failure else ''}"
        for one in attempts
    )
    return Series(name, points, style, notes)


def draw_training(training: Mapping[str, tuple[Point, ...]]) -> tuple[Chart, ...]:
    """Draw the losses over the steps, then the IoU on the validation pictures; what is missing stays out."""
    last = max((step for points in training.values() for step, _ in points), default=1.0)
    steps = Axis("training step", 0.0, max(1.0, last), whole=True)
    losses = tuple(Series(name, points) for name, points in training.items() if "loss" in name and points)
    shares = tuple(Series(name, points) for name, points in training.items() if "IoU" in name and points)
    charts = []
    if losses:
        charts.append(Chart("loss over steps", steps, fit("loss", losses), losses))
    if shares:
        iou = Axis("mask IoU", 0.0, 1.0)
        charts.append(Chart("IoU on validation pictures over steps", steps, iou, shares))
    return tuple(charts)


def draw_precision_recall(diagnosis: Diagnosis) -> Chart:
    """Draw a line for each class over recall, with a ring at the threshold in use."""
    lines = tuple(
        Series(one.name, one.curve, place) for place, one in enumerate(diagnosis.classes) if one.curve
    )
    rings = [
        (one.name, (one.recall, one.precision))
        for one in diagnosis.classes
        if one.recall is not None and one.precision is not None
    ]
    at_threshold = Series(
        "at the threshold in use",
        tuple(point for _, point in rings),
        NEUTRAL,
        tuple(name for name, _ in rings),
        "points",
    )
    return Chart(
        "precision over recall, by class",
        Axis("recall", 0.0, 1.0),
        Axis("precision", 0.0, 1.0),
        (*lines, at_threshold),
    )


def _first_shown(times: Sequence[datetime]) -> float:
    return seconds(sorted(times)[-NUM_SHOWN:][0])


def _hours(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds(), 0.0) / _HOUR_S
