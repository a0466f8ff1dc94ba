from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dataset.labelling.drawings import digest_labels
from dataset.labelling.port import Annotation, DrawnInstance
from flows.labelling.returned import (
    LeftOut,
    Settled,
    digest_annotations,
    limit_accepted,
    measure_agreement,
    settle,
)
from maskloop.masks import encode_masks
from maskloop.settings.labelling_settings import LabellingSettings

NEWEST = LabellingSettings()
AGREE = LabellingSettings(two_annotators="agree-or-skip", min_agreement=0.5)


def row(start: int, stop: int, name: str = "nut") -> DrawnInstance:
    mask = np.zeros((1, 1, 20), dtype=bool)
    mask[0, 0, start:stop] = True
    return DrawnInstance(name, encode_masks(mask)[0])


def annotation(at: int, *instances: DrawnInstance, by: str = "anna") -> Annotation:
    return Annotation("7", str(at), by, f"2026-01-{at:02d}", (1, 20), instances)


def settled(*annotations: Annotation, rules: LabellingSettings = NEWEST) -> Settled | LeftOut:
    return settle("d", annotations, {"nut", "bolt"}, rules)


def test_agreement_is_the_iou_of_matched_objects_and_counts_those_of_one_annotator_as_none() -> None:
    some = [row(0, 4), row(10, 14)]
    others = [row(11, 15), row(0, 2)]
    assert measure_agreement([some, others]) == {"nut": pytest.approx((0.5 + 3 / 5) / 2)}
    assert measure_agreement([some, some[:1]]) == {"nut": 0.5}
    assert measure_agreement([[row(0, 4)], [row(0, 4, "bolt")]]) == {"bolt": 0.0, "nut": 0.0}


def test_agreement_of_three_is_the_mean_of_their_pairs() -> None:
    assert measure_agreement([[row(0, 4)], [row(0, 4)], [row(0, 2)]]) == {"nut": pytest.approx(2 / 3)}


def test_masks_of_different_sizes_do_not_agree() -> None:
    other = DrawnInstance("nut", encode_masks(np.ones((1, 2, 20), dtype=bool))[0])
    assert measure_agreement([[row(0, 4)], [other]]) == {"nut": 0.0}


def test_the_newest_annotation_counts_whatever_the_order() -> None:
    old, new = annotation(1, row(0, 4)), annotation(2, row(0, 5), by="bert")
    for both in ((old, new), (new, old)):
        found = settled(*both)
        assert isinstance(found, Settled)
        assert found.annotation == new
        assert found.agreement == {"nut": pytest.approx(0.8)}


def test_of_two_annotations_by_one_person_the_older_is_forgotten() -> None:
    found = settled(annotation(1, row(0, 1)), annotation(2, row(0, 4)), rules=AGREE)
    assert isinstance(found, Settled)
    assert (found.annotation.annotation_id, found.agreement) == ("2", {})


def test_annotators_who_disagree_leave_the_picture_out_unless_one_is_marked() -> None:
    first, second = annotation(1, row(0, 4)), annotation(2, row(3, 8), by="bert")
    told = "annotators disagree about nut: IoU 0.12, below 0.5"
    assert settled(first, second, rules=AGREE) == LeftOut("d", told, {"nut": 0.125})
    marked = replace(first, is_ground_truth=True)
    found = settled(marked, second, rules=AGREE)
    assert isinstance(found, Settled)
    assert found.annotation == marked


def test_an_annotation_with_trouble_does_not_count_beside_a_sound_one() -> None:
    sound = annotation(1, row(0, 4))
    broken = replace(annotation(2, by="bert"), trouble="the brush mask is cut off")
    unknown = annotation(3, row(0, 4, "gear"), by="carl")
    found = settled(sound, broken, unknown)
    assert isinstance(found, Settled)
    assert found.annotation == sound
    assert settled(broken) == LeftOut("d", "the brush mask is cut off")
    assert settled(unknown) == LeftOut("d", "the data have no class gear")


def many(num_drawn: int, num_accepted: int) -> list[Settled]:
    drawn = [Settled(f"d{n}", annotation(1), "corrected", {}) for n in range(num_drawn)]
    accepted = [
        Settled(f"a{n}", replace(annotation(9 - n), is_unchanged=True), "model-reviewed", {})
        for n in range(num_accepted)
    ]
    return [*accepted, *drawn]


@pytest.mark.parametrize(
    ("num_drawn", "num_accepted", "percent", "before", "expected"),
    [
        (2, 3, 50.0, (0, 0), 2),
        (2, 3, 50.0, (1, 0), 3),
        (2, 3, 50.0, (0, 2), 0),
        (3, 3, 25.0, (0, 0), 1),
        (0, 3, 50.0, (0, 0), 0),
        (2, 3, 0.0, (0, 0), 0),
        (0, 3, 100.0, (0, 0), 3),
    ],
)
def test_accepted_answers_never_exceed_their_share(
    num_drawn: int, num_accepted: int, percent: float, before: tuple[int, int], expected: int
) -> None:
    kept, left_out = limit_accepted(
        many(num_drawn, num_accepted), num_drawn=before[0], num_accepted=before[1], percent=percent
    )
    num_kept = sum(one.origin == "model-reviewed" for one in kept)
    assert (num_kept, len(left_out), len(kept) - num_kept) == (expected, num_accepted - expected, num_drawn)
    total = len(kept) + sum(before)
    assert percent == 100.0 or expected == 0 or (num_kept + before[1]) <= percent / 100 * total + 1e-9


def test_the_accepted_answers_that_were_submitted_first_are_taken_first() -> None:
    kept, left_out = limit_accepted(many(1, 3), num_drawn=0, num_accepted=0, percent=50.0)
    assert [one.picture_digest for one in kept] == ["a2", "d0"]
    assert [one.picture_digest for one in left_out] == ["a1", "a0"]


def test_digests_tell_other_labels_and_other_rules_and_not_another_order() -> None:
    first, second = annotation(1, row(0, 4), row(5, 9)), annotation(2, row(0, 4))
    assert digest_labels(first.instances) == digest_labels(first.instances[::-1])
    assert digest_labels(first.instances) != digest_labels(second.instances)
    digest = digest_annotations([first, second], "newest")
    assert digest == digest_annotations([second, first], "newest")
    assert digest != digest_annotations([first, second], "agree-or-skip")
    assert digest != digest_annotations([first, replace(second, instances=())], "newest")
