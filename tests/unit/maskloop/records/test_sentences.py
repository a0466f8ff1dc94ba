"""What the ledger's records say, word for word: people read these sentences and nothing else of an entry."""

from __future__ import annotations

import pytest

from maskloop.records.kinds import (
    AgreementMeasured,
    AliasTampered,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    Check,
    ClassesChanging,
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    DriftJudged,
    JudgingStarted,
    QualityEstimate,
    Record,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
    TrainingAdvanced,
    TrainingFailed,
    TrainingStarted,
    TriggerJoined,
    TriggerRecorded,
    TriggerSuppressed,
    VerdictReached,
    VersionIngested,
    VersionRestored,
)
from maskloop.records.record import Outcome
from tests.fakes.records import with_only

WEIGHTS = "0123456789abcdef"


def check(outcome: Outcome, reason: str) -> Check:
    return Check(name="iou.mean", outcome=outcome, measured=0.5, required=0.7, reason=reason)


def verdict(outcome: Outcome, *checks: Check) -> VerdictReached:
    return with_only(VerdictReached, outcome=outcome, checks=checks, candidate_version="4")


PASS = check("pass", "0.80 is enough")
FAILS = [check("fail", f"gate {number} fails") for number in range(1, 6)]


@pytest.mark.parametrize(
    ("reached", "sentence"),
    [
        (verdict("pass", PASS), "version 4 passes the only gate"),
        (verdict("pass", PASS, PASS), "version 4 passes all 2 gates"),
        (verdict("fail", FAILS[0]), "version 4 fails 1 of 1 gate: gate 1 fails"),
        (
            verdict("fail", PASS, FAILS[0], check("inconclusive", "too few pictures")),
            "version 4 fails 1 of 3 gates: gate 1 fails",
        ),
        (
            verdict("fail", *FAILS[:3]),
            "version 4 fails 3 of 3 gates: gate 1 fails; gate 2 fails; gate 3 fails",
        ),
        (
            verdict("fail", *FAILS),
            "version 4 fails 5 of 5 gates: gate 1 fails; gate 2 fails; gate 3 fails; and 2 more",
        ),
        (
            verdict("inconclusive", PASS, check("inconclusive", "too few pictures")),
            "version 4 needs a person's judgement, 1 of 2 gates cannot tell: too few pictures",
        ),
    ],
)
def test_a_verdict_names_up_to_three_gates_that_decided_it(reached: VerdictReached, sentence: str) -> None:
    assert reached.sentence() == sentence


CHANGE = {"epoch": 3, "version": "4", "weights_digest": WEIGHTS, "previous_digest": "w3"}


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            with_only(ApprovalDecided, decision="approved", version="4", by="anna", why="", via="cli"),
            "anna approved version 4 (cli)",
        ),
        (
            with_only(
                ApprovalDecided, decision="rejected", version="4", by="otto", why="blurred", via="mlflow"
            ),
            "otto rejected version 4 (mlflow): blurred",
        ),
        (
            with_only(ChampionChanging, **CHANGE, previous_version="3", cause="rollback", why="slow"),
            "rollback of version 4 begins",
        ),
        (
            with_only(
                ChampionChanged, **CHANGE, previous_version="", cause="promotion", why="approved by anna"
            ),
            "version 4 (0123456789ab) serves (promotion): approved by anna",
        ),
        (
            with_only(ChampionChanged, **CHANGE, previous_version="5", cause="rollback", why="slow"),
            "version 4 (0123456789ab) serves instead of version 5 (rollback): slow",
        ),
        (
            ChampionChangeAbandoned(epoch=3, version="4", reason="its files are gone"),
            "the change to version 4 was abandoned: its files are gone",
        ),
        (
            AliasTampered(alias="champion", found_version="2", expected_version="1"),
            "the alias champion was at version 2 but belongs to version 1; what serves did not change",
        ),
        (
            AliasTampered(alias="champion", found_version="", expected_version="1"),
            "the alias champion was gone but belongs to version 1; what serves did not change",
        ),
        (
            AliasTampered(alias="champion", found_version="2", expected_version=""),
            "the alias champion was at version 2 but belongs nowhere; what serves did not change",
        ),
    ],
)
def test_a_decision_names_who_what_and_why(record: Record, sentence: str) -> None:
    assert record.sentence() == sentence


