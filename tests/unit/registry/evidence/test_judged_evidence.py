from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.versions.difference import VersionDiff
from evaluation.instances import IouTable
from maskloop.errors import IntegrityError
from maskloop.masks import encode_masks
from maskloop.records.kinds import Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.evidence.judged_evidence import (
    ClassRow,
    JudgedEvidence,
    Latency,
    Panel,
    ShownPicture,
    class_rows,
    read_evidence,
    source_rows,
    summarise_change,
    worst_checks_first,
    worst_rows_first,
)
from registry.gates.blessing import evaluated_pictures_digest, make_verdict
from registry.gates.gates import judge
from registry.gates.policy import policy_digest
from tests.fakes.approval_pages import check
from tests.fakes.iou_tables import iou_table

GATES = GateSettings(resamples=200)


def table(iou: float) -> IouTable:
    return iou_table([[iou, 0.9]] * 30, class_names=("bolt", "nut"))


def rows_of(candidate: IouTable, champion: IouTable | None) -> tuple[ClassRow, ...]:
    checks = judge(candidate, champion, GATES, latency_p95_ms=None, seed=0)
    return class_rows(candidate, champion, checks, GATES, seed=0)


def test_rows_hold_what_the_gates_saw() -> None:
    bolt, nut = rows_of(table(0.7), table(0.9))
    assert (bolt.name, bolt.outcome, nut.outcome) == ("bolt", "fail", "pass")
    assert bolt.candidate_iou == pytest.approx(0.7)
    assert (bolt.iou_low, bolt.iou_high) == pytest.approx((0.7, 0.7)), "every picture is alike"
    assert bolt.drop == pytest.approx(0.2)
    assert bolt.drop_low is not None
    assert bolt.drop_low <= 0.2 + 1e-9
    assert (bolt.num_instances, bolt.floor) == (150, 0.6)


def test_a_class_without_instances_has_no_figures_and_no_pass() -> None:
    _, missing = rows_of(iou_table([[0.9, 0.9]] * 30, num_instances=np.array([[5, 0]] * 30)), None)
    assert (missing.candidate_iou, missing.iou_low, missing.outcome) == (None, None, "inconclusive")


def test_the_worst_class_comes_first() -> None:
    rows = rows_of(iou_table([[0.89, 0.5, 0.85]] * 30), iou_table([[0.9, 0.5, 0.9]] * 30))
    assert [row.name for row in worst_rows_first(rows)] == ["b", "c", "a"]


def test_rows_of_one_outcome_come_by_what_was_lost_and_then_by_how_little_there_is() -> None:
    def one(name: str, outcome: Outcome, drop: float | None, iou: float | None) -> ClassRow:
        return ClassRow(name, 5, iou, None, None, None, drop, None, None, 0.5, outcome)

    rows = [
        one("gained", "pass", -0.2, 0.9),
        one("lost little", "pass", 0.01, 0.9),
        one("new and good", "pass", None, 0.9),
        one("new and poor", "pass", None, 0.6),
        one("lost more", "pass", 0.02, 0.9),
        one("doubtful", "inconclusive", -0.3, 0.9),
        one("failed", "fail", -0.4, 1.0),
        one("without figures", "pass", None, None),
    ]
    assert [row.name for row in worst_rows_first(rows)] == [
        *("failed", "doubtful", "lost more", "lost little"),
        *("without figures", "new and poor", "new and good", "gained"),
    ]


def test_checks_come_by_outcome_and_keep_the_order_of_the_gates_within_each() -> None:
    outcomes: list[Outcome] = ["pass", "fail", "inconclusive", "pass", "fail"]
    checks = [check(f"check {number}", outcome) for number, outcome in enumerate(outcomes)]
    assert [one.name for one in worst_checks_first(checks)] == [
        f"check {number}" for number in (1, 4, 2, 0, 3)
    ]


def test_a_class_is_judged_by_the_checks_about_it_and_shown_with_its_own_floor() -> None:
    gates = GateSettings(resamples=200, class_iou_floors={"nut": 0.95})
    candidate = table(0.7)
    bolt, nut = class_rows(
        candidate, None, judge(candidate, None, gates, latency_p95_ms=None, seed=0), gates, seed=0
    )
    assert (bolt.outcome, bolt.floor, bolt.drop, bolt.champion_iou) == ("pass", 0.6, None, None)
    assert (nut.outcome, nut.floor) == ("fail", 0.95)
    assert {row.outcome for row in class_rows(candidate, None, [], gates, seed=0)} == {"inconclusive"}


