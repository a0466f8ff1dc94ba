"""A judged candidate is approved or rejected: by the policy, by a tag in MLflow or from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flows.workspace.wiring import App
from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.ledger.leases import leased
from maskloop.records.kinds import (
    ApprovalDecided,
    CycleWaiting,
    VerdictReached,
    write_record,
)
from maskloop.state.cycle_state import Cycle
from registry.approval.approval import decide_approval, decide_by_person, expires_at, reject_by_tag, says_no
from registry.champion.promotion import LEASE
from registry.store import APPROVAL_TAG, APPROVED_BY_TAG


@dataclass(frozen=True)
class Approvals:
    """What has been decided about judged cycles, and what the others wait for."""

    decided: Mapping[str, ApprovalDecided]
    waiting: Mapping[str, CycleWaiting]


def read_approvals(app: App) -> Approvals:
    """Look at every judged cycle's version in the registry: has a person, or the policy, decided?"""
    decided: dict[str, ApprovalDecided] = {}
    waiting: dict[str, CycleWaiting] = {}
    state = app.state()
    for cycle in state.open_cycles:
        if cycle.phase != "judged" or not cycle.verdict or not cycle.candidate:
            continue
        try:
            tags = app.models.version(cycle.candidate.version).tags
        except NotFoundError as error:
            way_out = f"`maskloop abandon {cycle.id}` and retrain"
            waiting[cycle.id] = CycleWaiting(waiting_for="approval", reason=error.headline, way_out=way_out)
            continue
        answer = decide_approval(
            cycle.verdict,
            app.settings.approval,
            tag_value=tags.get(APPROVAL_TAG, ""),
            approved_by=tags.get(APPROVED_BY_TAG, ""),
            requested_by=cycle.requested_by,
            earlier=state.approvals.get(cycle.verdict.candidate_digest),
            now=app.clock.now(),
        )
        if isinstance(answer, ApprovalDecided):
            decided[cycle.id] = answer
        else:
            waiting[cycle.id] = CycleWaiting(
                waiting_for="approval", reason=answer.reason, way_out=answer.way_out
            )
    return Approvals(decided, waiting)


def record_decision(app: App, cycle: Cycle, decision: ApprovalDecided) -> None:
    """Write a decision down and show it on the version; the same tag is taken once per cycle and verdict.

    Raises:
        RefusedError: if it comes too late, because the candidate is being promoted or the cycle has ended.
        UnavailableError: if a promotion is under way, or the registry does not answer: `settle_tags` shows
            what was recorded.
    """
    _write_decision(app, cycle, decision)
    app.models.set_tag(decision.version, APPROVAL_TAG, decision.decision)


def settle_tags(app: App) -> list[str]:
    """Bring the tags ``approval`` and the record together again, for decided cycles that are still open.

    A tag that a crash left behind is made to show what was recorded. A tag that a person turned to rejected
    before the yes became a promotion takes the yes back.

    Returns:
        What was done, as sentences.
    """
    done = []
    for cycle in app.state().open_cycles:
        decision = cycle.approval
        if decision is None or cycle.phase not in ("approved", "rejected", "promoting"):
            continue
        try:
            if no := _take_unread_no(app, cycle):
                done.append(no.sentence())
            elif app.models.version(decision.version).tags.get(APPROVAL_TAG) != decision.decision:
                app.models.set_tag(decision.version, APPROVAL_TAG, decision.decision)
                done.append(f"the tag approval of version {decision.version} says {decision.decision} again")
        except (NotFoundError, RefusedError) as error:
            app.teller.say(f"{cycle.id}: {error}")
    return done


def decide_by_hand(
    app: App, version: str, decision: Literal["approved", "rejected"], *, by: str, why: str
) -> ApprovalDecided:
    """Approve or reject a version from the command line.

    What was said before and still counts is not recorded again; a no after a yes overturns it.

    Raises:
        NotFoundError: if no open cycle waits for a decision on this version.
        RefusedError: if it was rejected, the gates failed it, or four eyes are asked for and there are only
            two.
    """
    cycle = _find_judged(app, version)
    verdict, earlier = cycle.verdict, cycle.approval
    if verdict is None:
        raise NotFoundError(f"version {version} has no verdict")
    if decision == "approved":
        earlier = _unread_no_if_the_registry_answers(app, cycle) or earlier
        if earlier and earlier.decision == "rejected":
            raise _refusal(verdict, earlier)
    if earlier and earlier.decision == decision and not _has_lapsed(app, cycle):
        return earlier
    record = decide_by_person(
        verdict,
        app.settings.approval,
        decision=decision,
        by=by,
        why=why,
        requested_by=cycle.requested_by,
        earlier=app.state().approvals.get(verdict.candidate_digest),
    )
    _write_decision(app, cycle, record)
    try:
        app.models.set_tag(record.version, APPROVAL_TAG, record.decision)
    except (NotFoundError, UnavailableError) as error:
        app.teller.say(f"it is recorded; its tag in MLflow does not show it yet: {error}")
    return record


