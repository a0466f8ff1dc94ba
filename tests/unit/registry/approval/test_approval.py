from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from maskloop.errors import RefusedError
from maskloop.records.kinds import ApprovalDecided, Outcome, VerdictReached
from maskloop.settings.workspace_settings import ApprovalSettings
from registry.approval.approval import (
    Waiting,
    check_four_eyes,
    decide_approval,
    decide_by_person,
    expires_at,
    is_final,
    says_no,
)
from registry.gates.blessing import make_verdict
from tests.fakes.registry_world import check

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def verdict(outcome: Outcome = "pass", data_tag: str = "data-v1") -> VerdictReached:
    return make_verdict(
        [check(outcome)],
        candidate_version="7",
        candidate_digest="a" * 64,
        champion_digest="",
        data_tag=data_tag,
        data_fingerprint="f" * 64,
        policy_digest="p" * 64,
        evaluated_pictures_digest="e" * 64,
    )


def decide(
    outcome: Outcome = "pass",
    tag: str = "pending",
    *,
    policy: str = "manual",
    four_eyes: bool = False,
    approved_by: str = "",
    earlier: tuple[datetime, ApprovalDecided] | None = None,
    now: datetime = NOW,
) -> ApprovalDecided | Waiting:
    return decide_approval(
        verdict(outcome),
        ApprovalSettings.model_validate({"policy": policy, "four_eyes": four_eyes}),
        tag_value=tag,
        approved_by=approved_by,
        requested_by="rita",
        earlier=earlier,
        now=now,
    )


def said(decision: ApprovalDecided | Waiting) -> tuple[str, str]:
    assert isinstance(decision, ApprovalDecided)
    return decision.decision, decision.via


def waits(decision: ApprovalDecided | Waiting) -> str:
    assert isinstance(decision, Waiting)
    return decision.reason


WAITING = ("waiting", "")
NO_BY_GATES, YES_BY_POLICY = ("rejected", "policy"), ("approved", "policy")
YES_BY_TAG, NO_BY_TAG = ("approved", "mlflow"), ("rejected", "mlflow")


@pytest.mark.parametrize(
    ("policy", "outcome", "tag", "expected"),
    [
        ("manual", "pass", "pending", WAITING),
        ("manual", "pass", "", WAITING),
        ("manual", "pass", "approved", YES_BY_TAG),
        ("manual", "pass", " Approved\n", YES_BY_TAG),
        ("manual", "pass", "rejected", NO_BY_TAG),
        ("manual", "inconclusive", "pending", WAITING),
        ("manual", "inconclusive", "approved", YES_BY_TAG),
        ("manual", "fail", "approved", NO_BY_GATES),
        ("auto", "pass", "pending", YES_BY_POLICY),
        ("auto", "pass", "rejected", NO_BY_TAG),
        ("auto", "inconclusive", "pending", WAITING),
        ("auto", "inconclusive", "approved", YES_BY_TAG),
        ("auto", "fail", "approved", NO_BY_GATES),
        ("manual-if-inconclusive", "pass", "pending", YES_BY_POLICY),
        ("manual-if-inconclusive", "inconclusive", "pending", WAITING),
        ("manual-if-inconclusive", "fail", "pending", NO_BY_GATES),
    ],
)
def test_policy_outcome_and_tag_decide(
    policy: str, outcome: Outcome, tag: str, expected: tuple[str, str]
) -> None:
    decision = decide(outcome, tag, policy=policy)
    assert (WAITING if isinstance(decision, Waiting) else said(decision)) == expected


def test_a_decision_is_bound_to_its_verdict_and_weights() -> None:
    decision = decide(tag="approved", approved_by="anna")
    assert isinstance(decision, ApprovalDecided)
    assert decision.weights_digest == "a" * 64
    assert decision.blessing_id == verdict().blessing_id
    assert decision.by == "anna"


def test_the_gates_say_why_they_reject() -> None:
    decision = decide("fail")
    assert isinstance(decision, ApprovalDecided)
    assert (decision.by, decision.why) == ("maskloop", "it is a fail")


def test_a_typing_error_in_the_tag_waits_and_says_what_counts() -> None:
    waiting = decide(tag="aproved")
    assert isinstance(waiting, Waiting)
    assert "'aproved'" in waiting.reason
    assert "approved or rejected" in waiting.way_out
    assert "maskloop approve 7 --by NAME" in waiting.way_out


def test_four_eyes_need_a_name_that_is_not_the_requesters() -> None:
    assert "not by whom" in waits(decide(tag="approved", four_eyes=True))
    assert "cannot approve it" in waits(decide(tag="approved", four_eyes=True, approved_by=" Rita"))
    assert said(decide(tag="approved", four_eyes=True, approved_by="anna")) == YES_BY_TAG