def test_a_source_that_is_called_like_a_class_does_not_fail_the_class() -> None:
    sources = ("nut",) * 15 + ("old",) * 15
    ious = [[0.7, 0.9]] * 15 + [[0.9, 0.9]] * 15
    candidate = iou_table(ious, class_names=("bolt", "nut"), sources=sources)
    champion = replace(table(0.9), sources=sources)
    checks = judge(candidate, champion, GATES, latency_p95_ms=None, seed=0)
    assert {one.outcome for one in checks if one.name == "drop.source.nut"} == {"fail"}
    assert rows_of(candidate, champion)[1].outcome == "pass"


def test_there_are_rows_by_source_only_with_a_champion_and_several_sources() -> None:
    several = replace(table(0.7), sources=("new",) * 15 + ("old",) * 15)
    assert source_rows(several, None, GATES, seed=0) == ()
    assert source_rows(table(0.7), table(0.7), GATES, seed=0) == ()
    rows = source_rows(several, several, GATES, seed=0)
    assert [(row.source, row.name) for row in rows] == [
        (source, name) for source in ("new", "old") for name in ("", "bolt", "nut")
    ]


def test_kept_evidence_comes_back_as_it_went_and_a_broken_file_says_so() -> None:
    shown = ShownPicture("lost most", (Panel("candidate", "data:image/jpeg;base64,AA=="),))
    rows, latency = rows_of(table(0.7), table(0.9)), Latency(10.0, 20.0)
    kept = JudgedEvidence("b" * 64, rows, 0.95, (shown,), None, latency, None, "CPU", 30, GATES.model_dump())
    assert read_evidence(kept.to_json()).rows == rows
    assert read_evidence(kept.to_json()) == read_evidence(read_evidence(kept.to_json()).to_json())
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_evidence(kept.to_json()[:-5])


def picture(number: int, source: str, *classes: int) -> LabelledPicture:
    (mask,) = encode_masks(np.ones((1, 2, 2), dtype=bool))
    instances = tuple(LabelledInstance(index, mask) for index in classes)
    digest = f"{number:064x}"
    return LabelledPicture(
        digest, digest, "x.png", 2, 2, source, digest, "train", "data-v2", "human", instances
    )


def test_a_change_of_data_is_counted_by_source_and_by_class() -> None:
    diff = VersionDiff(
        "data-v1",
        "data-v2",
        added=(picture(1, "camera 1", 0, 0), picture(2, "camera 2", 0, 1), picture(3, "camera 2")),
        removed=(picture(4, "camera 3", 0),),
        relabelled=(picture(5, "camera 1", 1),),
        instances_per_class={"bolt": (10, 13), "nut": (4, 5), "gear": (2, 2)},
    )
    change = summarise_change(diff, ("bolt", "nut", "gear"))
    counts = {c.name: (c.num_new, c.num_relabelled, c.num_removed) for c in change.by_source}
    assert counts == {"camera 1": (1, 1, 0), "camera 2": (2, 0, 0), "camera 3": (0, 0, 1)}
    assert {c.name for c in change.by_source[:2]} == {"camera 1", "camera 2"}, (
        "the largest changes come first"
    )
    assert [(c.name, c.num_new, c.num_relabelled) for c in change.by_class] == [("bolt", 2, 0), ("nut", 1, 1)]
    assert change.instances["bolt"] == (10, 13)


def test_a_crowd_region_is_no_instance_of_its_class() -> None:
    crowd = picture(1, "camera 1", 0)
    crowd = replace(crowd, instances=tuple(replace(one, is_crowd=True) for one in crowd.instances))
    change = summarise_change(VersionDiff("data-v1", "data-v2", (crowd,), (), (), {}), ("bolt",))
    assert change.by_class == ()


def test_the_policy_digest_follows_gates_and_classes() -> None:
    digests = {
        policy_digest(GATES, ["a", "b"]),
        policy_digest(GATES, ["b", "a"]),
        policy_digest(GateSettings(resamples=200, min_mean_iou=0.71), ["a", "b"]),
    }
    assert len(digests) == 3


def test_the_same_judgement_has_the_same_blessing_and_another_has_another() -> None:
    def blessing(iou: float) -> str:
        checks = judge(table(iou), None, GATES, latency_p95_ms=None, seed=0)
        return make_verdict(
            checks,
            candidate_version="7",
            candidate_digest="a" * 64,
            champion_digest="",
            data_tag="data-v3",
            data_fingerprint="f" * 64,
            policy_digest=policy_digest(GATES, ("bolt", "nut")),
            evaluated_pictures_digest=evaluated_pictures_digest(table(iou)),
        ).blessing_id

    assert blessing(0.9) == blessing(0.9)
    assert blessing(0.9) != blessing(0.91)