def _refusal(verdict: VerdictReached, no: ApprovalDecided) -> RefusedError:
    """Say why a version that was rejected cannot be approved, and what can be done about it."""
    version = verdict.candidate_version
    if no.via != "policy":
        return RefusedError(f"version {version} cannot be approved: {no.sentence()}", hint="Train again")
    said = (
        "the gates failed it" if verdict.outcome == "fail" else "the same gates rejected its weights before"
    )
    return RefusedError(
        f"version {version} cannot be approved: {said}" + (f" ({no.why})" if no.why else ""),
        hint=f"Train again; or, if a gate was set wrongly, change it and run `maskloop judge {version}`",
    )


def _write_decision(app: App, cycle: Cycle, decision: ApprovalDecided) -> None:
    """Write a decision down while no promotion can begin, so that a no is never recorded beside one."""
    said = f"{decision.blessing_id}:{decision.decision}"
    key = "" if decision.via == "cli" else f"approval:{cycle.id}:{said}"
    with leased(app.ledger, LEASE, ttl_s=app.settings.retraining.lease_s):
        phase = app.state().cycles[cycle.id].phase
        if phase in ("promoting", "closed"):
            raise RefusedError(
                f"the decision on version {decision.version} comes too late: {cycle.id} is {phase}",
                hint="`maskloop rollback` brings the earlier champion back" if phase == "promoting" else "",
            )
        write_record(app.ledger, decision, actor=decision.by, cycle=cycle.id, key=key)
    app.teller.say(decision.sentence())


def _take_unread_no(app: App, cycle: Cycle) -> ApprovalDecided | None:
    """Record the no that a reviewer wrote into MLflow and nobody has read yet, if there is one.

    Raises:
        NotFoundError: if the version was deleted by hand.
        RefusedError: if it comes too late.
        UnavailableError: if the registry does not answer.
    """
    if cycle.verdict is None or cycle.phase not in ("judged", "approved"):
        return None
    tags = app.models.version(cycle.verdict.candidate_version).tags
    if not says_no(tags.get(APPROVAL_TAG, "")):
        return None
    no = reject_by_tag(cycle.verdict, cycle.approval, approved_by=tags.get(APPROVED_BY_TAG, ""))
    record_decision(app, cycle, no)
    return no


def _unread_no_if_the_registry_answers(app: App, cycle: Cycle) -> ApprovalDecided | None:
    try:
        return _take_unread_no(app, cycle)
    except (NotFoundError, UnavailableError):
        return None  # `settle_tags` finds it


def _has_lapsed(app: App, cycle: Cycle) -> bool:
    """Tell whether a yes has expired, or a rule refused to promote by it, so that it is asked for again."""
    if cycle.approval is None or cycle.approval.decision == "rejected" or cycle.approval_at is None:
        return False
    asked_again = cycle.waiting is not None and cycle.waiting.waiting_for == "approval"
    return asked_again or app.clock.now() >= expires_at(cycle.approval_at, app.settings.approval)


def _find_judged(app: App, version: str) -> Cycle:
    """Find the cycle a decision on this version belongs to: one that waits, else one that got its no."""
    own = [
        cycle
        for cycle in reversed(app.state().cycles.values())
        if cycle.candidate and cycle.candidate.version == version
    ]
    for cycle in own:
        if cycle.phase in ("judged", "approved"):  # an approved one may have expired, or be overturned
            return cycle
    for cycle in own:
        if cycle.approval and cycle.approval.decision == "rejected":
            return cycle
    raise NotFoundError(
        f"nothing waits for a decision on version {version}", hint="`maskloop status` shows what waits"
    )
