from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from evaluation.calibration import ScoreBin
from evaluation.confusion import Confusion
from evaluation.error_types import ERROR_KINDS
from evaluation.instances import Detections, GroundTruth
from evaluation.model_evaluation import Evaluation, evaluate
from maskloop.masks import encode_masks
from registry.evidence.approval_page import render_page
from registry.evidence.diagnosis import (
    KINDS_IN_WORDS,
    MAX_CURVES,
    Diagnosis,
    MixUp,
    calibration_in_words,
    diagnose,
    find_mix_ups,
)
from registry.evidence.judged_evidence import read_evidence
from tests.fakes.approval_pages import Reader, approval_page, evidence

SIDE_PX = 20
A, B, CORNER = (0, 0, 10, 10), (10, 10, 20, 20), (0, 15, 5, 20)
Seen = tuple[int, tuple[int, int, int, int], float]


def evaluation_of(
    *seen: Seen, there: tuple[Seen, ...] = ((0, A, 1), (1, B, 1)), num_classes: int = 2
) -> Evaluation:
    found, truth = instances(*seen), instances(*there)
    annotated = GroundTruth(
        "a", "camera", SIDE_PX, SIDE_PX, truth.class_indices, truth.masks, np.zeros(len(there), bool)
    )
    names = ("bolt", "nut", *(f"part {number}" for number in range(2, num_classes)))
    return evaluate({"a": found}, [annotated], class_names=names, score_threshold=0.5)


def instances(*seen: Seen) -> Detections:
    masks = np.zeros((len(seen), SIDE_PX, SIDE_PX), dtype=bool)
    for mask, (_, (x0, y0, x1, y1), _) in zip(masks, seen, strict=True):
        mask[y0:y1, x0:x1] = True
    boxes = np.array([box for _, box, _ in seen], dtype=np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in seen], dtype=np.float32)
    classes = np.array([index for index, *_ in seen], dtype=np.int64)
    return Detections(SIDE_PX, SIDE_PX, boxes, scores, classes, encode_masks(masks))


def read(**diagnoses: Diagnosis | None) -> Reader:
    return Reader(render_page(approval_page(evidence=evidence(**diagnoses))))


def test_every_kind_of_error_has_words() -> None:
    assert tuple(KINDS_IN_WORDS) == ERROR_KINDS


def test_a_diagnosis_holds_what_was_measured() -> None:
    found = diagnose(evaluation_of((0, A, 0.9), (0, B, 0.8)))
    assert found.ap50 == 0.5
    assert {kind: count for kind, count in found.error_counts.items() if count} == {"class": 1}
    assert found.error_gains["class"] == found.largest_loss == 0.5
    assert found.labels == ("bolt", "nut", "background")
    assert found.confusion == ((1, 0, 0), (1, 0, 0), (0, 0, 0))
    assert found.mix_ups == (MixUp("nut", "bolt", 1),)
    assert found.calibration_error == pytest.approx((0.1 + 0.8) / 2)


def test_precision_and_recall_of_each_class_are_those_counted_by_hand() -> None:
    """Two bolts and one nut. Bolts by score: right, wrong, right. The nut is missed."""
    left, right, below = (0, 0, 5, 5), (10, 0, 15, 5), (0, 10, 5, 15)
    found = diagnose(
        evaluation_of(
            (0, left, 0.9),
            (0, CORNER, 0.8),
            (0, right, 0.3),
            there=((0, left, 1), (0, right, 1), (1, below, 1)),
        )
    )
    bolt, nut = found.classes
    assert bolt.curve == ((0.5, 1.0), (0.5, 0.5), (1.0, pytest.approx(2 / 3, abs=1e-4)))
    assert (bolt.precision, bolt.recall) == (0.5, 0.5), (
        "at the threshold of 0.5: one right, one wrong, of two"
    )
    assert bolt.best_f1 == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert bolt.best_f1_score == pytest.approx(0.3)
    assert (nut.precision, nut.recall, nut.best_f1, nut.curve) == (None, 0.0, None, ())
    text = read(candidate_diagnosis=found).text.partition("Precision and recall")[2]
    assert "bolt 0.500 0.500 0.800 0.300 2" in text
    assert "nut – 0.000 – – 1" in text


def test_of_many_classes_the_hardest_are_drawn() -> None:
    there = tuple((index, A, 1.0) for index in range(12))
    found = diagnose(evaluation_of((3, A, 0.9), there=there, num_classes=12))
    assert [bool(one.curve) for one in found.classes].count(True) <= MAX_CURVES
    assert not found.classes[3].curve, "the only one that is found"
    assert "The 8 classes whose best F1 is lowest are drawn" in read(candidate_diagnosis=found).text


