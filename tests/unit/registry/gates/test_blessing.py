"""Ids of verdicts: the same judgement has the same id in every release."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from maskloop.errors import RefusedError
from maskloop.records.kinds import ApprovalDecided, Check, Outcome, VerdictReached
from maskloop.settings.workspace_settings import GateSettings
from maskloop.state.loop_state import LoopState
from registry.gates.blessing import (
    blessing_id_of,
    check_approval,
    check_blessing,
    evaluated_pictures_digest,
    make_verdict,
)
from registry.gates.policy import policy_digest
from tests.fakes.iou_tables import iou_table

NAMES = (
    *("iou.mean", "iou.class.nut", "iou.class.bolt.m8", "false_positives", "latency_p95", "drop.mean"),
    *("drop.class.nut", "drop.source.belt 2", "slice.cycle-2"),
)


def verdict_of(*names: str) -> VerdictReached:
    checks = [
        Check(name=name, outcome="pass", measured=0.8, required=0.7, reason=f"{name} holds") for name in names
    ]
    return make_verdict(
        checks,
        candidate_version="2",
        candidate_digest="a" * 64,
        champion_digest="c" * 64,
        data_tag="data-v2",
        data_fingerprint="f" * 64,
        policy_digest="d" * 64,
        evaluated_pictures_digest="e" * 64,
    )


def test_a_verdict_has_the_id_it_had_before_checks_named_their_gates() -> None:
    """Written down by the release before: an approval in a ledger fits this id alone."""
    expected = "684350faafff40b0255e53c3220097b599b246a4bd0bdfb7139a9c6b0f5a2c0c"
    assert verdict_of(*NAMES).blessing_id == expected


def test_a_verdict_read_from_before_checks_named_their_gates_still_fits_its_id() -> None:
    written = verdict_of(*NAMES).model_dump(mode="json")
    for check in written["checks"]:
        del check["gate"], check["subject"]
    read = VerdictReached.model_validate(written)
    assert read == verdict_of(*NAMES)
    assert blessing_id_of(read) == read.blessing_id


def test_policies_have_the_digests_they_had_in_the_release_before() -> None:
    gates = GateSettings(max_latency_p95_ms=200.0, class_iou_floors={"nut": 0.65})
    assert policy_digest(gates, ["nut", "bolt.m8"]) == (
        "973ae3770659bd0ef376b07e3eb3b90e6d9cf263d8d10ee95e6d12f792f0a306"
    )
    assert policy_digest(GateSettings(), ["nut"]) == (
        "f7857370ded52d977d316565fc862366fef00802e56c2b8ecf32c3eefe10f3f8"
    )


class GatesOfTheNextRelease(GateSettings):
    max_missed_share: float | None = None


def test_a_gate_that_is_added_and_off_changes_no_digest_and_one_that_is_set_does() -> None:
    before = policy_digest(GateSettings(), ["nut"])
    assert policy_digest(GatesOfTheNextRelease(), ["nut"]) == before
    assert policy_digest(GatesOfTheNextRelease(max_missed_share=0.1), ["nut"]) != before


# --- what lets weights serve ---------------------------------------------------------------------

WEIGHTS = "a" * 64


def judged(outcome: Outcome = "pass") -> VerdictReached:
    verdict = verdict_of(*NAMES)
    checks = (verdict.checks[0].model_copy(update={"outcome": outcome}), *verdict.checks[1:])
    changed = verdict.model_copy(update={"checks": checks, "outcome": outcome})
    return changed.model_copy(update={"blessing_id": blessing_id_of(changed)})


def approval(verdict: VerdictReached, **changes: Any) -> ApprovalDecided:
    said: dict[str, Any] = {"decision": "approved", "version": "2", "weights_digest": WEIGHTS, "by": "anna"}
    more = {"why": "", "via": "cli", "blessing_id": verdict.blessing_id}
    return ApprovalDecided.model_validate({**said, **more, **changes})


@pytest.mark.parametrize("outcome", ["pass", "inconclusive"])
def test_a_verdict_that_did_not_fail_is_a_blessing_of_its_own_weights_only(outcome: Outcome) -> None:
    state = LoopState(verdicts={WEIGHTS: judged(outcome)})
    assert check_blessing(state, WEIGHTS) == judged(outcome)
    with pytest.raises(RefusedError, match="have not judged") as refused:
        check_blessing(state, "b" * 64)
    assert refused.value.where == "weights bbbbbbbbbbbb"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (judged("fail"), "the gates failed them"),
        (judged().model_copy(update={"policy_digest": "0" * 64}), "does not fit its own digest"),
        (judged("fail").model_copy(update={"outcome": "pass"}), "does not fit its own digest"),
    ],
    ids=["failed", "edited", "turned"],
)
def test_a_failed_or_an_edited_verdict_blesses_nothing(verdict: VerdictReached, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        check_blessing(LoopState(verdicts={WEIGHTS: verdict}), WEIGHTS)


def test_an_outcome_that_its_checks_do_not_make_is_refused_though_the_id_fits() -> None:
    kind = judged("inconclusive").model_copy(update={"outcome": "pass"})
    fitting = kind.model_copy(update={"blessing_id": blessing_id_of(kind)})
    with pytest.raises(RefusedError, match="does not fit its own digest"):
        check_blessing(LoopState(verdicts={WEIGHTS: fitting}), WEIGHTS)


@pytest.mark.parametrize(
    ("outcome", "via"), [("pass", "cli"), ("pass", "policy"), ("inconclusive", "mlflow")]
)
def test_an_approval_of_this_verdict_is_the_one_that_counts(outcome: Outcome, via: str) -> None:
    yes = approval(judged(outcome), via=via)
    state = LoopState(approvals={WEIGHTS: (datetime(2026, 3, 2, tzinfo=UTC), yes)})
    assert check_approval(state, judged(outcome)) == yes


@pytest.mark.parametrize(
    ("outcome", "changes", "said"),
    [
        ("pass", {"decision": "rejected"}, "anna rejected these weights"),
        ("pass", {"blessing_id": "0" * 64}, "belongs to another verdict"),
        ("pass", {"version": "1"}, "belongs to another verdict"),
        ("inconclusive", {"via": "policy"}, "an inconclusive verdict needs a person"),
    ],
)
def test_an_approval_that_does_not_fit_its_verdict_is_refused(
    outcome: Outcome, changes: dict[str, str], said: str
) -> None:
    decided = (datetime(2026, 3, 2, tzinfo=UTC), approval(judged(outcome), **changes))
    with pytest.raises(RefusedError, match=said):
        check_approval(LoopState(approvals={WEIGHTS: decided}), judged(outcome))
    with pytest.raises(RefusedError, match="nobody has approved"):
        check_approval(LoopState(approvals={"b" * 64: decided}), judged(outcome))


def test_the_pictures_a_verdict_was_made_on_are_known_by_names_and_annotations_not_by_results() -> None:
    table = iou_table([[0.5, 0.75]] * 3)
    known = evaluated_pictures_digest(table)
    assert evaluated_pictures_digest(iou_table([[0.1, 0.2]] * 3, false_positives=4)) == known
    relabelled = np.array([[5, 5], [5, 5], [6, 4]])
    others = (
        iou_table([[0.5, 0.75]] * 2),
        replace(table, class_names=("b", "a")),
        replace(table, picture_ids=("1", "2", "3")),
        replace(table, num_instances=relabelled),
    )
    assert len({known, *map(evaluated_pictures_digest, others)}) == 5
