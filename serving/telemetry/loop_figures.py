"""The state of the loop as Prometheus rows: how good the champion was judged, drift, the rollout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from maskloop.records.kinds import DriftJudged, RolloutPhase
from maskloop.state.loop_state import LoopState
from monitoring.slo.label_quality import QualityBudget
from registry.champion.lineage import rollback_target
from registry.gates.own_figures import CLASS_IOU, MEAN_IOU

_DRIFT_OUTCOMES: Final = ("drift", "quiet", "inconclusive")


class LoopFigures(Collector):
    """Tells the state it was shown last. Every worker reads the same ledger, so each can tell it alone.

    Args:
        model_name: The registered model's name.
    """

    def __init__(self, model_name: str) -> None:
        name = GaugeMetricFamily("maskloop_model_info", "1: the model in the registry.", labels=["name"])
        name.add_metric([model_name], 1)
        self._name = name
        self._families: Sequence[Metric] = ()

    def show(self, state: LoopState, quality: Sequence[QualityBudget] = ()) -> None:
        """Tell this state from now on, and the champion's quality on labels from production."""
        self._families = (*describe_loop(state), *describe_production(state, quality))

    def collect(self) -> Iterable[Metric]:
        """Return the rows."""
        return (self._name, *self._families)


def describe_loop(state: LoopState) -> tuple[Metric, ...]:
    """Return the state as rows. An unknown figure has none: no verdict, drift not judged, no rollout."""
    return (*_describe_quality(state), *_describe_drift(state), *_describe_rollout(state))


def _describe_quality(state: LoopState) -> Iterable[Metric]:
    """Tell the champion's mask IoU as its own verdict measured it."""
    verdict = state.verdicts.get(state.champion.weights_digest) if state.champion else None
    checks = verdict.checks if verdict else ()
    measured = [(check, check.measured) for check in checks if check.measured is not None]
    by_class = GaugeMetricFamily(
        "maskloop_champion_class_iou", "Mask IoU of a class when judged, 0..1.", labels=["class_name"]
    )
    for check, iou in measured:
        if check.gate == CLASS_IOU.name:
            by_class.add_metric([check.subject], iou)
    yield by_class
    for check, iou in measured:
        if check.gate == MEAN_IOU.name:
            yield GaugeMetricFamily("maskloop_champion_mean_iou", "Mean of those, 0..1.", value=iou)


def _describe_drift(state: LoopState) -> Iterable[Metric]:
    """Tell the newest verdict about what the present champion sees; a new champion has none yet.

    The time is told beside it: where nothing judges any more, the last verdict would stay for ever.
    """
    if not state.serving:
        return
    serving = state.serving[-1]
    judged_at, judged = state.last_drift or (serving.since, None)
    if judged is None or judged.weights_digest != serving.change.weights_digest:
        judged_at, judged = serving.since, None
    yield GaugeMetricFamily(
        "maskloop_drift_judged_timestamp_seconds",
        "When; before the first verdict, since when the champion serves.",
        value=judged_at.timestamp(),
    )
    if judged is None:
        return
    outcomes = GaugeMetricFamily("maskloop_drift", "1: the newest verdict.", labels=["outcome"])
    for outcome in _DRIFT_OUTCOMES:
        outcomes.add_metric([outcome], judged.outcome == outcome)
    yield outcomes
    yield GaugeMetricFamily(
        "maskloop_drifted_features", "Signals that drifted in it.", value=len(judged.drifted_features)
    )
    yield from _describe_estimates(judged)


def _describe_estimates(judged: DriftJudged) -> Iterable[Metric]:
    """Tell what was estimated without labels in that window; of a refused figure that alone."""
    labels = ["class_name", "metric"]
    value = GaugeMetricFamily("maskloop_estimated_quality", "Estimated, 0..1.", labels=labels)
    low = GaugeMetricFamily("maskloop_estimated_quality_low", "Its band from there.", labels=labels)
    high = GaugeMetricFamily("maskloop_estimated_quality_high", "And to there.", labels=labels)
    refused = GaugeMetricFamily(
        "maskloop_estimated_quality_refused", "1: there is no estimate, 0: there is one.", labels=labels
    )
    for one in judged.estimates:
        of = [one.class_name, one.metric]
        refused.add_metric(of, one.value is None)
        for family, number in ((value, one.value), (low, one.low), (high, one.high)):
            if number is not None:
                family.add_metric(of, number)
    if judged.estimates:
        yield from (value, low, high, refused)


def _describe_rollout(state: LoopState) -> Iterable[Metric]:
    """Tell the phase of the newest rollout, and the share a challenger may answer now."""
    share_percent = state.rollout.share_percent if state.rollout else 0.0
    yield GaugeMetricFamily(
        "maskloop_rollout_share_percent", "Of requests the challenger may answer.", value=share_percent
    )
    if not state.rollouts:
        return
    newest = list(state.rollouts.values())[-1]
    phases = GaugeMetricFamily("maskloop_rollout_phase", "1: the newest rollout's phase.", labels=["phase"])
    for phase in get_args(RolloutPhase):
        phases.add_metric([phase], newest.phase == phase)
    yield phases


def describe_production(state: LoopState, quality: Sequence[QualityBudget]) -> Iterable[Metric]:
    """Tell how good the champion is in production, whether that holds promotion back, and what was before."""
    by_class = GaugeMetricFamily(
        "maskloop_production_class_iou",
        "Mask IoU of a class on labels from production, or estimated, 0..1.",
        labels=["class_name"],
    )
    known = next((one for one in quality if one.iou is not None), None)
    if known is not None and known.iou is not None and known.left is not None:
        for name, band in known.classes.items():
            by_class.add_metric([name], band.value)
        yield GaugeMetricFamily("maskloop_production_mean_iou", "Mean of those, 0..1.", value=known.iou.value)
        yield GaugeMetricFamily(
            "maskloop_quality_budget_left_ratio", "1: all is left; 0 or below: none.", value=known.left
        )
    yield by_class
    yield GaugeMetricFamily(
        "maskloop_promotion_frozen",
        "1: the quality budget is spent, and the policy promotes nothing.",
        value=any(one.is_spent for one in quality),
    )
    if target := rollback_target(state):
        info = GaugeMetricFamily(
            "maskloop_rollback_target_info", "1: a rollback brings it back.", labels=["version"]
        )
        info.add_metric([target], 1)
        yield info
