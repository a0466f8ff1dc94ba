"""A decision after another one: a no overturns a yes, and who said the final no is told."""

from __future__ import annotations

import pytest

from maskloop.errors import RefusedError
from maskloop.records.kinds import ApprovalDecided
from maskloop.settings.workspace_settings import ApprovalSettings
from registry.approval.approval import check_four_eyes, reject_by_tag
from tests.unit.registry.approval.test_approval import NOW, by_person, earlier, of, verdict


@pytest.mark.parametrize(
    ("approved_by", "before", "by", "why"),
    [
        ("", None, "a reviewer in MLflow", ""),
        (" bob ", None, "bob", ""),
        ("bob", earlier(), "bob", "this overturns the yes by anna"),
        (" ANNA", earlier(), "a reviewer in MLflow", "this overturns the yes by anna"),
        ("anna", None, "anna", ""),
        ("bob", earlier("rejected"), "bob", ""),
    ],
)
def test_a_no_in_the_tag_is_not_taken_for_the_word_of_who_said_yes(
    approved_by: str, before: ApprovalDecided | None, by: str, why: str
) -> None:
    no = reject_by_tag(verdict(), before, approved_by=approved_by)
    assert (no.decision, no.via, no.by, no.why) == ("rejected", "mlflow", by, why)


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (None, "looked at it"),
        (earlier(), "looked at it (this overturns the yes by anna)"),
        (earlier("rejected"), "looked at it"),
    ],
)
def test_a_no_at_the_command_line_says_whose_yes_it_overturns(
    before: ApprovalDecided | None, why: str
) -> None:
    assert by_person(decision="rejected", before=(NOW, before) if before else None).why == why


@pytest.mark.parametrize(
    ("no", "said"),
    [
        (earlier("rejected"), "anna rejected these weights; a no is final"),
        (of(earlier("rejected"), why="blind"), r"anna rejected these weights \(blind\); a no is final"),
        (
            of(earlier("rejected"), via="policy", policy="p" * 64, why="too slow"),
            r"the same gates rejected these weights \(too slow\); a no is final",
        ),
    ],
)
def test_who_said_the_final_no_and_why_is_told_to_who_would_approve(no: ApprovalDecided, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        by_person(before=(NOW, no))


@pytest.mark.parametrize(
    "before", [earlier(), of(earlier("rejected"), via="policy", policy="q" * 64)], ids=["yes", "other gates"]
)
def test_a_person_may_approve_after_a_yes_and_after_a_no_of_other_gates(before: ApprovalDecided) -> None:
    yes = by_person(before=(NOW, before))
    assert (yes.decision, yes.why) == ("approved", "looked at it")


@pytest.mark.parametrize(
    ("approval", "is_refused"),
    [
        (of(earlier()).model_copy(update={"by": " Rita"}), True),
        (of(earlier()).model_copy(update={"by": "a reviewer in MLflow"}), True),
        (of(earlier()), False),
        (of(earlier(), via="policy").model_copy(update={"by": "rita"}), False),
        (of(earlier("rejected")).model_copy(update={"by": "rita"}), False),
    ],
    ids=["the requester", "nobody", "another", "the policy", "a no"],
)
def test_four_eyes_bind_a_persons_yes_only(approval: ApprovalDecided, is_refused: bool) -> None:
    check_four_eyes(approval, ApprovalSettings(), requested_by="rita")
    if is_refused:
        with pytest.raises(RefusedError, match="asked for this training, or has no name"):
            check_four_eyes(approval, ApprovalSettings(four_eyes=True), requested_by="rita")
    else:
        check_four_eyes(approval, ApprovalSettings(four_eyes=True), requested_by="rita")
