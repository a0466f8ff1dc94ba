"""What was estimated stands beside what labels of random pictures say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from flows.evidence.estimate_check import check_estimates, find_estimates, tell_checks
from maskloop.records.kinds import CheckedQuality, DriftJudged, QualityEstimate, QualityMeasured
from maskloop.state.loop_state import LoopState
from monitoring.samples.values import Sample
from tests.fakes.iou_tables import iou_table
from tests.fakes.records import with_only
from tests.fakes.selection_data import kept_sample

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ESTIMATE = QualityEstimate(
    class_name="bolt",
    metric="mask_iou",
    value=0.74,
    low=0.69,
    high=0.79,
    confidence=0.9,
    num_pictures=40,
)


def answered(number: int, score: float, *, class_feature: bool = True) -> Sample:
    features = {"score of bolt": score, "mean_score": 0.1} if class_feature else {"mean_score": score}
    sample = kept_sample(f"{number:064d}")
    return replace(sample, sample_id=f"s{number}", features=features, class_counts={"bolt": 1})


def test_labels_of_random_pictures_say_the_iou_beside_the_estimate_and_others_are_left_out() -> None:
    iou = [0.7, 0.8, 0.6, 0.7, 0.8, 0.6, 0.0]
    table = iou_table([[one] for one in iou], class_names=("bolt",), num_instances=1)
    own = table.picture_ids[:6]
    (checked,) = check_estimates(table, dict.fromkeys(own), [], {"bolt": ESTIMATE})
    assert checked.num_labelled == 6
    assert checked.value == pytest.approx((4.2 + 1.0) / 8)
    assert (checked.estimate, checked.estimate_low, checked.estimate_high) == (0.74, 0.69, 0.79)
    assert checked.sentence().startswith("bolt: 0.65 (")
    assert checked.sentence().endswith("), estimated 0.74 (0.69 to 0.79) before")


@pytest.mark.parametrize("class_feature", [True, False])
def test_other_answers_help_only_where_every_labelled_picture_has_one(class_feature: bool) -> None:
    rng = np.random.default_rng(0)
    iou = rng.uniform(0.4, 0.9, 30)
    table = iou_table([[float(one)] for one in iou], class_names=("bolt",), num_instances=1)
    answers = [answered(number, one, class_feature=class_feature) for number, one in enumerate(iou.tolist())]
    own: dict[str, Sample | None] = dict(zip(table.picture_ids, answers, strict=True))
    others = [answered(100 + number, one) for number, one in enumerate(rng.uniform(0.4, 0.9, 300).tolist())]

    def width(random: dict[str, Sample | None]) -> float:
        (checked,) = check_estimates(table, random, others, {})
        assert checked.low is not None
        assert checked.high is not None
        return checked.high - checked.low

    alone = width({**own, table.picture_ids[0]: None})
    assert width(own) < 0.9 * alone


def test_few_labels_are_no_figure_and_no_random_picture_is_no_check() -> None:
    table = iou_table([[0.7], [0.8]], class_names=("bolt",), num_instances=1)
    (checked,) = check_estimates(table, dict.fromkeys(table.picture_ids), [], {})
    assert checked.value is None
    assert checked.sentence() == (
        "bolt: 2 of 2 labelled random pictures show the class, and 5 are needed; no estimate before"
    )
    assert check_estimates(table, {}, [], {}) == ()


def judged(weights_digest: str, *estimates: QualityEstimate) -> tuple[datetime, DriftJudged]:
    return NOON, with_only(DriftJudged, weights_digest=weights_digest, estimates=estimates)


def test_the_newest_window_with_estimates_of_that_model_counts() -> None:
    older = ESTIMATE.model_copy(update={"value": 0.5})
    of_ap = ESTIMATE.model_copy(update={"metric": "mask_ap"})
    windows = (judged("w2", older), judged("w2", ESTIMATE, of_ap), judged("w2"), judged("w1", older))
    state = LoopState(last_drift=windows[-1], unanswered_drift=windows)
    assert find_estimates(state, "w2") == {"bolt": ESTIMATE}
    assert find_estimates(LoopState(), "w2") == {}


def test_the_newest_check_of_a_model_is_told_class_by_class() -> None:
    checked = CheckedQuality(class_name="bolt", value=0.71, low=0.6, high=0.8, num_labelled=9)
    about = {"weights_digest": "w2"}
    records = (
        with_only(QualityMeasured, **about, checked=(checked,)),
        with_only(QualityMeasured, **about, checked=()),
        with_only(QualityMeasured, weights_digest="w3", checked=(checked, checked)),
    )
    state = LoopState(quality=tuple((NOON, one) for one in records))
    assert tell_checks(state, "w2") == ("bolt: 0.71 (0.60 to 0.80), no estimate before",)
    assert tell_checks(state, "w9") == ()