def ingested(*, new: int, labelled: int, quarantined: int) -> VersionIngested:
    return with_only(
        VersionIngested,
        tag="data-v2",
        source="line 1",
        num_pictures=40,
        num_new_pictures=new,
        num_new_labelled=labelled,
        num_quarantined=quarantined,
    )


def changing(**fields: object) -> ClassesChanging:
    plain = {"tag": "data-v1", "class_names": ("bolt",), "by": "anna"}
    return ClassesChanging.model_validate(plain | fields)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (ingested(new=1, labelled=1, quarantined=0), "data-v2: 1 new picture from line 1; 40 in all"),
        (
            ingested(new=3, labelled=5, quarantined=0),
            "data-v2: 3 new pictures from line 1, 2 relabelled; 40 in all",
        ),
        (
            ingested(new=0, labelled=2, quarantined=4),
            "data-v2: 0 new pictures from line 1, 2 relabelled, 4 left out; 40 in all",
        ),
        (
            VersionRestored(
                tag="data-v1",
                previous_tag="data-v2",
                fingerprint="f",
                num_pictures=1,
                by="anna",
                why="mixed up",
            ),
            "anna brought back data-v1 in place of data-v2 (1 picture): mixed up",
        ),
        (
            VersionRestored(tag="data-v1", previous_tag="", fingerprint="f", num_pictures=30, by="anna"),
            "anna brought back data-v1 (30 pictures)",
        ),
        (
            changing(dropped=("nut", "pin"), num_instances_lost=1),
            "anna drops 'nut', 'pin' with 1 instance in data-v1",
        ),
        (
            changing(
                dropped=("nut",), num_instances_lost=2, renamed=(("rod", "bar"),), merged=(("cap", "lid"),)
            ),
            "anna drops 'nut' with 2 instances, renames 'rod' to 'bar', merges 'cap' into 'lid' in data-v1",
        ),
        (changing(renamed=(("rod", "bar"),), why="a typo"), "anna renames 'rod' to 'bar' in data-v1: a typo"),
    ],
)
def test_a_data_version_says_what_changed(record: Record, sentence: str) -> None:
    assert record.sentence() == sentence


@pytest.mark.parametrize(
    ("before", "after"),
    [("nut", ""), ("rod", "bar"), ("cap", "lid"), ("washer", "ring"), ("bolt", "bolt")],
)
def test_a_class_is_dropped_renamed_merged_or_merged_into_one_that_is_renamed(
    before: str, after: str
) -> None:
    change = changing(
        dropped=("nut",),
        renamed=(("rod", "bar"), ("disc", "ring")),
        merged=(("cap", "lid"), ("washer", "disc")),
    )
    assert change.name_now(before) == after


def training(*, parent_digest: str = "", teacher_digest: str = "") -> TrainingStarted:
    return with_only(
        TrainingStarted,
        attempt=2,
        data_tag="data-v3",
        parent_digest=parent_digest,
        teacher_digest=teacher_digest,
        run_id="fedcba9876",
    )


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            TriggerRecorded(trigger_key="t", reason="drift", detail="it is dark"),
            "a training was asked for (drift): it is dark",
        ),
        (
            TriggerRecorded(trigger_key="t", reason="manual", detail="new gates", rejudges="c1"),
            "another verdict was asked for (manual): new gates",
        ),
        (
            TriggerSuppressed(trigger_key="labels:1", reason="too few"),
            "the request labels:1 was set aside: too few",
        ),
        (
            TriggerJoined(trigger_key="t", reason="labels", detail="20 are new"),
            "one more reason for the cycle that is open (labels): 20 are new",
        ),
        (CycleOpened(trigger_key="t", reason="manual", detail="first"), "training opened: first"),
        (CycleOpened(trigger_key="t", reason="drift", detail="dark"), "retraining opened: dark"),
        (
            CycleOpened(trigger_key="t", reason="manual", detail="new gates", rejudges="c1"),
            "judging again opened: new gates",
        ),
        (
            CycleOpened(trigger_key="t", reason="drift", detail="dark", takes_up=("c1", "c2")),
            "retraining opened: dark; it takes up what c1 and c2 failed at",
        ),
        (
            CycleWaiting(waiting_for="labels", reason="7 of 20 are there", way_out="label 13 more"),
            "waiting for labels: 7 of 20 are there; label 13 more",
        ),
        (training(), "training on data-v3, from first weights (attempt 2, run fedcba98)"),
        (
            training(parent_digest=WEIGHTS),
            "training on data-v3, from the weights 0123456789ab (attempt 2, run fedcba98)",
        ),
        (
            training(teacher_digest=WEIGHTS),
            "training on data-v3, from first weights, taught by the weights 0123456789ab"
            " (attempt 2, run fedcba98)",
        ),
        (TrainingAdvanced(attempt=2, step=50, steps=200), "training reached step 50 of 200 (attempt 2)"),
        (JudgingStarted(attempt=1, version="4"), "judging of version 4 began (attempt 1)"),
        (TrainingFailed(attempt=3, reason="NaN"), "attempt 3 failed: NaN"),
        (
            with_only(
                CandidateRegistered, version="4", weights_digest=WEIGHTS, data_tag="data-v3", seconds=61.6
            ),
            "version 4 (0123456789ab) was trained on data-v3 in 62 s and registered",
        ),
        (CycleClosed(outcome="rejected", reason="anna said no"), "the cycle ended, rejected: anna said no"),
    ],
)
def test_a_step_of_a_cycle_says_what_was_done(record: Record, sentence: str) -> None:
    assert record.sentence() == sentence


