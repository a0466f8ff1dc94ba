"""What the approval page says about a cycle, gathered from the ledger, the kept evidence and the pair log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from flows.evidence.judged import find_evidence
from flows.pages.shadow_evidence import report_rollout
from flows.workspace.wiring import App
from maskloop.records.kinds import (
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    ChampionChanging,
    DriftJudged,
    Record,
    SliceRecorded,
    TriggerRecorded,
    VerdictReached,
    read_record,
)
from maskloop.settings.settings import GateSettings
from registry.approval.decision_status import status_of_decision
from registry.evidence.approval_page import (
    ApprovalPage,
    DriftCause,
    Line,
    Origin,
    compare_gates,
)
from registry.gates.policy import policy_digest
from registry.ports import RunTracker

if TYPE_CHECKING:
    from maskloop.ledger.port import Entry
    from maskloop.state.cycle_state import Cycle
    from maskloop.state.loop_state import LoopState
    from registry.evidence.evidence import JudgedEvidence

Recorded = tuple["Entry", Record]
_DRIFT_PAGE: Final = "drift/index.html"
_ABOUT_WEIGHTS: Final = (ChampionChanging.kind, ChampionChanged.kind, SliceRecorded.kind)


def gather_page(
    app: App, cycle: Cycle, verdict: VerdictReached, state: LoopState, entries: Sequence[Entry]
) -> ApprovalPage:
    """Gather everything the page says about a judged cycle.

    Raises:
        UnavailableError: if MLflow is needed and does not answer.
    """
    recorded = [(entry, record) for entry in entries if (record := read_record(entry))]
    own = [(entry, record) for entry, record in recorded if is_about(entry, cycle)]
    evidence = find_evidence(app.workspace, app.tracker, cycle)
    changes, policy_now = _compare_gates(app.settings.gates, verdict, evidence)
    return ApprovalPage(
        model_name=app.settings.model_name,
        cycle=cycle.id,
        verdict=verdict,
        judged=next(line for line in reversed(_lines(own, VerdictReached))),
        decision=status_of_decision(cycle, state),
        asked=Line(cycle.opened_at, cycle.actor, "; and ".join(cycle.causes)),
        reason=cycle.opened.reason,
        drift=_drift_cause(app.tracker, cycle, recorded) if cycle.opened.reason == "drift" else None,
        evidence=evidence,
        gate_changes=changes,
        policy_now=policy_now,
        rollout=report_rollout(app, cycle, state.rollouts.get(cycle.id)),
        origins=tuple(_origins(cycle, state)),
        decisions=tuple(_lines(own, ApprovalDecided)),
        history=tuple(_lines(own, Record)),
        four_eyes_against=cycle.requested_by if app.settings.approval.four_eyes else "",
        data_came=tuple(_data_since_champion(cycle, state)),
        run_url=app.tracker.url(cycle.candidate.run_id) if cycle.candidate else "",
        champion_version=_version_of(verdict.champion_digest, state),
    )


def is_about(entry: Entry, cycle: Cycle) -> bool:
    """Tell whether an entry says something about a cycle or about the weights it made."""
    if entry.cycle and entry.cycle in (cycle.id, cycle.opened.rejudges):
        return True
    if entry.kind not in _ABOUT_WEIGHTS or cycle.candidate is None:
        return False
    named = (entry.payload.get("weights_digest"), entry.payload.get("previous_digest"))
    return cycle.candidate.weights_digest in named


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


def _drift_cause(tracker: RunTracker, cycle: Cycle, recorded: Sequence[Recorded]) -> DriftCause | None:
    """Find the newest drift verdict from before the trigger, and its page."""
    asked_at = max(
        (
            entry.sequence
            for entry, record in recorded
            if isinstance(record, TriggerRecorded) and record.trigger_key == cycle.opened.trigger_key
        ),
        default=0,
    )
    found = [
        (entry, record)
        for entry, record in recorded
        if isinstance(record, DriftJudged) and record.outcome == "drift" and entry.sequence < asked_at
    ]
    if not found:
        return None
    entry, judged = found[-1]
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


def _version_of(weights_digest: str, state: LoopState) -> str:
    candidates = [cycle.candidate for cycle in state.cycles.values() if cycle.candidate]
    return next((c.version for c in candidates if c.weights_digest == weights_digest), "")


def _name_version(weights_digest: str, state: LoopState) -> str:
    version = _version_of(weights_digest, state)
    return f"version {version}" if version else "weights this ledger does not know"


def _data_since_champion(cycle: Cycle, state: LoopState) -> Iterator[str]:
    """Say which data versions came after the champion's, up to the candidate's."""
    if cycle.verdict is None or cycle.candidate is None:
        return
    tags = [version.tag for version in state.versions]
    since = state.data_of(cycle.verdict.champion_digest) if cycle.verdict.champion_digest else ""
    first = tags.index(since) + 1 if since in tags else 0
    last = tags.index(cycle.candidate.data_tag) + 1 if cycle.candidate.data_tag in tags else 0
    yield from (version.sentence() for version in state.versions[first:last])
