"""What records about rollouts, slices, agreement, quality and drift do to the state."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    AgreementMeasured,
    DriftJudged,
    QualityMeasured,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
)
from maskloop.reducing.draft import Draft, Past
from maskloop.reducing.reducers import reduces
from maskloop.settings.workspace_settings import MAX_CONFIRM_WINDOWS
from maskloop.state.loop_state import Rollout

_NUM_KEPT_DRIFTING: Final = 2 * MAX_CONFIRM_WINDOWS


@reduces(AgreementMeasured)
def measure_agreement(draft: Draft, _entry: Entry, record: AgreementMeasured, past: Past) -> None:
    """Add to what was measured on these weights."""
    draft.recall(record.weights_digest, past)
    earlier = draft.agreements.get(record.weights_digest, ())
    draft.agreements[record.weights_digest] = (*earlier, record)
    draft.forget_weights(record.weights_digest)


@reduces(QualityMeasured)
def measure_quality(draft: Draft, entry: Entry, record: QualityMeasured, _past: Past) -> None:
    """Remember what labels from production said about a champion."""
    draft.quality.append((entry.at, record))


@reduces(RolloutStarted)
def start_rollout(draft: Draft, entry: Entry, record: RolloutStarted, _past: Past) -> None:
    """Begin in the shadow."""
    draft.rollouts[entry.cycle_id] = Rollout(entry.cycle_id, record, entry.at, since=entry.at)


@reduces(RolloutMoved)
def move_rollout(draft: Draft, entry: Entry, move: RolloutMoved, _past: Past) -> None:
    """Take the next step, unless the rollout has ended before."""
    rollout = draft.rollouts.get(entry.cycle_id)
    if rollout is None or rollout.is_over:
        return
    if move.phase == "paused" and rollout.phase != "paused":
        rollout = replace(rollout, resumes_phase=rollout.phase, resumes_at_percent=rollout.share_percent)
    draft.rollouts[entry.cycle_id] = replace(
        rollout,
        phase=move.phase,
        share_percent=move.share_percent,
        since=entry.at,
        moved=move,
        num_moves=rollout.num_moves + 1,
    )
    if move.phase in ("aborting", "rolled-back"):
        draft.rolled_back.add(rollout.started.weights_digest)


@reduces(SliceRecorded)
def keep_slice(draft: Draft, entry: Entry, record: SliceRecorded, _past: Past) -> None:
    """Remember which pictures a rollout failed on."""
    draft.slices.append(record)
    draft.note_name(record.weights_digest, entry.sequence)


@reduces(DriftJudged)
def judge_drift(draft: Draft, entry: Entry, record: DriftJudged, _past: Past) -> None:
    """Remember a window, and of those before it what can still matter.

    A quiet window ends an episode, and an inconclusive one says nothing: see `monitoring.drift.triggers`.
    """
    draft.last_drift = (entry.at, record)
    windows = draft.unanswered_drift
    own = [index for index, (_, one) in enumerate(windows) if one.weights_digest == record.weights_digest]
    if record.outcome == "quiet":
        dropped = own
    elif record.outcome == "inconclusive":
        dropped = [index for index in own if windows[index][1].outcome == "inconclusive"]
    else:
        dropped = _without_news(draft, own, record)
    for index in reversed(dropped):
        del windows[index]
    windows.append((entry.at, record))


def _without_news(draft: Draft, own: list[int], record: DriftJudged) -> list[int]:
    """Of an episode that is confirmed long since, return the last window that reached no new source."""
    drifting = [index for index in own if draft.unanswered_drift[index][1].outcome == "drift"]
    if len(drifting) < _NUM_KEPT_DRIFTING:
        return []
    known: set[str] = set()
    for index in drifting[:-1]:
        known.update(draft.unanswered_drift[index][1].sources)
    last = draft.unanswered_drift[drifting[-1]][1]
    return [drifting[-1]] if known.issuperset(last.sources) else []