def test_anybody_may_reject_also_with_four_eyes() -> None:
    assert said(decide(tag="rejected", four_eyes=True)) == NO_BY_TAG


def earlier(decision: str = "approved", *, of: VerdictReached | None = None) -> ApprovalDecided:
    one = of or verdict()
    return ApprovalDecided.model_validate(
        {
            "decision": decision,
            "version": "7",
            "weights_digest": "a" * 64,
            "blessing_id": one.blessing_id,
            "by": "anna",
            "why": "",
            "via": "cli",
        }
    )


def test_a_recorded_yes_counts_until_it_expires_whatever_the_tag_says_then() -> None:
    yes = (NOW - timedelta(days=13.9), earlier())
    assert decide(tag="pending", earlier=yes) == yes[1]
    expired = (NOW - timedelta(days=14), earlier())
    assert "expired" in waits(decide(tag="approved", earlier=expired))
    assert "expired" in waits(decide(tag="approved", policy="auto", earlier=expired))


def test_a_recorded_no_is_final() -> None:
    no = (NOW - timedelta(days=100), earlier("rejected"))
    assert decide(tag="approved", earlier=no) == no[1]


def test_a_no_of_the_policy_holds_for_the_gates_it_was_said_under() -> None:
    no = decide("fail")
    assert isinstance(no, ApprovalDecided)
    assert said(decide("pass", "approved", earlier=(NOW, no))) == NO_BY_GATES, "the same gates, once more"
    of_other_gates = no.model_copy(update={"policy_digest": "q" * 64})
    assert said(decide("pass", "approved", earlier=(NOW, of_other_gates))) == YES_BY_TAG


def test_a_no_of_the_policy_from_before_it_named_its_gates_holds_for_its_own_verdict() -> None:
    no = decide("fail")
    assert isinstance(no, ApprovalDecided)
    old = no.model_copy(update={"policy_digest": ""})
    assert said(decide("fail", earlier=(NOW, old))) == NO_BY_GATES
    assert said(decide("pass", "approved", earlier=(NOW, old))) == YES_BY_TAG


def test_a_yes_to_another_verdict_does_not_count() -> None:
    other = (NOW, earlier(of=verdict(data_tag="data-v2")))
    assert "needs a person" in waits(decide(earlier=other))


def test_a_yes_cannot_outlive_a_later_failed_verdict() -> None:
    assert said(decide("fail", earlier=(NOW, earlier()))) == NO_BY_GATES


# --- at the command line -------------------------------------------------------------------------


def by_person(
    outcome: Outcome = "pass",
    decision: str = "approved",
    *,
    by: str = "anna",
    four_eyes: bool = False,
    before: tuple[datetime, ApprovalDecided] | None = None,
) -> ApprovalDecided:
    return decide_by_person(
        verdict(outcome),
        ApprovalSettings(four_eyes=four_eyes),
        decision="approved" if decision == "approved" else "rejected",
        by=by,
        why="looked at it",
        requested_by="rita",
        earlier=before,
    )


