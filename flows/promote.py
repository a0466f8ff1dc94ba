"""A judged candidate is approved or rejected, and the approved one becomes the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flows.wiring import App
from maskloop.errors import NotFoundError, RefusedError
from maskloop.records import ApprovalDecided, ChampionChanged, CycleWaiting, write_record
from maskloop.state import Cycle


@dataclass(frozen=True)
class Approvals:
    """What has been decided about judged cycles, and what the others wait for."""

    decided: Mapping[str, ApprovalDecided]
    waiting: Mapping[str, CycleWaiting]


def read_approvals(app: App) -> Approvals:
    """Look at every judged cycle's version in the registry: has a person, or the policy, decided?"""
    from registry.approval import decide_approval

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
            tag_value=tags.get("approval", ""),
            approved_by=tags.get("approved_by", ""),
            requested_by=cycle.actor,
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
    """Write a decision down and show it on the version; the same tag is taken once per cycle and verdict."""
    key = "" if decision.via == "cli" else f"approval:{cycle.id}:{decision.blessing_id}"
    write_record(app.ledger, decision, actor=decision.by, cycle=cycle.id, key=key)
    app.models.set_tag(decision.version, "approval", decision.decision)
    app.teller.say(decision.sentence())


def decide_by_hand(
    app: App, version: str, decision: Literal["approved", "rejected"], *, by: str, why: str
) -> ApprovalDecided:
    """Approve or reject a version from the command line.

    Raises:
        NotFoundError: if no open cycle waits for a decision on this version.
        RefusedError: if the gates failed it, or four eyes are asked for and there are only two.
    """
    from registry.approval import decide_by_person

    cycle = _find_judged(app, version)
    verdict = cycle.verdict
    if verdict is None:
        raise NotFoundError(f"version {version} has no verdict")
    if decision == "approved" and cycle.approval and cycle.phase == "approved" and not cycle.waiting:
        return cycle.approval  # said already, and it still counts
    record = decide_by_person(
        verdict,
        app.settings.approval,
        decision=decision,
        by=by,
        why=why,
        requested_by=cycle.actor,
        earlier=app.state().approvals.get(verdict.candidate_digest),
    )
    record_decision(app, cycle, record)
    return record


def promote_cycle(app: App, cycle: Cycle) -> ChampionChanged:
    """Make an approved cycle's candidate the champion.

    Raises:
        RefusedError: if the approval has expired, or another rule forbids it.
    """
    from registry.promotion import promote

    if cycle.verdict is None or cycle.approval is None or cycle.approval_at is None:
        raise RefusedError(f"{cycle.id} has no approved verdict")
    changed = promote(
        app.ledger,
        app.models,
        cycle=cycle.id,
        weights_digest=cycle.verdict.candidate_digest,
        settings=app.settings.approval,
        clock=app.clock,
        why=cycle.approval.why or f"approved by {cycle.approval.by}",
        actor=cycle.approval.by,
    )
    app.teller.say(changed.sentence())
    return changed


def roll_back(app: App, *, to_version: str | None, by: str, why: str) -> ChampionChanged:
    """Put an earlier champion back. Raises RefusedError if that version never served or lost its blessing."""
    from registry.promotion import rollback

    changed = rollback(app.ledger, app.models, to_version=to_version, by=by, why=why)
    app.teller.say(changed.sentence())
    return changed


def _find_judged(app: App, version: str) -> Cycle:
    for cycle in app.state().open_cycles:
        waits = cycle.phase in ("judged", "approved")  # an approved one may have expired
        if waits and cycle.candidate and cycle.candidate.version == version:
            return cycle
    raise NotFoundError(
        f"nothing waits for a decision on version {version}", hint="`maskloop status` shows what waits"
    )
