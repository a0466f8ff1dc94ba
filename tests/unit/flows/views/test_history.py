"""The history of the views, folded from ledgers that are written minute by minute."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from flows.views.history import fold_history, read_history
from maskloop.errors import IntegrityError
from maskloop.records.kinds import (
    CandidateRegistered,
    CycleClosed,
    Record,
    TrainingFailed,
    TrainingStarted,
    VerdictReached,
    VersionIngested,
)
from tests.fakes.histories import ledgers
from tests.fakes.incident_stories import Story
from tests.fakes.ledger import FakeLedger


def training(attempt: int = 1) -> TrainingStarted:
    given: dict[str, Any] = {"attempt": attempt, "data_tag": "data-v1", "data_fingerprint": "f"}
    given |= {"settings_digest": "s", "code_revision": "c", "parent_digest": "", "run_id": "r"}
    return TrainingStarted.model_validate(given | {"device": "cpu"})


def candidate(version: str, *, seconds: float = 120.0) -> CandidateRegistered:
    given: dict[str, Any] = {"version": version, "weights_digest": f"w{version}", "run_id": "r"}
    given |= {"data_tag": "data-v1", "data_fingerprint": "f", "requested_by": "anna", "seconds": seconds}
    return CandidateRegistered.model_validate(given)


def verdict(version: str, outcome: str = "pass", *, bolt: float | None = 0.8) -> VerdictReached:
    def check(name: str, measured: float | None, required: float) -> dict[str, Any]:
        found = outcome if name == "iou.mean" else "pass"
        reason = f"{name} is {measured}"
        return {"name": name, "outcome": found, "measured": measured, "required": required, "reason": reason}

    checks = [check("iou.mean", 0.75, 0.7), check("iou.class.bolt", bolt, 0.6)]
    given: dict[str, Any] = {"blessing_id": "b", "outcome": outcome, "candidate_version": version}
    given |= {"checks": [*checks, check("latency", 30.0, 90.0)], "candidate_digest": f"w{version}"}
    given |= {"champion_digest": "", "data_tag": "data-v1", "data_fingerprint": "f", "policy_digest": "p"}
    return VerdictReached.model_validate(given | {"evaluated_pictures_digest": "e"})


def tell(story: Story, cycle: str, *records: Record) -> None:
    story.open_cycle(cycle, reason="manual")
    for record in records:
        story.write(record, cycle=cycle)


def test_each_verdict_is_a_line_with_the_figures_and_floors_of_its_classes() -> None:
    story = Story()
    tell(story, "cycle-1", candidate("1"), verdict("1", bolt=None))
    tell(story, "cycle-2", candidate("2"), verdict("2", "fail", bolt=0.5))
    first, second = read_history(story.ledger).versions
    assert (first.mean_iou, first.class_iou, first.floors) == (0.75, {}, {"bolt": 0.6})
    assert (second.class_iou, second.outcome) == ({"bolt": 0.5}, "fail")
    assert (first.failed, second.failed) == ((), ("iou.mean is 0.75",))


def test_of_a_version_that_was_judged_again_the_newest_verdict_counts() -> None:
    story = Story()
    tell(story, "cycle-1", candidate("1"), verdict("1", "fail"))
    tell(story, "cycle-2", candidate("2"), verdict("2"))
    tell(story, "cycle-3", verdict("1"))
    history = read_history(story.ledger)
    assert [(one.version, one.outcome) for one in history.versions] == [
        ("1", "fail"),
        ("2", "pass"),
        ("1", "pass"),
    ]
    assert [(one.version, one.outcome) for one in history.newest_verdicts] == [("1", "pass"), ("2", "pass")]


def test_training_costs_what_a_candidate_says_and_a_failure_what_the_clock_says() -> None:
    """Ten minutes between two entries: the failed attempt took 600 s, the good one says 120 s of itself."""
    story = Story()
    failed = TrainingFailed(attempt=1, reason="NaN")
    tell(story, "cycle-1", training(), failed, training(2), candidate("1"), verdict("1"))
    attempts = read_history(story.ledger).attempts
    assert [(one.seconds, one.failure) for one in attempts] == [(600.0, "NaN"), (120.0, "")]


def test_a_failed_judging_costs_no_training() -> None:
    story = Story()
    tell(story, "cycle-1", training(), candidate("1"), TrainingFailed(attempt=1, reason="no pictures"))
    assert [one.seconds for one in read_history(story.ledger).attempts] == [120.0, 0.0]


def test_the_stages_of_a_cycle_have_their_times() -> None:
    story = Story()
    closed = CycleClosed(outcome="rejected", reason="no")
    tell(story, "cycle-1", training(), candidate("1"), verdict("1"), closed)
    (cycle,) = read_history(story.ledger).cycles
    stages = (cycle.opened_at, cycle.training_at, cycle.candidate_at, cycle.judged_at, cycle.closed_at)
    assert [f"{at:%H:%M}" for at in stages if at] == ["09:10", "09:20", "09:30", "09:40", "09:50"]
    assert (cycle.outcome, cycle.version, cycle.decided_at) == ("rejected", "1", None)


def test_a_window_belongs_to_the_version_with_its_weights() -> None:
    story = Story()
    tell(story, "cycle-1", candidate("1"))
    story.window("quiet")
    story.window("drift", version="unknown")
    windows = read_history(story.ledger).windows
    assert [(one.version, one.judged.outcome) for one in windows] == [("1", "quiet"), ("", "drift")]


def test_promotions_rollouts_and_rollbacks_are_told_with_share_and_actor() -> None:
    story = Story()
    story.serve("1")
    story.open_cycle("cycle-2")
    story.roll_out("cycle-2", ("step", "progressing"))
    story.serve("1", cause="rollback", instead="2", epoch=2)
    told = [
        (one.event, one.version, one.instead, one.share_percent, one.by)
        for one in read_history(story.ledger).deployments
    ]
    assert told == [
        ("promotion", "1", "", 100.0, "anna"),
        ("rollout: shadow", "2", "1", 0.0, "anna"),
        ("rollout: progressing", "2", "1", 0.0, "anna"),
        ("rollback", "1", "2", 100.0, "anna"),
    ]


def test_data_versions_say_how_many_labels_they_brought() -> None:
    story = Story()
    counts = {"num_pictures": 20, "num_new_pictures": 4, "num_new_labelled": 5, "num_quarantined": 0}
    origin = {"tag": "data-v1", "fingerprint": "f", "dvc_md5": "m", "git_commit": "c", "source": "belt"}
    story.write(VersionIngested.model_validate(origin | counts))
    (labels,) = read_history(story.ledger).labels
    assert (labels.tag, labels.num_new_labelled, labels.num_pictures) == ("data-v1", 5, 20)


def test_an_entry_that_was_changed_by_hand_is_noticed() -> None:
    story = Story()
    story.window("quiet")
    story.ledger._entries[0].payload["num_samples"] = 7  # type: ignore[index]
    with pytest.raises(IntegrityError):
        read_history(story.ledger)


def test_no_entries_are_no_history() -> None:
    assert fold_history(()).cycles == ()


@given(ledgers)
def test_the_history_forgets_no_cycle_verdict_or_window(ledger: FakeLedger) -> None:
    history, kinds = read_history(ledger), [one.kind for one in ledger.entries()]
    assert len(history.cycles) == kinds.count("cycle.opened")
    assert len(history.versions) == kinds.count("verdict.reached")
    assert len(history.windows) == kinds.count("drift.judged")
    assert all(one.seconds >= 0 for one in history.attempts)
