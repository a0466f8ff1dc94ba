"""What the approval page says about a cycle, gathered from the ledger, the kept evidence and the pair log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from flows.evidence.judged import find_evidence
from maskloop.folding.history import versions_between
from maskloop.ledger.port import check_entry, newest_first
from maskloop.records.kinds import (
    ApprovalDecided,
    CandidateRegistered,
    DriftJudged,
    Record,
    VerdictReached,
    read_record,
)
from maskloop.settings.workspace_settings import GateSettings
from maskloop.workspace import Workspace
from registry.approval.decision_status import status_of_decision
from registry.evidence.approval_page import (
    ApprovalPage,
    DriftCause,
    Line,
    Origin,
    RolloutReport,
    compare_gates,
)
from registry.gates.policy import policy_digest
from registry.ports import RunTracker

if TYPE_CHECKING:
    from maskloop.ledger.port import Entry, Ledger
    from maskloop.state.cycle_state import Cycle
    from maskloop.state.loop_state import LoopState
    from registry.evidence.judged_evidence import JudgedEvidence

Recorded = tuple["Entry", Record]
_DRIFT_PAGE: Final = "drift/index.html"


def gather_page(
    ledger: Ledger,
    tracker: RunTracker,
    workspace: Workspace,
    cycle: Cycle,
    verdict: VerdictReached,
    state: LoopState,
    *,
    rollout: RolloutReport | None,
) -> ApprovalPage:
    """Gather everything the page says about a judged cycle.

    Args:
        ledger: The ledger with the cycle's history.
        tracker: The tracker, for evidence that is missing in the workspace.
        workspace: The workspace with the evidence and the settings.
        cycle: Whose page it is.
        verdict: The cycle's.
        state: With the cycle's version whole: see `maskloop.folding.history.recall_version`.
        rollout: The report of the cycle's rollout, if it has one.

    Raises:
        UnavailableError: if MLflow is needed and does not answer.
    """
    own = [(entry, record) for entry in entries_about(ledger, cycle, state) if (record := read_record(entry))]
    settings = workspace.settings
    evidence = find_evidence(workspace, tracker, cycle)
    changes, policy_now = _compare_gates(settings.gates, verdict, evidence)
    return ApprovalPage(
        model_name=settings.model_name,
        cycle=cycle.id,
        verdict=verdict,
        judged=next(line for line in reversed(_lines(own, VerdictReached))),
        decision=status_of_decision(cycle, state),
        asked=Line(cycle.opened_at, cycle.actor, "; and ".join(cycle.causes)),
        reason=cycle.opened.reason,
        drift=_drift_cause(ledger, tracker, cycle) if cycle.opened.reason == "drift" else None,
        evidence=evidence,
        gate_changes=changes,
        policy_now=policy_now,
        rollout=rollout,
        origins=tuple(_origins(cycle, state)),
        decisions=tuple(_lines(own, ApprovalDecided)),
        history=tuple(_lines(own, Record)),
        four_eyes_against=cycle.requested_by if settings.approval.four_eyes else "",
        data_came=tuple(_data_since_champion(ledger, cycle, state)),
        run_url=tracker.url(cycle.candidate.run_id) if cycle.candidate else "",
        champion_version=state.version_of(verdict.champion_digest),
    )


def entries_about(ledger: Ledger, cycle: Cycle, state: LoopState) -> list[Entry]:
    """Return the entries that say something about a cycle or about the weights it made, in order."""
    found = {
        entry.sequence: check_entry(entry)
        for cycle_id in (cycle.id, cycle.opened.rejudges)
        if cycle_id
        for entry in ledger.find(cycle_id=cycle_id)
    }
    for sequence in _named_in(cycle, state):
        if sequence not in found:
            (found[sequence],) = ledger.entries(after=sequence - 1, limit=1)
    return [found[sequence] for sequence in sorted(found)]


def newest_entry_about(ledger: Ledger, cycle: Cycle, state: LoopState) -> int:
    """Return the sequence number of the last of `entries_about`."""
    own = [
        entry.sequence
        for cycle_id in (cycle.id, cycle.opened.rejudges)
        if cycle_id
        for entry in ledger.find(cycle_id=cycle_id, newest_first=True, limit=1)
    ]
    return max([*own, *_named_in(cycle, state)], default=0)


def _named_in(cycle: Cycle, state: LoopState) -> tuple[int, ...]:
    return state.named_in.get(cycle.candidate.weights_digest, ()) if cycle.candidate else ()


def _lines(recorded: Sequence[Recorded], kind: type[Record]) -> list[Line]:
    return [
        Line(entry.at, entry.actor, record.sentence())
        for entry, record in recorded
        if isinstance(record, kind)
    ]


def _compare_gates(
    now: GateSettings | None, verdict: VerdictReached, evidence: JudgedEvidence | None
) -> tuple[tuple[str, ...] | None, str]:
    """Say which gates were edited since the verdict, and the digest of those of now."""
    if evidence is None:
        return None, ""
    digest = policy_digest(now, [row.name for row in evidence.rows]) if now else ""
    if digest == verdict.policy_digest:
        return (), digest
    return compare_gates(evidence.gates, now) or ("how they are measured",), digest


def _drift_cause(ledger: Ledger, tracker: RunTracker, cycle: Cycle) -> DriftCause | None:
    """Find the newest drift verdict from before the trigger, and its page."""
    triggers = ledger.find(key=f"trigger:{cycle.opened.trigger_key}", limit=1)
    windows = newest_first(ledger, (DriftJudged.kind,), before=triggers[0].sequence) if triggers else ()
    found = (
        (entry, record)
        for entry in windows
        if isinstance(record := read_record(entry), DriftJudged) and record.outcome == "drift"
    )
    entry, judged = next(found, (None, None))
    if entry is None or judged is None:
        return None
    run_id = tracker.find_run(f"drift:{judged.window_id}")
    return DriftCause(
        line=Line(entry.at, entry.actor, judged.sentence()),
        features=judged.drifted_features,
        page=judged.report,
        route=tracker.route(run_id, _DRIFT_PAGE) if run_id else "",
        url=tracker.url(run_id, _DRIFT_PAGE) if run_id else "",
    )


def _origins(cycle: Cycle, state: LoopState) -> Iterator[Origin]:
    candidate, training = cycle.candidate, cycle.training
    if candidate is None:
        return
    yield Origin("Weights", candidate.sentence(), candidate.weights_digest)
    yield Origin("Data", _describe_data(candidate, state), candidate.data_fingerprint)
    if training is None:
        return
    yield Origin("Starts from", _describe_start(training.parent_digest, state), training.parent_digest)
    if teacher := training.teacher_digest:
        yield Origin("Learns from", f"{_name_version(teacher, state)}, beside the labels", teacher)
    dirty = ", with changes that were not committed" if training.code_revision.endswith("-dirty") else ""
    yield Origin("Code", f"of maskloop{dirty}", training.code_revision)
    yield Origin("Settings", "of network and training", training.settings_digest)
    yield Origin("Trained on", training.device, f"run {training.run_id}")


def _describe_data(candidate: CandidateRegistered, state: LoopState) -> str:
    ingested = next((v for v in state.versions if v.tag == candidate.data_tag), None)
    return ingested.sentence() if ingested else candidate.data_tag


def _describe_start(parent_digest: str, state: LoopState) -> str:
    if not parent_digest:
        return "first weights, no other version"
    return f"{_name_version(parent_digest, state)}, trained on"


def _name_version(weights_digest: str, state: LoopState) -> str:
    version = state.version_of(weights_digest)
    return f"version {version}" if version else "weights this ledger does not know"


def _data_since_champion(ledger: Ledger, cycle: Cycle, state: LoopState) -> Iterator[str]:
    """Say which data versions came after the champion's, up to the candidate's."""
    if cycle.verdict is None or cycle.candidate is None:
        return
    since = state.data_of(cycle.verdict.champion_digest)
    came = versions_between(ledger, state, since, cycle.candidate.data_tag)
    yield from (version.sentence() for version in came)
