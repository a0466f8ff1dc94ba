"""Who says yes: the policy, or a person in the MLflow UI or at the command line. Pure.

A decision is bound to one verdict, and so to one set of weights. A person's no is final for these weights;
the policy's holds as long as the gates are the ones it was said under. A yes counts for
`ApprovalSettings.expires_days`; until then it must have become a promotion, and until it has, anybody can
overturn it. A no that overturns a yes says whose.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from maskloop.errors import RefusedError
from maskloop.records.kinds import ApprovalDecided, VerdictReached
from maskloop.settings.workspace_settings import ApprovalSettings
from registry.approval.freeze import Freeze, is_held_back

_UNDECIDED: Final = ("", "pending")
_UNNAMED: Final = "a reviewer in MLflow"


@dataclass(frozen=True)
class Waiting:
    """Nobody has decided yet: why, and what ends the waiting."""

    reason: str
    way_out: str


def decide_approval(
    verdict: VerdictReached,
    settings: ApprovalSettings,
    *,
    tag_value: str,
    approved_by: str,
    requested_by: str,
    earlier: tuple[datetime, ApprovalDecided] | None,
    now: datetime,
    freeze: Freeze | None = None,
) -> ApprovalDecided | Waiting:
    """Say what follows from a verdict and the tags beside its version.

    Args:
        verdict: What the gates said.
        settings: The approval policy.
        tag_value: The version's MLflow tag ``approval``.
        approved_by: The version's MLflow tag ``approved_by``.
        requested_by: Who asked for the training.
        earlier: The newest recorded decision on these weights, and when it was made.
        now: For the expiry of an earlier yes.
        freeze: Why the policy promotes nothing now; people may.

    Returns:
        The earlier decision if it still counts, a new one to record, or what is being waited for.
    """
    if earlier is not None and (still := _still_counts(earlier, verdict, settings, now)):
        if freeze and is_held_back(earlier[1], freeze):
            return _frozen(verdict, freeze)
        return still
    if verdict.outcome == "fail":
        failed = "; ".join(check.reason for check in verdict.checks if check.outcome == "fail")
        return _decision(
            "rejected", verdict, by="maskloop", why=failed or "no checks were made", via="policy"
        )
    said = tag_value.strip().lower()
    if says_no(tag_value):
        return reject_by_tag(verdict, None, approved_by=approved_by)
    is_left_to_policy = _policy_approves(verdict, settings)
    if is_left_to_policy and freeze is None:
        why = f"the policy is {settings.policy} and the gates passed"
        return _decision("approved", verdict, by="maskloop", why=why, via="policy")
    if said == "approved":
        return _approval_from_tag(verdict, settings, approved_by.strip(), requested_by)
    if is_left_to_policy and freeze is not None:
        return _frozen(verdict, freeze)
    return _nobody_yet(verdict, said)


def decide_by_person(
    verdict: VerdictReached,
    settings: ApprovalSettings,
    *,
    decision: Literal["approved", "rejected"],
    by: str,
    why: str,
    requested_by: str,
    earlier: tuple[datetime, ApprovalDecided] | None = None,
) -> ApprovalDecided:
    """Make the decision of a person at the command line.

    Raises:
        RefusedError: if the person may not decide this: nameless, the requester where four eyes are asked,
            a verdict that failed, or weights that were rejected before.
    """
    if not by.strip():
        raise RefusedError("a decision needs a name", hint="name the reviewer with --by NAME")
    if decision == "approved":
        if verdict.outcome == "fail":
            raise RefusedError("the gates failed this version; nobody can approve it")
        if earlier is not None and is_final(earlier[1], verdict):
            raise RefusedError(f"{_why_no(earlier[1])}; a no is final", hint="Train again")
    elif earlier is not None:
        why = _overturning(earlier[1], why)
    decided = _decision(decision, verdict, by=by.strip(), why=why, via="cli")
    check_four_eyes(decided, settings, requested_by=requested_by)
    return decided


def reject_by_tag(
    verdict: VerdictReached, earlier: ApprovalDecided | None, *, approved_by: str
) -> ApprovalDecided:
    """Make the no of a reviewer who wrote rejected into the tag ``approval``, also after a recorded yes.

    The tag ``approved_by`` names who said yes as long as nobody wrote another name there.
    """
    name = approved_by.strip()
    by = _UNNAMED if not name or (earlier and _same_person(name, earlier.by)) else name
    why = _overturning(earlier, "") if earlier else ""
    return _decision("rejected", verdict, by=by, why=why, via="mlflow")


def is_final(decision: ApprovalDecided, verdict: VerdictReached) -> bool:
    """Tell whether a decision is a no that also holds for this verdict on the same weights.

    A person's always does; the policy's under the gates it was said under. Old records do not name these:
    they hold for their own verdict.
    """
    if decision.decision == "approved":
        return False
    if decision.via != "policy":
        return True
    if not decision.policy_digest:
        return decision.blessing_id == verdict.blessing_id
    return decision.policy_digest == verdict.policy_digest


def says_no(tag_value: str) -> bool:
    """Tell whether the tag ``approval`` says rejected; capitals and blanks do not matter."""
    return tag_value.strip().lower() == "rejected"


def check_four_eyes(approval: ApprovalDecided, settings: ApprovalSettings, *, requested_by: str) -> None:
    """Check that a second, named person approved, where the settings ask for that. Raises RefusedError."""
    if not settings.four_eyes or approval.decision == "rejected" or approval.via == "policy":
        return
    if approval.by == _UNNAMED or _same_person(approval.by, requested_by):
        raise RefusedError(
            f"{approval.by} asked for this training, or has no name, and cannot approve it",
            hint="approval.four_eyes asks for a second, named person",
        )


def expires_at(decided_at: datetime, settings: ApprovalSettings) -> datetime:
    """Return until when a yes can become a promotion."""
    return decided_at + timedelta(days=settings.expires_days)


def _still_counts(
    earlier: tuple[datetime, ApprovalDecided],
    verdict: VerdictReached,
    settings: ApprovalSettings,
    now: datetime,
) -> ApprovalDecided | Waiting | None:
    decided_at, decision = earlier
    if decision.decision == "rejected":
        return _rejected_again(decision, verdict) if is_final(decision, verdict) else None
    if decision.blessing_id != verdict.blessing_id:
        return None
    if now < expires_at(decided_at, settings):
        return decision
    return Waiting(
        f"the approval by {decision.by} has expired after {settings.expires_days:g} days",
        f"approve again: maskloop approve {verdict.candidate_version} --by NAME",
    )


def _rejected_again(no: ApprovalDecided, verdict: VerdictReached) -> ApprovalDecided:
    """Repeat a no for another version of the same weights."""
    if no.version == verdict.candidate_version:
        return no
    gates = " by the same gates" if no.via == "policy" else ""
    why = f"these are the weights of version {no.version}, rejected before{gates}"
    return _decision("rejected", verdict, by=no.by, why=f"{why}: {no.why}" if no.why else why, via=no.via)


def _why_no(no: ApprovalDecided) -> str:
    who = "the same gates" if no.via == "policy" else no.by
    return f"{who} rejected these weights" + (f" ({no.why})" if no.why else "")


def _frozen(verdict: VerdictReached, freeze: Freeze) -> Waiting:
    return Waiting(freeze.reason, freeze.way_out(verdict.candidate_version))


def _policy_approves(verdict: VerdictReached, settings: ApprovalSettings) -> bool:
    return settings.policy != "manual" and verdict.outcome == "pass"


def _approval_from_tag(
    verdict: VerdictReached, settings: ApprovalSettings, by: str, requested_by: str
) -> ApprovalDecided | Waiting:
    if settings.four_eyes and not by:
        return Waiting(
            "the tag says approved, but not by whom, and four eyes are asked for",
            f"set the tag approved_by, or: maskloop approve {verdict.candidate_version} --by NAME",
        )
    if settings.four_eyes and _same_person(by, requested_by):
        return Waiting(
            f"{by} asked for this training and cannot approve it",
            "somebody else sets the tags approved_by and approval",
        )
    return _decision("approved", verdict, by=by or _UNNAMED, via="mlflow")


def _nobody_yet(verdict: VerdictReached, said: str) -> Waiting:
    version = verdict.candidate_version
    way_out = (
        f"in MLflow set the tag approval of version {version} to approved or rejected, or: "
        f"maskloop approve {version} --by NAME"
    )
    if said not in _UNDECIDED:
        return Waiting(f"the tag approval says {said!r}, which means nothing", way_out)
    asked = "the gates could not tell" if verdict.outcome == "inconclusive" else "the gates passed"
    return Waiting(f"{asked}; version {version} needs a person's decision", way_out)


def _overturning(earlier: ApprovalDecided, why: str) -> str:
    if earlier.decision == "rejected":
        return why
    said = f"this overturns the yes by {earlier.by}"
    return f"{why} ({said})" if why else said


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _decision(
    decision: Literal["approved", "rejected"],
    verdict: VerdictReached,
    *,
    by: str,
    via: Literal["mlflow", "cli", "policy"],
    why: str = "",
) -> ApprovalDecided:
    return ApprovalDecided(
        decision=decision,
        version=verdict.candidate_version,
        weights_digest=verdict.candidate_digest,
        blessing_id=verdict.blessing_id,
        by=by,
        why=why,
        via=via,
        policy_digest=verdict.policy_digest if via == "policy" else "",
    )