def test_a_person_decides_at_the_command_line() -> None:
    decision = by_person(by=" anna ")
    assert (decision.decision, decision.by, decision.via) == ("approved", "anna", "cli")
    assert by_person("inconclusive").decision == "approved"
    assert by_person("fail", "rejected").decision == "rejected"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": " "}, "needs a name"),
        ({"outcome": "fail"}, "nobody can approve"),
        ({"by": "RITA", "four_eyes": True}, "cannot approve it"),
        ({"before": (NOW, earlier("rejected"))}, "a no is final"),
    ],
)
def test_what_a_person_may_not_do(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        by_person(**arguments)  # type: ignore[arg-type]


def test_four_eyes_are_checked_again_before_a_promotion() -> None:
    nameless = decide(tag="approved")
    assert isinstance(nameless, ApprovalDecided)
    check_four_eyes(nameless, ApprovalSettings(), requested_by="rita")
    with pytest.raises(RefusedError):
        check_four_eyes(nameless, ApprovalSettings(four_eyes=True), requested_by="rita")


# --- what is written down ------------------------------------------------------------------------


def of(
    decision: ApprovalDecided, *, version: str = "7", via: str = "cli", why: str = "", policy: str = ""
) -> ApprovalDecided:
    return decision.model_copy(update={"version": version, "via": via, "why": why, "policy_digest": policy})


def test_only_the_checks_that_failed_say_why_the_gates_reject() -> None:
    outcomes: list[Outcome] = ["fail", "pass", "fail"]
    checks = [check(outcome, f"check {number}") for number, outcome in enumerate(outcomes)]
    reasons = [one.model_copy(update={"reason": one.name}) for one in checks]
    judged = verdict("fail").model_copy(update={"checks": tuple(reasons)})
    arguments: dict[str, Any] = {"tag_value": "", "approved_by": "", "requested_by": "", "earlier": None}
    no = decide_approval(judged, ApprovalSettings(), now=NOW, **arguments)
    assert isinstance(no, ApprovalDecided)
    assert no.why == "check 0; check 2"
    nothing = judged.model_copy(update={"checks": ()})
    no = decide_approval(nothing, ApprovalSettings(), now=NOW, **arguments)
    assert isinstance(no, ApprovalDecided)
    assert no.why == "no checks were made"


def test_the_policy_says_which_it_is_and_under_which_gates_and_a_person_is_bound_to_none() -> None:
    by_policy, by_tag = decide(policy="auto"), decide(tag="approved", approved_by=" anna ")
    assert isinstance(by_policy, ApprovalDecided)
    assert isinstance(by_tag, ApprovalDecided)
    assert (by_policy.by, by_policy.why) == ("maskloop", "the policy is auto and the gates passed")
    assert (by_policy.policy_digest, by_tag.policy_digest) == ("p" * 64, "")
    assert (by_tag.by, by_tag.why) == ("anna", "")


@pytest.mark.parametrize(
    ("outcome", "said"), [("pass", "the gates passed"), ("inconclusive", "the gates could not tell")]
)
def test_waiting_says_what_the_gates_said_and_both_ways_to_decide(outcome: Outcome, said: str) -> None:
    waiting = decide(outcome)
    assert waiting == Waiting(
        f"{said}; version 7 needs a person's decision",
        "in MLflow set the tag approval of version 7 to approved or rejected, or: "
        "maskloop approve 7 --by NAME",
    )


def test_an_expired_yes_names_who_said_it_the_days_and_the_command() -> None:
    assert decide(earlier=(NOW - timedelta(days=20), earlier())) == Waiting(
        "the approval by anna has expired after 14 days", "approve again: maskloop approve 7 --by NAME"
    )


def test_a_yes_expires_after_the_days_of_the_settings() -> None:
    assert expires_at(NOW, ApprovalSettings(expires_days=1.5)) == NOW + timedelta(hours=36)


@pytest.mark.parametrize(
    ("tag", "is_no"), [("rejected", True), (" REJECTED\n", True), ("reject", False), ("", False)]
)
def test_only_the_word_rejected_is_a_no(tag: str, is_no: bool) -> None:
    assert says_no(tag) is is_no


@pytest.mark.parametrize(
    ("no", "counts"),
    [
        (earlier("approved"), False),
        (earlier("rejected"), True),
        (of(earlier("rejected"), via="mlflow"), True),
        (of(earlier("rejected"), via="policy", policy="p" * 64), True),
        (of(earlier("rejected"), via="policy", policy="q" * 64), False),
        (of(earlier("rejected"), via="policy"), True),
        (of(earlier("rejected", of=verdict(data_tag="data-v2")), via="policy"), False),
        (of(earlier("rejected", of=verdict(data_tag="data-v2")), via="policy", policy="p" * 64), True),
        (earlier("rejected", of=verdict(data_tag="data-v2")), True),
    ],
)
def test_a_no_of_a_person_is_final_and_one_of_the_policy_under_the_same_gates(
    no: ApprovalDecided, counts: bool
) -> None:
    assert is_final(no, verdict()) is counts


@pytest.mark.parametrize(
    ("no", "why"),
    [
        (of(earlier("rejected"), why="it misses nuts"), "it misses nuts"),
        (
            of(earlier("rejected"), version="5", why="it misses nuts"),
            "these are the weights of version 5, rejected before: it misses nuts",
        ),
        (of(earlier("rejected"), version="5"), "these are the weights of version 5, rejected before"),
        (
            of(earlier("rejected"), version="5", via="policy", policy="p" * 64, why="too slow"),
            "these are the weights of version 5, rejected before by the same gates: too slow",
        ),
    ],
)
def test_a_no_is_repeated_for_another_version_of_the_same_weights(no: ApprovalDecided, why: str) -> None:
    again = decide(tag="approved", earlier=(NOW, no))
    assert isinstance(again, ApprovalDecided)
    assert (again.decision, again.version, again.by, again.via) == ("rejected", "7", "anna", no.via)
    assert again.why == why
