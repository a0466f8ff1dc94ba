"""How a candidate and a champion differ from the labels, for the limits of a rollout; hand-computed.

A picture of the fakes shows one bolt and one nut of ten rows; a model of quality q covers the top q of both,
so its agreement with the labels is q. Where labels name the two the other way round, it is 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from evaluation.model_evaluation import evaluate
from flows.evidence.evaluate import ModelOnPictures
from flows.learning.agreement import agreement_key, measure_agreements
from flows.learning.dossier import Contest
from maskloop.records.kinds import AgreementMeasured, CandidateRegistered
from maskloop.state.loop_state import Candidate, LoopState
from models.loading.ground_truth import ground_truth
from tests.fakes.model_ports import CLASS_NAMES, SIDE_PX, ColourPredictor, draw_picture
from tests.fakes.records import with_only

CHAMPION, CANDIDATE = "c" * 64, "d" * 64
"""Weights digests."""


def labelled(number: int, *, source: str = "belt", added_in: str = "data-v1") -> LabelledPicture:
    _, instances = draw_picture(number)
    digest = f"{number:064x}"
    return LabelledPicture(
        digest, f"images/{digest}.png", f"{number}.png", SIDE_PX, SIDE_PX, source, digest, "test", added_in,
        "human", instances,
    )  # fmt: skip


def swapped(picture: LabelledPicture) -> LabelledPicture:
    """Name bolts nuts, and nuts bolts."""
    instances = tuple(replace(one, class_index=1 - one.class_index) for one in picture.instances)
    return replace(picture, instances=instances)


def model(
    pictures: Iterable[LabelledPicture], quality: float, *, score_threshold: float = 0.5
) -> ModelOnPictures:
    predictor = ColourPredictor(quality)
    found = {one.digest: predictor.predict([draw_picture(int(one.digest, 16))[0]])[0] for one in pictures}
    detections = {digest: prediction.detections for digest, prediction in found.items()}
    truth = [ground_truth(one) for one in pictures]
    evaluation = evaluate(detections, truth, class_names=CLASS_NAMES, score_threshold=score_threshold)
    return ModelOnPictures(evaluation, found, latency_p95_ms=1.0)


def contest(
    pictures: list[LabelledPicture], *, candidate: float = 0.5, champion: float | None = None
) -> Contest:
    version = DatasetVersion("data-v3", "f" * 64, "m", "c", CLASS_NAMES, tuple(pictures), Path())
    registered = with_only(CandidateRegistered, weights_digest=CANDIDATE)
    judged = model(pictures, champion) if champion is not None else None
    return Contest(version, registered, model(pictures, candidate), judged, CHAMPION if judged else "")


def knows_champion_of(data_tag: str) -> LoopState:
    facts: dict[str, Any] = {
        "version": "1", "weights_digest": CHAMPION, "run_id": "r", "data_tag": data_tag,
        "data_fingerprint": "f", "seconds": 1.0, "requested_by": "anna",
    }  # fmt: skip
    candidate = Candidate.of("cycle-1", CandidateRegistered.model_validate(facts))
    return LoopState(candidates={"cycle-1": candidate})


def measured(
    contest: Contest, *, data_tag: str = "data-v1", min_pictures: int = 2
) -> dict[str, AgreementMeasured]:
    records = measure_agreements(contest, knows_champion_of(data_tag), min_pictures=min_pictures)
    return {record.weights_digest: record for record in records}


def test_a_candidate_is_measured_on_all_test_pictures() -> None:
    found = measured(contest([labelled(1), labelled(2), labelled(3)], candidate=0.75))
    assert set(found) == {CANDIDATE}
    record = found[CANDIDATE]
    assert record.agreement == pytest.approx(0.7)  # seven of ten rows: 0.75 is rounded down to whole rows
    assert (record.num_pictures, record.data_tag) == (3, "data-v3")
    assert (record.class_flips, record.lowest_count_shift, record.highest_count_shift) == (0.0, 0.0, 0.0)


def test_instances_below_the_threshold_that_a_model_was_evaluated_at_count_as_missed() -> None:
    """Bolts score 0.9 and nuts 0.8: the labels have two instances where the model tells one."""
    pictures = [labelled(1), labelled(2)]
    strict = replace(contest(pictures), candidate=model(pictures, 0.8, score_threshold=0.85))
    record = measured(strict)[CANDIDATE]
    assert record.agreement == pytest.approx(0.8 / 2)
    assert (record.lowest_count_shift, record.highest_count_shift) == (0.0, pytest.approx(1 / 2))


def test_a_champion_is_measured_on_the_test_pictures_that_came_after_its_training_alone() -> None:
    pictures = [labelled(1), labelled(2), labelled(3, added_in="data-v2"), labelled(4, added_in="data-v3")]
    found = measured(contest(pictures, candidate=0.9, champion=0.6))
    assert found[CANDIDATE].num_pictures == 4
    assert found[CHAMPION].num_pictures == 2
    assert found[CHAMPION].agreement == pytest.approx(0.6)


def test_labels_changed_after_the_champions_training_are_not_asked_about_it() -> None:
    old = [swapped(labelled(1)), swapped(labelled(2))]
    new = [labelled(3, added_in="data-v2"), labelled(4, added_in="data-v2")]
    assert measured(contest([*old, *new], champion=0.9))[CHAMPION].agreement == pytest.approx(0.9)


def test_a_side_with_too_few_pictures_is_not_measured() -> None:
    pictures = [labelled(1), labelled(2), labelled(3, added_in="data-v2")]
    assert set(measured(contest(pictures, champion=0.9), min_pictures=2)) == {CANDIDATE}
    assert set(measured(contest(pictures, champion=0.9), min_pictures=4)) == set()


def test_data_that_nobody_knows_of_count_as_older_than_all_others() -> None:
    """So a champion of another ledger is measured on every test picture."""
    found = measured(contest([labelled(1), labelled(2)], champion=0.9), data_tag="")
    assert found[CHAMPION].num_pictures == 2


def test_the_source_in_which_a_model_is_worst_decides() -> None:
    pictures = [labelled(1), labelled(2)]
    pictures += [swapped(labelled(number, source="arm")) for number in (3, 4)]
    record = measured(contest(pictures, candidate=0.9))[CANDIDATE]
    assert record.agreement == 0.0
    assert record.class_flips == 1.0, "on the arm, whatever both found is named differently"


def test_a_source_with_too_few_pictures_counts_only_among_all() -> None:
    pictures = [labelled(1), labelled(2), labelled(3), swapped(labelled(4, source="arm"))]
    record = measured(contest(pictures, candidate=0.8))[CANDIDATE]
    assert record.agreement == pytest.approx((3 * 0.8 + 0.0) / 4)
    assert record.class_flips == pytest.approx(1 / 4)


def test_a_measurement_is_recorded_once_for_the_same_weights_and_data() -> None:
    pictures = [labelled(1), labelled(2)]
    one, other = contest(pictures), contest(pictures)
    key = agreement_key(measured(one)[CANDIDATE], one.version)
    assert key == agreement_key(measured(other)[CANDIDATE], other.version)
    changed = replace(one.version, fingerprint="0" * 64)
    assert key != agreement_key(measured(one)[CANDIDATE], changed)
