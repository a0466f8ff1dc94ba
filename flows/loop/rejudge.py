"""A candidate is judged again under the present gates, without training: a verdict beside the old one."""

from __future__ import annotations

from functools import partial

from dataset.version_store import DatasetStore
from flows.loop.cycles import close_cycle, record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.work import work_on_cycle
from flows.workspace.running import refuse_if_running
from flows.workspace.wiring import App
from maskloop.errors import BusyError, NotFoundError, RefusedError
from maskloop.folding.history import recall_version
from maskloop.records.kinds import CandidateRegistered, CycleClosed
from maskloop.settings.workspace_settings import GateSettings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from registry.gates.policy import policy_digest


def judge_again(app: App, version: str) -> Cycle:
    """Judge a version again, in a cycle of its own, and carry it as far as it goes without a person.

    Raises:
        NotFoundError: if no such version is in the ledger.
        RefusedError: if another verdict could change nothing: it serves or served, a person rejected its
            weights, it is approved, or neither the gates nor the champion have changed.
        BusyError: if another cycle is open; what was asked for is kept if it came in between.
        ConfigurationError: if no gates are configured.
        MaskloopError: whatever ended the attempt; it is recorded, and the next reconcile tries again.
    """
    app.settings.required_gates()
    refuse_if_running(app.ledger, app.state(), app.workspace)
    cycle, candidate = _find(recall_version(app.ledger, app.state(), version), version)
    _refuse_if_busy(app.state(), cycle)
    if cycle.phase == "candidate":  # its judging was interrupted: resuming it applies the present gates
        reconcile(app, start_work=partial(work_on_cycle, app))
        return app.state().cycles[cycle.id]
    _refuse_if_pointless(recall_version(app.ledger, app.state(), version), cycle, candidate)
    if candidate.weights_digest not in app.state().rolled_back:
        _refuse_if_nothing_changed(cycle, app.state(), app.data, app.settings.required_gates())
    if cycle.phase == "judged":
        why = f"version {version} is judged again, under the present gates"
        close_cycle(app.journal, cycle.id, CycleClosed(outcome="abandoned", reason=why))
    key = f"judge:{version}:{app.state().last_sequence + 1}"
    detail = f"{app.actor} asked for another verdict on version {version}"
    record_trigger(app.journal, key, "manual", detail, by=app.actor, rejudges=cycle.id)
    reconcile(app, start_work=partial(work_on_cycle, app))
    opened = [one for one in app.state().cycles.values() if one.opened.trigger_key == key]
    if not opened:
        raise BusyError(f"version {version} is judged again as soon as the cycle now open has ended")
    return opened[0]


def _find(state: LoopState, version: str) -> tuple[Cycle, CandidateRegistered]:
    owner = state.candidate_of(version)
    cycle = state.cycles.get(owner.cycle_id) if owner else None
    if cycle and cycle.candidate:
        return cycle, cycle.candidate
    raise NotFoundError(f"there is no version {version}", hint="`maskloop history` names the versions")


def _refuse_if_busy(state: LoopState, own: Cycle) -> None:
    for other in state.open_cycles:
        if other.id != own.id:
            raise BusyError(
                f"{other.id} is still open ({other.phase})",
                hint="`maskloop status` says what it waits for; `maskloop abandon` ends it",
            )


def _refuse_if_pointless(state: LoopState, cycle: Cycle, candidate: CandidateRegistered) -> None:
    """Raise RefusedError if another verdict on a cycle's candidate could change nothing."""
    version, digest = candidate.version, candidate.weights_digest
    if cycle.phase in ("approved", "promoting"):
        raise RefusedError(f"version {version} is approved already", hint="`maskloop promote`, or reject it")
    if state.champion and state.champion.weights_digest == digest:
        raise RefusedError(f"version {version} serves already")
    if digest in state.rolled_back:
        return
    if digest in state.served:
        way_back = f"`maskloop rollback {version} --why WHY` brings it back"
        raise RefusedError(f"version {version} has served before", hint=way_back)
    decided = state.approvals.get(digest)
    if decided and decided[1].decision == "rejected" and decided[1].via != "policy":
        raise RefusedError(f"{decided[1].sentence()}; a person's no is final", hint="Train again")
    if (rollout := state.rollouts.get(cycle.id)) and not rollout.is_over:
        raise RefusedError(f"the rollout of version {version} is under way", hint="`maskloop rollout stop`")


def _refuse_if_nothing_changed(
    cycle: Cycle, state: LoopState, data: DatasetStore, gates: GateSettings
) -> None:
    verdict, champion = cycle.verdict, state.champion
    if verdict is None or verdict.champion_digest != (champion.weights_digest if champion else ""):
        return
    class_names = data.open(verdict.data_tag).class_names
    if policy_digest(gates, class_names) == verdict.policy_digest:
        raise RefusedError(
            "neither the gates nor the champion have changed since "
            f"version {verdict.candidate_version} was judged ({verdict.outcome})",
            hint="Change [gates] in maskloop.toml first",
        )
