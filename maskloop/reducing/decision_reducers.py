"""What records about verdicts, approvals and champions do to the state."""

from __future__ import annotations

from dataclasses import replace

from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    ApprovalDecided,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    VerdictReached,
)
from maskloop.reducing.draft import Draft, Past
from maskloop.reducing.reducers import reduces
from maskloop.state.loop_state import Blessing, Serving


@reduces(VerdictReached)
def judge(draft: Draft, entry: Entry, record: VerdictReached, past: Past) -> None:
    """Remember the newest verdict on some weights; it gives those rolled back from another chance."""
    draft.recall(record.candidate_digest, past)
    draft.verdicts[record.candidate_digest] = record
    draft.rolled_back.discard(record.candidate_digest)
    if own := draft.candidates.get(entry.cycle_id):
        draft.candidates[entry.cycle_id] = replace(own, is_judged=True)
    draft.forget_weights(record.candidate_digest)


@reduces(ApprovalDecided)
def decide(draft: Draft, entry: Entry, record: ApprovalDecided, past: Past) -> None:
    """Remember the newest decision; a person's no is final."""
    draft.recall(record.weights_digest, past)
    earlier = draft.approvals.get(record.weights_digest)
    if not (earlier and earlier[1].decision == "rejected" and earlier[1].via != "policy"):
        draft.approvals[record.weights_digest] = (entry.at, record)
    draft.forget_weights(record.weights_digest)


@reduces(ChampionChanging)
def begin_change(draft: Draft, entry: Entry, record: ChampionChanging, past: Past) -> None:
    """Note the change under way, and what allows it at this moment."""
    _note_names(draft, entry, record)
    draft.recall(record.weights_digest, past)
    draft.changing_blessing = draft.blessing_of(record.weights_digest)
    draft.changing, draft.changing_cycle, draft.changing_actor = record, entry.cycle_id, entry.actor
    draft.epoch = max(draft.epoch, record.epoch)


@reduces(ChampionChanged)
def finish_change(draft: Draft, entry: Entry, record: ChampionChanged, past: Past) -> None:
    """Put another champion in place."""
    _note_names(draft, entry, record)
    draft.recall(record.weights_digest, past)
    is_expected = draft.changing is not None and draft.changing.epoch == record.epoch
    draft.champion_blessing = draft.changing_blessing if is_expected else Blessing()
    _end_change(draft)
    draft.serving.append(Serving(entry.at, entry.actor, entry.cycle_id, record))
    draft.served.add(record.weights_digest)
    if record.cause == "rollback":
        draft.rolled_back.add(record.previous_digest)
        while draft.champions and draft.champions[-1][1] != record.weights_digest:
            draft.champions.pop()
        del draft.champions[-1:]
    draft.rolled_back.discard(record.weights_digest)
    draft.champions.append((record.version, record.weights_digest))
    draft.epoch = max(draft.epoch, record.epoch)
    draft.forget_weights(record.previous_digest)


@reduces(ChampionChangeAbandoned)
def abandon_change(draft: Draft, _entry: Entry, record: ChampionChangeAbandoned, _past: Past) -> None:
    """Leave the champion as it was."""
    weights_digest = draft.changing.weights_digest if draft.changing else ""
    _end_change(draft)
    draft.epoch = max(draft.epoch, record.epoch)
    draft.forget_weights(weights_digest)


def _end_change(draft: Draft) -> None:
    draft.changing, draft.changing_cycle, draft.changing_actor = None, "", ""
    draft.changing_blessing = Blessing()


def _note_names(draft: Draft, entry: Entry, record: ChampionChanging | ChampionChanged) -> None:
    for weights_digest in {record.weights_digest, record.previous_digest} - {""}:
        draft.note_name(weights_digest, entry.sequence)
