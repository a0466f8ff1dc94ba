"""The charts of one model, for the approval page and the page of the loop. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from registry.evidence.charts import Axis, Line, Point, fit_axis, line_chart
from registry.evidence.diagnosis import ClassFindings, Diagnosis

_LOSSES: Final = ("training loss", "validation loss")
_SHARE: Final = "validation IoU"


def precision_recall_chart(diagnosis: Diagnosis) -> Markup:
    """Draw a line for each class over recall, with a ring at the threshold in use."""
    lines = [
        Line(one.name, one.curve, _working_point(one), style=place)
        for place, one in enumerate(diagnosis.classes)
        if one.curve
    ]
    return line_chart(
        "precision over recall, by class", Axis("recall", 0.0, 1.0), Axis("precision", 0.0, 1.0), lines
    )


def training_charts(training: Mapping[str, tuple[Point, ...]]) -> list[Markup]:
    """Draw the losses over the steps, then the IoU on the validation pictures; what is missing stays out."""
    losses = [Line(name, training[name]) for name in _LOSSES if training.get(name)]
    shares = [Line(_SHARE, training[_SHARE])] if training.get(_SHARE) else []
    last_step = max((step for points in training.values() for step, _ in points), default=1.0)
    steps = Axis("training step", 0.0, max(1.0, last_step), whole=True)
    charts = []
    if losses:
        highest = [value for line in losses for _, value in line.points]
        charts.append(line_chart("loss over steps", steps, fit_axis("loss", highest, low=0.0), losses))
    if shares:
        charts.append(
            line_chart("IoU on validation pictures over steps", steps, Axis("mask IoU", 0.0, 1.0), shares)
        )
    return charts


def _working_point(one: ClassFindings) -> tuple[Point, ...]:
    if one.precision is None or one.recall is None:
        return ()
    return ((one.recall, one.precision),)