def test_a_silent_model_has_no_calibration_and_misses_everything() -> None:
    found = diagnose(evaluation_of())
    assert (found.calibration_error, found.overconfidence, found.bins) == (None, None, ())
    assert calibration_in_words(found) == "nothing was detected"
    assert found.error_counts["missed"] == 2
    assert "Candidate : nothing was detected" in read(candidate_diagnosis=found).text


@pytest.mark.parametrize(
    ("overconfidence", "said"),
    [
        (0.1, "too sure: a score is on average 0.100 above the share that is right"),
        (-0.1, "too shy: a score is on average 0.100 below the share that is right"),
        (0.0, "a score is on average as high as the share that is right"),
        (-0.0004, "a score is on average as high as the share that is right"),
    ],
)
def test_scores_are_called_too_sure_or_too_shy_only_by_what_is_shown(
    overconfidence: float, said: str
) -> None:
    found = Diagnosis(None, {}, {}, 0.12, overconfidence, (), (), (), ())
    assert calibration_in_words(found) == f"off by 0.120; {said}"


def test_the_dearest_error_is_the_one_whose_cure_would_gain_most() -> None:
    gains = {"class": 0.02, "location": None, "missed": 0.3}
    assert Diagnosis(None, {}, gains, None, None, (), (), (), ()).largest_loss == 0.3
    assert Diagnosis(None, {}, {"class": None}, None, None, (), (), (), ()).largest_loss == 0.0


def test_ten_mix_ups_are_named_and_those_of_equal_number_in_the_order_of_the_classes() -> None:
    counts = np.ones((5, 5), dtype=np.int64)
    found = find_mix_ups(Confusion(("a", "b", "c", "d"), counts))
    assert "".join(one.true + one.taken_for for one in found) == "abacadbabcbdcacbcdda"


def test_too_many_classes_for_a_matrix_leave_the_most_frequent_mix_ups() -> None:
    found = diagnose(evaluation_of((0, A, 0.9), (0, B, 0.8), num_classes=13))
    assert found.confusion == ()
    text = read(candidate_diagnosis=found).text
    assert "nut taken for bolt (1)" in text
    assert "The whole table: evaluation/confusion.csv" in text


def test_mix_ups_are_of_two_classes_and_the_most_frequent_come_first() -> None:
    counts = np.array([[50, 2, 0, 99], [7, 50, 0, 0], [0, 3, 50, 0], [99, 0, 0, 0]])
    assert find_mix_ups(Confusion(("a", "b", "c"), counts)) == (
        MixUp("b", "a", 7),
        MixUp("c", "b", 3),
        MixUp("a", "b", 2),
    )


def test_the_page_shows_both_models_with_figures_beside_the_drawings() -> None:
    candidate, champion = (
        diagnose(evaluation_of((0, A, 0.9))),
        diagnose(evaluation_of((0, A, 0.9), (0, CORNER, 0.8))),
    )
    page = read(candidate_diagnosis=candidate, champion_diagnosis=champion)
    assert "missed : nothing was found 1 1 0.500 0.500" in page.text
    assert "background : nothing is there 0 1 0.000 0.000" in page.text
    assert "(candidate 0.500, champion 0.500)" in page.text
    of_curves = 2  # one point for bolts, and the ring at the threshold in use
    assert page.tags.count("circle") - of_curves == len(candidate.bins) + len(champion.bins) == 3
    assert "candidate: annotated ↓ found → bolt nut nothing bolt 1 · · nut · · 1 nothing · · ·" in page.text


def test_names_that_come_with_the_data_stay_text() -> None:
    nasty = '<img src=x onerror="alert(1)">'
    gains: dict[str, float | None] = dict.fromkeys(ERROR_KINDS, 0.0)
    found = Diagnosis(
        0.5,
        dict.fromkeys(ERROR_KINDS, 0),
        gains,
        0.1,
        0.1,
        (ScoreBin(3, 0.5, 0.4),),
        (nasty, "background"),
        ((1, 0), (0, 0)),
        (),
    )
    page = read(candidate_diagnosis=found)
    assert nasty in page.text
    assert "x" not in page.addresses


def test_kept_evidence_brings_its_diagnoses_back() -> None:
    kept = evidence(candidate_diagnosis=diagnose(evaluation_of((0, A, 0.9))))
    assert read_evidence(kept.to_json()) == kept


def test_evidence_from_before_there_were_diagnoses_is_read_and_shown_without() -> None:
    old: dict[str, Any] = json.loads(evidence().to_json())
    del old["candidate_diagnosis"], old["champion_diagnosis"]
    kept = read_evidence(json.dumps(old))
    assert kept.diagnoses == []
    assert "Where it errs" not in Reader(render_page(approval_page(evidence=kept))).text
