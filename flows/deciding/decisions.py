"""A judged candidate is approved or rejected: by the policy, by a tag in MLflow or from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flows.deciding.decision_log import DecisionLog, Unreachable, Unread
from flows.deciding.freezing import find_freeze
from flows.workspace.wiring import App
from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.folding.history import recall_version
from maskloop.records.kinds import ApprovalDecided, CycleWaiting, VerdictReached
from maskloop.settings.workspace_settings import ApprovalSettings, Settings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from registry.approval.approval import decide_approval, decide_by_person, expires_at
from registry.approval.freeze import is_held_back
from registry.ports import APPROVAL_TAG, APPROVED_BY_TAG, ModelStore

Decision = Literal["approved", "rejected"]


@dataclass(frozen=True)
class Approvals:
    """What has been decided about judged cycles, and what the others wait for."""

    decided: Mapping[str, ApprovalDecided]
    waiting: Mapping[str, CycleWaiting]


@dataclass(frozen=True)
class Decided:
    """The decision on a version that holds after a person gave theirs.

    Attributes:
        record: What is recorded.
        is_new: False if the same was decided before, so that nothing was recorded for this person.
    """

    record: ApprovalDecided
    is_new: bool

    def sentence(self) -> str:
        """Return what was decided; or that it was before, and by whom."""
        if self.is_new:
            return self.record.sentence()
        one = self.record
        by = "the policy" if one.via == "policy" else f"{one.by} ({one.via})"
        why = f": {one.why}" if one.why else ""
        return f"nothing is recorded: version {one.version} was {one.decision} already by {by}{why}"


def read_approvals(state: LoopState, models: ModelStore, settings: Settings, now: datetime) -> Approvals:
    """Return what the policy or a person has decided about each judged cycle.

    Raises:
        UnavailableError: if the registry does not answer.
    """
    decided: dict[str, ApprovalDecided] = {}
    waiting: dict[str, CycleWaiting] = {}
    freeze = find_freeze(state, settings, now)
    for cycle in state.open_cycles:
        if cycle.phase != "judged" or not cycle.verdict or not cycle.candidate:
            continue
        try:
            tags = models.version(cycle.candidate.version).tags
        except NotFoundError as error:
            way_out = f"`maskloop abandon {cycle.id}` and retrain"
            waiting[cycle.id] = CycleWaiting(waiting_for="approval", reason=error.headline, way_out=way_out)
            continue
        answer = decide_approval(
            cycle.verdict,
            settings.approval,
            tag_value=tags.get(APPROVAL_TAG, ""),
            approved_by=tags.get(APPROVED_BY_TAG, ""),
            requested_by=cycle.requested_by,
            earlier=state.approvals.get(cycle.verdict.candidate_digest),
            now=now,
            freeze=freeze,
        )
        if isinstance(answer, ApprovalDecided):
            decided[cycle.id] = answer
        else:
            waiting[cycle.id] = CycleWaiting(
                waiting_for="approval", reason=answer.reason, way_out=answer.way_out
            )
    return Approvals(decided, waiting)


def record_decision(log: DecisionLog, cycle: Cycle, decision: ApprovalDecided) -> None:
    """Record a decision and show it on the version.

    Raises:
        RefusedError: if the candidate is being promoted or the cycle has ended.
        UnavailableError: if a promotion is under way, or the registry does not answer: `settle_tags` shows
            what was recorded.
    """
    log.record(cycle, decision)
    log.show(decision)


def settle_tags(log: DecisionLog) -> list[str]:
    """Bring the tags ``approval`` and the record together again, for decided cycles that are still open.

    A tag that a crash left out of date is set to what was recorded. A tag that a person changed to rejected
    before the promotion began withdraws the approval.

    Returns:
        What was done, as sentences.
    """
    done = []
    for cycle in log.state().open_cycles:
        decision = cycle.approval
        if decision is None or cycle.phase not in ("approved", "rejected", "promoting"):
            continue
        try:
            found = log.read_no(cycle)
            if isinstance(found, Unreachable):
                raise found.error
            if isinstance(found, Unread):
                record_decision(log, cycle, found.no)
                done.append(found.no.sentence())
            elif log.models.version(decision.version).tags.get(APPROVAL_TAG) != decision.decision:
                log.show(decision)
                done.append(f"the tag approval of version {decision.version} says {decision.decision} again")
        except (NotFoundError, RefusedError) as error:
            log.teller.say(f"{cycle.id}: {error}")
    return done


def decide_by_hand(app: App, version: str, decision: Decision, *, by: str, why: str) -> Decided:
    """Approve or reject a version from the command line.

    A decision that still counts is not recorded again; a no after a yes overturns it.

    Raises:
        NotFoundError: if no open cycle waits for a decision on this version.
        RefusedError: if it was rejected, the gates failed it, or four eyes are asked for and there are only
            two.
    """
    log = DecisionLog(app.ledger, app.state, app.models, app.teller)
    cycle, verdict = _find_judged(recall_version(log.ledger, log.state(), version), version)
    if decision == "approved" and isinstance(unread := log.read_no(cycle), Unread):
        _record_and_try_to_show(log, cycle, unread.no)
        cycle = log.state().cycles[cycle.id]
    freeze = find_freeze(log.state(), app.settings, app.clock.now())
    standing = _find_standing(cycle, verdict, decision, app.settings.approval, app.clock.now())
    if standing and not is_held_back(standing, freeze):
        return Decided(standing, is_new=False)
    record = decide_by_person(
        verdict,
        app.settings.approval,
        decision=decision,
        by=by,
        why=why,
        requested_by=cycle.requested_by,
        earlier=log.state().approvals.get(verdict.candidate_digest),
    )
    _record_and_try_to_show(log, cycle, record)
    return Decided(record, is_new=True)


def _record_and_try_to_show(log: DecisionLog, cycle: Cycle, decision: ApprovalDecided) -> None:
    log.record(cycle, decision)
    try:
        log.show(decision)
    except (NotFoundError, UnavailableError) as error:
        log.teller.say(f"it is recorded; its tag in MLflow does not show it yet: {error}")


def _find_standing(
    cycle: Cycle, verdict: VerdictReached, decision: Decision, settings: ApprovalSettings, now: datetime
) -> ApprovalDecided | None:
    """Return the recorded decision if it is the wanted one and still counts, so that nothing is to be done.

    Raises:
        RefusedError: if the cycle's candidate was rejected and is to be approved.
    """
    earlier = cycle.approval
    if earlier is None:
        return None
    if decision == "approved" and earlier.decision == "rejected":
        raise _refusal(verdict, earlier)
    return earlier if earlier.decision == decision and not _has_lapsed(cycle, settings, now) else None


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


def _has_lapsed(cycle: Cycle, settings: ApprovalSettings, now: datetime) -> bool:
    """Tell whether a yes has expired, or a rule refused to promote by it, so that it is asked for again."""
    if cycle.approval is None or cycle.approval.decision == "rejected" or cycle.approval_at is None:
        return False
    asked_again = cycle.waiting is not None and cycle.waiting.waiting_for == "approval"
    return asked_again or now >= expires_at(cycle.approval_at, settings)


def _find_judged(state: LoopState, version: str) -> tuple[Cycle, VerdictReached]:
    """Return the cycle a decision on this version belongs to: one that waits, else one that got its no."""
    own = [
        (cycle, cycle.verdict)
        for cycle in reversed(state.cycles.values())
        if cycle.verdict and cycle.candidate and cycle.candidate.version == version
    ]
    for cycle, verdict in own:
        if cycle.phase in ("judged", "approved"):  # an approved one may have expired, or be overturned
            return cycle, verdict
    for cycle, verdict in own:
        if cycle.approval and cycle.approval.decision == "rejected":
            return cycle, verdict
    raise NotFoundError(
        f"nothing waits for a decision on version {version}", hint="`maskloop status` shows what waits"
    )
