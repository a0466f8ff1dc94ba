"""A rollout from its start in the shadow to all traffic, or back to none.

Every replica of the service calls `advance_rollout` once a second, and so does the reconcile; the ledger
accepts each move once. The approval page is refreshed by the reconcile alone, so that an outage of MLflow
delays no decision about traffic.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from flows.deciding.freezing import find_freeze
from flows.deciding.promotion import promote_cycle
from flows.rollouts.slices import keep_slice
from flows.workspace.journal import Journal
from flows.workspace.wiring import App
from maskloop.blobs.shared_files import SharedFiles
from maskloop.digest import digest_value
from maskloop.errors import NotFoundError, RefusedError, UnavailableError
from maskloop.folding.history import recall_cycles
from maskloop.ledger.port import Ledger
from maskloop.records.kinds import ChampionChanged, RolloutMoved, RolloutStarted, write_record
from maskloop.settings.workspace_settings import RolloutSettings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, Rollout
from maskloop.workspace import Workspace
from registry.approval.freeze import Freeze, is_held_back
from registry.champion.promotion import rollback
from serving.rollout.analysis import Analysis, set_limits
from serving.rollout.canary import RolloutFacts, describe_wait, make_move, next_move, resume
from serving.rollout.pairs import PairLog

_MOST_MOVES_AT_ONCE = 8


def start_rollout(journal: Journal, pairs: PairLog, settings: RolloutSettings, cycle_id: str) -> None:
    """Begin a cycle's rollout in the shadow; twice begins it once."""
    state = journal.state()
    verdict, champion = state.cycles[cycle_id].verdict, state.champion
    if verdict is None or champion is None:
        raise RefusedError(f"{cycle_id} has nothing to roll out beside a champion")
    limits = set_limits(state.agreements.get(champion.weights_digest, ()), settings)
    started = RolloutStarted(
        version=verdict.candidate_version,
        weights_digest=verdict.candidate_digest,
        blessing_id=verdict.blessing_id,
        champion_version=champion.version,
        champion_digest=champion.weights_digest,
        steps_percent=settings.steps_percent,
        required_agreement=limits.agreement,
        lowest_count_shift=limits.lowest_count_shift,
        highest_count_shift=limits.highest_count_shift,
        max_class_flips=limits.class_flips,
        settings_digest=digest_value(settings.model_dump(mode="json")),
    )
    journal.write(cycle_id, started, key=f"rollout:{cycle_id}:started")
    for over in pairs.cycle_ids():
        if over != cycle_id:
            pairs.forget(over)


def advance_rollout(app: App) -> list[str]:
    """Make every move that is due; does nothing while there is no rollout.

    Returns:
        What was done, as sentences.
    """
    done: list[str] = []
    for _ in range(_MOST_MOVES_AT_ONCE):
        state = app.state()
        if (rollout := state.rollout) is None:
            break
        analysis = app.rollout_watcher.analyse(rollout)
        freeze = find_freeze(state, app.settings, app.clock.now())
        if rollout.phase == "aborting":
            move = _withdraw(app.ledger, app.pairs, app.workspace, app.shared_files, rollout, analysis)
        elif due := next_move(
            rollout,
            analysis,
            gather_facts(state, rollout, analysis, now=app.clock.now(), freeze=freeze),
            app.settings.rollout,
        ):
            move = due
        elif rollout.phase == "promoting":
            cycle = state.cycles[rollout.cycle_id]
            try:
                changed = promote_cycle(app.journal, app.models, app.settings.approval, app.clock, cycle)
            except UnavailableError as error:  # the next look tries again
                app.teller.say(f"{rollout.cycle_id}: {error}")
                break
            except (RefusedError, NotFoundError) as error:  # a rule forbids it: a person is needed
                move = make_move(rollout, "refused", str(error), analysis)
            else:
                done.append(changed.sentence())
                continue
        else:
            break
        done.append(_write(app.journal, rollout, move).sentence())
    return done


def describe_rollout(app: App, cycle_id: str = "") -> dict[str, Any]:
    """Say how far a rollout is, as plain data: by default the newest one. Raises NotFoundError."""
    state = recall_cycles(app.ledger, app.state(), [cycle_id] if cycle_id else [])
    rollouts = state.rollouts
    rollout = rollouts.get(cycle_id) if cycle_id else next(reversed(rollouts.values()), None)
    if rollout is None:
        raise _no_rollout(app.settings.rollout, app.workspace.settings_file, cycle_id)
    analysis = app.rollout_watcher.analyse(rollout)
    freeze = find_freeze(state, app.settings, app.clock.now())
    facts = gather_facts(state, rollout, analysis, now=app.clock.now(), freeze=freeze)
    last = rollout.moved or rollout.started
    checks = analysis.checks if analysis.num_compared or not rollout.moved else rollout.moved.checks
    return {
        "cycle": rollout.cycle_id,
        "version": rollout.started.version,
        "champion_version": rollout.started.champion_version,
        "phase": rollout.phase,
        "share_percent": rollout.share_percent,
        "since": rollout.since.isoformat(),
        "sentence": f"{rollout.cycle_id}, version {rollout.started.version}: {last.sentence()}",
        "waits_for": describe_wait(rollout, analysis, facts, app.settings.rollout),
        "num_compared": analysis.num_compared or (rollout.moved.num_compared if rollout.moved else 0),
        "checks": [check.model_dump(mode="json") for check in checks],
        "champion_ms": {"p50": analysis.champion_p50_ms, "p95": analysis.champion_p95_ms},
        "challenger_ms": {"p50": analysis.challenger_p50_ms, "p95": analysis.challenger_p95_ms},
    }


