"""People judge answers; what they correct becomes labels, once, whatever happens in between."""

from __future__ import annotations

import math
from typing import Any

import pytest

from flows.intake.feedback import ingest_corrections
from maskloop.errors import DataError, MaskError, NotFoundError
from monitoring.samples.corrections import Judged
from monitoring.samples.values import Sample
from serving.schemas import CorrectedInstance, RleMask
from tests.fakes.feedback import answer_was_sampled, correct, fate, give, said
from tests.fakes.loop_world import World
from tests.fakes.model_ports import CLASS_NAMES, SIDE_PX
from tests.fakes.serving_world import RememberingObserver

# --- what is said --------------------------------------------------------------------------------------


def test_a_correction_of_a_kept_picture_becomes_a_label(world: World) -> None:
    answer_was_sampled(world)
    assert give(world, said(instances=correct(), note="upside down"), "rita")
    (correction,) = world.corrections.newest(1)
    assert (correction.by, correction.verdict, correction.note) == ("rita", "wrong", "upside down")
    assert (correction.model_version, correction.source) == ("3", "belt")
    assert correction.instances is not None
    assert [name for name, _ in correction.instances] == list(CLASS_NAMES)
    assert fate(world) == ("waiting", "")


def test_a_request_that_was_not_sampled_is_reported_in_plain_words(world: World) -> None:
    with pytest.raises(NotFoundError, match="Only sampled answers can be judged"):
        give(world, said("unknown"), "rita")


def test_a_correction_without_a_picture_is_kept_and_says_it_becomes_no_label(world: World) -> None:
    answer_was_sampled(world, keep_picture=False)
    assert not give(world, said(instances=correct()), "rita")
    assert world.corrections.newest(1)[0].instances is not None
    assert fate(world)[0] == "none"


def test_a_judgement_without_instances_is_counted_but_becomes_no_label(world: World) -> None:
    observer = RememberingObserver()
    for request_id, verdict in (("r1", "wrong"), ("r2", "right"), ("r3", "wrong")):
        answer_was_sampled(world, request_id)
        assert not give(world, said(request_id, verdict), "rita", observer=observer)
    assert world.corrections.judged() == (Judged("3", num_right=1, num_wrong=2),)
    assert observer.of("feedback")[0] == {"verdict": "wrong", "version": "3"}
    assert len(observer.of("feedback")) == 3


def test_the_last_correction_counts_and_a_repeated_one_counts_once(world: World) -> None:
    answer_was_sampled(world)
    observer = RememberingObserver()
    give(world, said(instances=[]), "rita", observer=observer)
    for _ in range(2):
        assert give(world, said(instances=correct()), "anna", observer=observer)
    assert world.corrections.newest(10)[0].by == "anna"
    assert len(world.corrections.newest(10)) == 1
    assert len(observer.of("feedback")) == 2


def test_a_label_stays_one_after_the_sample_log_let_its_picture_go(world: World) -> None:
    answer_was_sampled(world)
    give(world, said(instances=correct()), "rita")
    world.samples._pictures.clear()
    assert len(ingest_corrections(world.app())) == 1
    assert fate(world) == ("ingested", "data-v2")


SQUARE = [[2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0]]


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (RleMask(size=(8, 8), counts="0"), "size"),
        (RleMask(size=(SIDE_PX, SIDE_PX), counts="11"), "do not add up"),
        (RleMask(size=(SIDE_PX, SIDE_PX), counts="\x7f\x80"), "does not belong"),
        ([[2.0, 2.0, math.nan, 2.0, 8.0, 8.0]], "not finite"),
        ([[2.0, 2.0, 8.0, 2.0]], "three points"),
        ([[2.0, 2.0, 90.0, 2.0, 90.0, 90.0]], "lies outside its picture"),
        ([[3.0, 3.0, 3.0, 3.0, 3.0, 3.0]], "covers no pixel"),
        ([], "no mask"),
    ],
)
def test_a_mask_that_does_not_fit_the_picture_is_refused_by_name(
    world: World, mask: Any, reason: str
) -> None:
    answer_was_sampled(world)
    instances = [
        CorrectedInstance(class_name="nut", mask=SQUARE),
        CorrectedInstance(class_name="bolt", mask=mask),
    ]
    with pytest.raises(MaskError, match=f"instance 2: .*{reason}"):
        give(world, said(instances=instances), "rita")
    assert world.corrections.newest(1) == ()


def test_more_than_a_service_can_check_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_was_sampled(world)
    one = CorrectedInstance(class_name="nut", mask=SQUARE)
    with pytest.raises(DataError, match="1001 instances"):
        give(world, said(instances=[one] * 1001), "rita")
    zigzag = CorrectedInstance(class_name="nut", mask=[[0.0, 0.0, 15.0, 15.0] * 100_000])
    with pytest.raises(DataError, match="too long"):
        give(world, said(instances=[zigzag]), "rita")
    monkeypatch.setattr("flows.answering.feedback._MAX_MASK_BYTES", 10)
    with pytest.raises(DataError, match="too detailed"):
        give(world, said(instances=[one, one]), "rita")


def test_a_picture_of_unknown_size_takes_no_masks_but_a_judgement(world: World) -> None:
    world.samples.add(Sample("old", world.clock.now(), "1", "w", "d", "belt", {}), b"picture")
    with pytest.raises(DataError, match="size"):
        give(world, said("old", instances=correct()), "rita")
    assert not give(world, said("old"), "rita")
