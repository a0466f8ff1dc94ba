"""The drops of a verdict become findings: one for the mean, one for each class, one for each source."""

from __future__ import annotations

import numpy as np

from evaluation.instances import IouTable
from maskloop.settings.workspace_settings import GateSettings
from registry.gates.gate import Contest
from registry.gates.losses import judge_class_drops, judge_mean_drop, judge_source_drops
from tests.fakes.iou_tables import iou_table

LIMIT = 0.125
SOURCES = ("new",) * 5 + ("old",) * 5
BEFORE = [[0.75, 0.75, 0.75]] * 10


def contest(candidate: list[list[float]], *, min_instances: int = 20, has_champion: bool = True) -> Contest:
    def table(ious: list[list[float]]) -> IouTable:
        return iou_table(ious, num_instances=4, sources=SOURCES)

    gates = GateSettings(max_class_iou_drop=LIMIT, resamples=200, min_instances=min_instances)
    return Contest(table(candidate), table(BEFORE) if has_champion else None, gates, None, 0)


FORGOTTEN = contest([[0.75, 0.75, 0.75]] * 5 + [[0.5, 0.25, 0.75]] * 5)
"""On old pictures a lost a quarter, b a half and c nothing: together another quarter on average."""


def test_nothing_is_lost_against_no_champion() -> None:
    first = contest(BEFORE, has_champion=False)
    for judge in (judge_mean_drop, judge_class_drops, judge_source_drops):
        assert list(judge(first, LIMIT)) == []


def test_the_mean_is_one_finding_over_all_pictures_without_a_subject() -> None:
    (found,) = judge_mean_drop(FORGOTTEN, LIMIT)
    assert (found.measured, found.subject) == (LIMIT, "")
    assert found.reason.startswith("the mean IoU fell by 0.125")
    assert ", over 120 instances; a loss passes up to 0.125 as measured" in found.reason


def test_each_class_is_a_finding_over_all_pictures() -> None:
    found = list(judge_class_drops(FORGOTTEN, LIMIT))
    assert [(one.subject, one.measured) for one in found] == [("a", 0.125), ("b", 0.25), ("c", 0.0)]
    assert "over 40 instances;" in found[0].reason


def test_each_source_is_a_finding_of_its_largest_loss_with_the_worst_outcome() -> None:
    new, old = judge_source_drops(FORGOTTEN, LIMIT)
    assert (new.subject, new.outcome, new.measured) == ("new", "pass", 0.0)
    assert (old.subject, old.outcome, old.measured) == ("old", "fail", 0.5)
    assert old.reason.startswith("the IoU of b on old fell by 0.500")
    assert ", over 20 instances, and likewise a; " in old.reason


def test_a_source_that_passes_names_no_other_class() -> None:
    new, _ = judge_source_drops(FORGOTTEN, LIMIT)
    assert "likewise" not in new.reason


def test_a_failed_mean_explains_a_source_where_no_class_has_the_instances_to_fail() -> None:
    """A class has 20 instances on a source and the mean has 60: only the mean can fail here."""
    few = contest([[0.75] * 3] * 5 + [[0.25] * 3] * 5, min_instances=21)
    _, old = judge_source_drops(few, LIMIT)
    assert (old.outcome, old.measured) == ("fail", 0.5)
    assert old.reason.startswith("the mean IoU on old fell by 0.500")
    assert ", over 60 instances; " in old.reason


def test_a_source_is_explained_by_a_certain_loss_before_a_larger_doubtful_one() -> None:
    """Old pictures hold four of a, whose loss of a half is in doubt; the mean's of 0.375 is certain."""
    counts = np.array([[4, 4]] * 6 + [[0, 4]] * 4)
    before, after = (
        iou_table(ious, num_instances=counts, sources=SOURCES)
        for ious in ([[0.75, 0.75]] * 10, [[0.75, 0.75]] * 5 + [[0.25, 0.5]] * 5)
    )
    gates = GateSettings(max_class_iou_drop=LIMIT, resamples=200)
    _, old = judge_source_drops(Contest(after, before, gates, None, 0), LIMIT)
    assert (old.outcome, old.measured) == ("fail", 0.375)
    assert old.reason.startswith("the mean IoU on old fell by 0.375")
    assert ", over 24 instances, and likewise b; " in old.reason
