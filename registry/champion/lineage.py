"""Where a version comes from and what became of it, read from the ledger's state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from maskloop.errors import NotFoundError
from maskloop.records.kinds import CandidateRegistered
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, Serving


@dataclass(frozen=True)
class Fact:
    """One step of a version's life: a word for it, the details as a row, and a sentence.

    Attributes:
        what: ``data``, ``parent``, ``teacher``, ``run``, ``verdict``, ``approval``, ``champion`` or
            ``retired``.
        detail: Plain values.
        sentence: The same in words.
        at: When it was recorded, or None where the ledger's state keeps no time.
    """

    what: str
    detail: Mapping[str, str]
    sentence: str
    at: datetime | None = None


def rollback_target(state: LoopState) -> str:
    """Return the version that `maskloop rollback` would bring back; empty if there is none."""
    return state.champions[-2][0] if len(state.champions) > 1 else ""


def lineage(state: LoopState, version: str) -> tuple[Fact, ...]:
    """Return a version's chain of facts, from its data to what it serves now.

    Args:
        state: With the version whole: see `maskloop.folding.history.recall_version`.
        version: Of the registry.

    Raises:
        NotFoundError: if no such version is in the ledger.
    """
    owner = state.candidate_of(version)
    cycle = state.cycles.get(owner.cycle_id) if owner else None
    if cycle is None or cycle.candidate is None:
        raise NotFoundError(f"there is no version {version}", hint="`maskloop history` shows all versions")
    return (
        *_data(state, cycle.candidate),
        *_parent(state, cycle),
        *_teacher(state, cycle),
        *_run(cycle, cycle.candidate),
        *_decisions(state, cycle, cycle.candidate),
        *_service(state, version),
    )


def _data(state: LoopState, candidate: CandidateRegistered) -> list[Fact]:
    detail = {"tag": candidate.data_tag, "fingerprint": candidate.data_fingerprint}
    ingested = next((v for v in state.versions if v.tag == candidate.data_tag), None)
    if ingested is None:
        return [Fact("data", detail, f"its data is {candidate.data_tag}")]
    detail |= {"dvc_md5": ingested.dvc_md5, "git_commit": ingested.git_commit}
    return [Fact("data", detail, ingested.sentence())]


def _parent(state: LoopState, cycle: Cycle) -> list[Fact]:
    digest = cycle.training.parent_digest if cycle.training else ""
    if not digest:
        return [Fact("parent", {}, "it started from first weights, not from another version")]
    return [_from_another("parent", "it started from", digest, state)]


def _teacher(state: LoopState, cycle: Cycle) -> list[Fact]:
    digest = cycle.training.teacher_digest if cycle.training else ""
    return [_from_another("teacher", "beside the labels it learned from", digest, state)] if digest else []


def _from_another(what: str, verb: str, digest: str, state: LoopState) -> Fact:
    version = state.version_of(digest)
    name = f"version {version}" if version else "weights this ledger does not know"
    detail = {"version": version, "weights_digest": digest}
    return Fact(what, detail, f"{verb} {name} ({digest[:12]})")


def _run(cycle: Cycle, candidate: CandidateRegistered) -> list[Fact]:
    detail = {
        "run_id": candidate.run_id,
        "cycle": cycle.id,
        "requested_by": candidate.requested_by,
        "weights_digest": candidate.weights_digest,
    }
    if cycle.training:
        detail |= {
            "settings_digest": cycle.training.settings_digest,
            "code_revision": cycle.training.code_revision,
            "device": cycle.training.device,
        }
    asked = f"{candidate.sentence()}, asked for by {candidate.requested_by} ({cycle.opened.reason})"
    return [Fact("run", detail, asked, cycle.opened_at)]


def _decisions(state: LoopState, cycle: Cycle, candidate: CandidateRegistered) -> list[Fact]:
    facts = []
    if verdict := state.verdicts.get(candidate.weights_digest):
        detail = {"outcome": verdict.outcome, "blessing_id": verdict.blessing_id}
        at = cycle.verdict_at if verdict == cycle.verdict else None
        facts.append(Fact("verdict", detail, verdict.sentence(), at))
    if decided := state.approvals.get(candidate.weights_digest):
        at, approval = decided
        detail = {"decision": approval.decision, "by": approval.by, "via": approval.via, "why": approval.why}
        facts.append(Fact("approval", detail, approval.sentence(), at))
    return facts


def _service(state: LoopState, version: str) -> list[Fact]:
    facts = []
    for serving in state.serving:
        change = serving.change
        if change.version == version:
            facts.append(Fact("champion", _moved(serving), change.sentence(), serving.since))
        elif change.previous_version == version:
            sentence = f"version {change.version} took its place ({change.cause}): {change.why}"
            facts.append(Fact("retired", _moved(serving), sentence, serving.since))
    return facts


def _moved(serving: Serving) -> dict[str, str]:
    change = serving.change
    return {"cause": change.cause, "by": serving.actor, "why": change.why, "epoch": str(change.epoch)}