def test_an_estimate_of_quality_says_its_band_or_why_there_is_none() -> None:
    known = QualityEstimate(
        class_name="bolt",
        metric="mask_iou",
        value=0.741,
        low=0.69,
        high=0.79,
        confidence=0.9,
        num_pictures=50,
    )
    assert known.sentence() == "mask IoU of bolt: about 0.74 (0.69 to 0.79)"
    nothing = {"value": None, "low": None, "high": None, "refused_because": "unlike anything it learned from"}
    refused = known.model_copy(update={"metric": "mask_ap", **nothing})
    assert refused.sentence() == "mask AP of bolt: no estimate, unlike anything it learned from"
    judged = drift("quiet", 60).model_copy(update={"estimates": (known, refused)})
    assert judged.tell_quality() == ("mask IoU of bolt: about 0.74 (0.69 to 0.79)",)
    silent = drift("quiet", 60).model_copy(update={"no_estimate": "switched off"})
    assert silent.tell_quality() == ("quality was not estimated: switched off",)
    assert drift("quiet", 60).tell_quality() == ()


def drift(outcome: str, num_samples: int, *sources: str) -> DriftJudged:
    return with_only(
        DriftJudged, outcome=outcome, reason="2 of 9 signals", num_samples=num_samples, sources=sources
    )


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            AgreementMeasured(weights_digest=WEIGHTS, agreement=0.876, num_pictures=1, data_tag="data-v3"),
            "model 0123456789ab: agreement with the labels 0.88 (1 picture of data-v3),"
            " for the limits of a rollout",
        ),
        (
            with_only(RolloutStarted, version="4", champion_version="3"),
            "the rollout of version 4 begins, in the shadow of version 3",
        ),
        (
            RolloutMoved(event="go", phase="progressing", share_percent=5.0, reason="all is well"),
            "rollout progressing at 5 %: all is well",
        ),
        (
            RolloutMoved(event="go", phase="paused", share_percent=2.5, reason="no result"),
            "rollout paused at 2.5 %: no result",
        ),
        (
            with_only(SliceRecorded, slice_id="s1", num_pictures=1, failed_checks=("agreement",)),
            "1 picture was kept as slice s1: agreement",
        ),
        (
            with_only(SliceRecorded, slice_id="s1", num_pictures=2, failed_checks=("agreement", "errors")),
            "2 pictures were kept as slice s1: agreement, errors",
        ),
        (drift("drift", 60), "production has drifted (60 samples): 2 of 9 signals"),
        (
            drift("quiet", 60, "belt", "gate"),
            "production has not drifted (60 samples of belt, gate): 2 of 9 signals",
        ),
        (
            drift("inconclusive", 1, "belt"),
            "1 sample of belt cannot tell whether production has drifted: 2 of 9 signals",
        ),
    ],
)
def test_what_production_showed_is_told_with_its_numbers(record: Record, sentence: str) -> None:
    assert record.sentence() == sentence


def test_a_check_reads_as_its_name_outcome_and_reason() -> None:
    assert check("fail", "0.50 is below 0.70").sentence() == "iou.mean: fail (0.50 is below 0.70)"


def test_two_kinds_of_records_cannot_share_a_name() -> None:
    with pytest.raises(TypeError, match=r"two records are of the kind cycle\.closed"):
        type("Again", (CycleClosed,), {"__module__": __name__, "kind": "cycle.closed"})
