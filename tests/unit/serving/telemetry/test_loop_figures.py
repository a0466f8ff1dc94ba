"""What was estimated without labels is told to Prometheus; what was refused is no zero."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from maskloop.records.kinds import ChampionChanged, DriftJudged, QualityEstimate
from maskloop.state.loop_state import LoopState, Serving
from serving.telemetry.loop_figures import describe_loop
from tests.fakes.records import with_only

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def estimate(name: str, value: float | None, low: float | None, high: float | None) -> QualityEstimate:
    refusal = "" if value is not None else "unlike anything"
    numbers: dict[str, Any] = {"value": value, "low": low, "high": high, "refused_because": refusal}
    return QualityEstimate(class_name=name, metric="mask_iou", confidence=0.9, num_pictures=40, **numbers)


def rows(weights_digest: str, *estimates: QualityEstimate) -> dict[tuple[str, str], float]:
    drift = with_only(
        DriftJudged,
        outcome="drift",
        weights_digest=weights_digest,
        drifted_features=(),
        estimates=estimates,
    )
    change = with_only(ChampionChanged, version="2", weights_digest="w2")
    state = LoopState(serving=(Serving(NOON, "anna", "cycle-1", change),), last_drift=(NOON, drift))
    return {
        (sample.name, sample.labels["class_name"]): sample.value
        for family in describe_loop(state)
        for sample in family.samples
        if "estimated" in sample.name
    }


def test_an_estimate_is_told_with_its_band_and_a_refused_one_only_as_refused() -> None:
    told = rows("w2", estimate("bolt", 0.74, 0.69, 0.79), estimate("nut", None, None, None))
    assert told == {
        ("maskloop_estimated_quality", "bolt"): 0.74,
        ("maskloop_estimated_quality_low", "bolt"): 0.69,
        ("maskloop_estimated_quality_high", "bolt"): 0.79,
        ("maskloop_estimated_quality_refused", "bolt"): 0.0,
        ("maskloop_estimated_quality_refused", "nut"): 1.0,
    }


def test_an_estimate_of_another_champion_and_a_record_without_any_tell_nothing() -> None:
    assert rows("w1", estimate("bolt", 0.74, 0.69, 0.79)) == {}
    assert rows("w2") == {}
