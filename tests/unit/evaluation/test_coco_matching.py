import numpy as np
import pytest

from evaluation.coco_matching import match_greedily
from evaluation.overlaps import Overlaps


def overlaps(*triples):
    rows, columns, iou = zip(*triples, strict=True)
    return Overlaps(np.array(rows), np.array(columns), np.array(iou, dtype=np.float64))


def match(found, *, groups, ignored=((False, False),), crowd=(False, False), thresholds=(0.5,)):
    """Return a dict of the matched instance by detection, for the first size class and threshold."""
    matches = match_greedily(
        found, np.array(groups), np.array(ignored), np.array(crowd), np.array(thresholds, dtype=np.float64)
    )
    return [
        [dict(zip(matches.detections.tolist(), row, strict=True)) for row in size]
        for size in matches.truths.tolist()
    ]


def test_an_instance_taken_by_a_better_score_is_not_taken_again():
    found = overlaps((0, 0, 0.8), (1, 0, 0.9))
    assert match(found, groups=[0, 0], thresholds=[0.5, 0.85]) == [[{0: 0, 1: -1}, {0: -1, 1: 0}]]


def test_of_equally_overlapping_instances_the_last_is_taken():
    """So the first one is still free for a detection that overlaps nothing else."""
    found = overlaps((0, 0, 0.6), (0, 1, 0.6), (1, 0, 0.6))
    assert match(found, groups=[0, 0]) == [[{0: 1, 1: 0}]]


def test_an_instance_that_does_not_count_is_taken_only_where_no_other_is_left():
    found = overlaps((0, 0, 0.9), (0, 1, 0.6), (1, 0, 0.8), (1, 1, 0.7))
    sizes = match(found, groups=[0, 0], ignored=[[True, False], [False, True]])
    assert sizes == [[{0: 1, 1: 0}], [{0: 0, 1: 1}]]


def test_a_crowd_takes_any_number_of_detections():
    found = overlaps((0, 0, 0.9), (1, 0, 0.9), (2, 0, 0.9))
    crowd = {"ignored": [[True]], "crowd": [True]}
    assert match(found, groups=[0, 0, 0], **crowd) == [[{0: 0, 1: 0, 2: 0}]]


def test_a_perfect_overlap_reaches_a_threshold_of_one():
    assert match(overlaps((0, 0, 1 - 1e-12)), groups=[0], thresholds=[1.0]) == [[{0: 0}]]


def test_nothing_that_overlaps_is_no_match():
    matches = match_greedily(
        Overlaps(np.zeros(0, int), np.zeros(0, int), np.zeros(0)),
        np.array([0, 1]),
        np.zeros((4, 3), dtype=bool),
        np.zeros(3, dtype=bool),
        np.array([0.5, 0.75]),
    )
    assert matches.truths.shape == (4, 2, 0)


@pytest.mark.parametrize("num_groups", [1, 7, 25_000])
def test_groups_do_not_see_each_other_however_many_there_are(num_groups):
    """In each, the first takes the second instance and the second is left with the first."""
    first = np.repeat(np.arange(num_groups) * 2, 3)
    found = Overlaps(
        first + np.tile([0, 0, 1], num_groups),
        first + np.tile([0, 1, 1], num_groups),
        np.tile([0.6, 0.9, 0.8], num_groups),
    )
    groups, num_truths = np.repeat(np.arange(num_groups), 2), 2 * num_groups
    matches = match_greedily(
        found, groups, np.zeros((1, num_truths), bool), np.zeros(num_truths, bool), np.array([0.5])
    )
    taken = dict(zip(matches.detections.tolist(), matches.truths[0, 0].tolist(), strict=True))
    assert taken == {index: (index + 1 if index % 2 == 0 else -1) for index in range(2 * num_groups)}