def _no_rollout(settings: RolloutSettings, settings_file: Path, cycle_id: str) -> NotFoundError:
    if not settings.enabled:
        return NotFoundError(
            "there is no rollout: an approved version takes over at once",
            where=f"rollout.enabled = false in {settings_file}",
            hint="to let it earn its traffic step by step, delete that line",
        )
    what = f"{cycle_id} had no rollout" if cycle_id else "there was no rollout yet"
    return NotFoundError(
        what, hint="one begins when a version that the gates did not fail has a champion beside it"
    )


def resume_rollout(app: App, *, by: str, accept: bool) -> RolloutMoved:
    """Go on with the paused rollout: with more time, or accepting what could not be shown.

    Raises:
        NotFoundError: if no rollout is under way.
        RefusedError: if it is not paused.
    """
    rollout = _find_rollout(app.state())
    move = resume(rollout, app.rollout_watcher.analyse(rollout), by=by, accept=accept)
    return _write(app.journal, rollout, move, actor=by)


def stop_rollout(app: App, *, by: str, why: str) -> RolloutMoved:
    """Take the challenger out of all traffic, at once and by hand.

    Raises:
        NotFoundError: if no rollout is under way.
        RefusedError: if it is being stopped already.
    """
    rollout = _find_rollout(app.state())
    analysis = app.rollout_watcher.analyse(rollout)
    move = make_move(rollout, "stopped", f"{by} stopped it: {why}", analysis)
    moved = _write(app.journal, rollout, move, actor=by)
    advance_rollout(app)
    return moved


def roll_back_last_change(
    app: App, *, to_version: str | None, by: str, why: str
) -> ChampionChanged | RolloutMoved:
    """Undo what changed last for clients: stop a challenger that answers some of them, else roll back.

    Raises:
        RefusedError: if there is nothing to roll back to, or that version may not serve.
    """
    rollout = app.state().rollout
    if to_version is None and rollout is not None and rollout.share_percent > 0:
        return stop_rollout(app, by=by, why=why)
    changed = rollback(app.ledger, app.models, to_version=to_version, by=by, why=why)
    app.teller.say(changed.sentence())
    return changed


def _find_rollout(state: LoopState) -> Rollout:
    if state.rollout is None:
        raise NotFoundError("no rollout is under way", hint="`maskloop history` shows the earlier ones")
    return state.rollout


def _withdraw(
    ledger: Ledger,
    pairs: PairLog,
    workspace: Workspace,
    shared: SharedFiles,
    rollout: Rollout,
    analysis: Analysis,
) -> RolloutMoved:
    """Keep what the challenger failed on, and return the move that ends its rollout."""
    max_pictures = workspace.settings.rollout.max_slice_pictures
    shared.bring(workspace.slices_dir)  # another host may have kept it, and then died
    kept = keep_slice(pairs, workspace.slices_dir, rollout, max_pictures=max_pictures)
    if kept:
        shared.send(workspace.slices_dir / kept.slice_id)
        write_record(ledger, kept, cycle_id=rollout.cycle_id, key=f"slice:{kept.slice_id}")
    reason = rollout.moved.reason if rollout.moved else "it was stopped"
    return make_move(rollout, "withdrawn", reason, analysis)


def gather_facts(
    state: LoopState, rollout: Rollout, analysis: Analysis, *, now: datetime, freeze: Freeze | None = None
) -> RolloutFacts:
    """Return what a rollout's next move depends on besides its analysis. Pure.

    While the policy is frozen its yes counts as none: the rollout stays at its share.
    """
    num_before = rollout.moved.num_compared if rollout.moved else 0
    cycle = state.cycles[rollout.cycle_id]
    is_yes = cycle.approval is not None and cycle.approval.decision == "approved"
    is_approved = is_yes and not is_held_back(cycle.approval, freeze)
    return RolloutFacts(
        now=now,
        approved_at=cycle.approval_at if is_approved else None,
        champion_digest=state.champion.weights_digest if state.champion else "",
        stopped=_why_stop(cycle),
        num_in_step=analysis.num_compared - num_before,
    )


def _why_stop(cycle: Cycle) -> str:
    if cycle.phase == "rejected" and cycle.approval:
        return cycle.approval.sentence()
    return cycle.closed.sentence() if cycle.closed else ""


def _write(
    journal: Journal, rollout: Rollout, move: RolloutMoved, *, actor: str = "maskloop"
) -> RolloutMoved:
    """Record a move; if another process was first, its move counts and the next look continues from it."""
    key = f"rollout:{rollout.cycle_id}:{rollout.num_moves + 1}"
    entry = write_record(journal.ledger, move, actor=actor, cycle_id=rollout.cycle_id, key=key)
    written = RolloutMoved.model_validate(dict(entry.payload))
    if written == move:
        journal.teller.say(f"{rollout.cycle_id}: {move.sentence()}")
    return written
