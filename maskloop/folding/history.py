"""What the state has forgotten, read back from the ledger by its indexes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from maskloop.folding.fold import extend, find_version, fold_cycles
from maskloop.ledger.port import Entry, Finder, Ledger, check_entry, newest_first
from maskloop.records.kinds import ChampionChanged, VersionIngested, read_record
from maskloop.reducing.draft import Draft, Kept
from maskloop.state.incident_state import Incident
from maskloop.state.loop_state import LoopState, Serving


def recall_version(ledger: Ledger, state: LoopState, version: str) -> LoopState:
    """Return the state with everything about one version whole again, however old it is.

    That is its cycles, with what was judged and decided in them, its data version, and when it served and
    what followed it. A version that nobody knows leaves the state as it is.
    """
    candidate = state.candidate_of(version)
    if candidate is None:
        return state
    weights_digest = candidate.weights_digest
    recalled = recall_cycles(ledger, state, [one.cycle_id for one in state.owners_of(weights_digest)])
    serving = (*_serving_of(ledger, state, weights_digest), *state.serving)
    by_epoch = {one.change.epoch: one for one in serving}
    is_kept = candidate.data_tag in {one.tag for one in state.versions}
    data = None if is_kept else find_version(ledger, candidate.data_tag)
    return replace(
        recalled,
        serving=tuple(by_epoch[epoch] for epoch in sorted(by_epoch)),
        versions=(*([data] if data else []), *state.versions),
    )


def recall_cycles(ledger: Finder, state: LoopState, cycles: Sequence[str]) -> LoopState:
    """Return the state with some cycles whole again, and with what was decided about their candidates."""
    missing = [one for one in cycles if one not in state.cycles]
    if not missing:
        return state
    draft = fold_cycles(ledger, dict.fromkeys(name for one in missing for name in _with_twins(state, one)))
    return replace(
        state,
        cycles={**{one: draft.cycles[one] for one in missing if one in draft.cycles}, **state.cycles},
        verdicts={**draft.verdicts, **state.verdicts},
        approvals={**draft.approvals, **state.approvals},
        agreements={**draft.agreements, **state.agreements},
        rollouts={**draft.rollouts, **state.rollouts},
    )


def _with_twins(state: LoopState, cycle: str) -> list[str]:
    """Return all cycles with the same weights: a cycle that judges again has its candidate from another."""
    candidate = state.candidates.get(cycle)
    return [one.cycle_id for one in state.owners_of(candidate.weights_digest)] if candidate else [cycle]


def versions_between(ledger: Finder, state: LoopState, first: str, last: str) -> tuple[VersionIngested, ...]:
    """Return the data versions after ``first`` (if it is unknown, from the oldest) up to ``last``."""
    tags = list(state.labels_by_tag)
    begin = tags.index(first) + 1 if first in state.labels_by_tag else 0
    wanted = set(tags[begin : tags.index(last) + 1] if last in state.labels_by_tag else ())
    found: dict[str, VersionIngested] = {}
    for entry in newest_first(ledger, (VersionIngested.kind,)):
        if wanted <= set(found):
            break
        record = read_record(entry)
        if isinstance(record, VersionIngested) and record.tag in wanted:
            found.setdefault(record.tag, record)
    return tuple(found[tag] for tag in tags if tag in found)


def serving_at(ledger: Finder, time: datetime) -> Serving | None:
    """Return what served at ``time``; None before the first promotion."""
    changes = newest_first(ledger, (ChampionChanged.kind,))
    return next((_as_serving(entry) for entry in changes if entry.at <= time), None)


def recall_incidents(ledger: Ledger) -> tuple[Incident, ...]:
    """Return all incidents there ever were, oldest first. Reads the whole ledger."""
    draft = _UnforgettingDraft()
    extend(draft, ledger.entries(), ledger)
    return tuple(draft.incidents.values())


class _UnforgettingDraft(Draft):
    kept = Kept(incidents=sys.maxsize)


def _serving_of(ledger: Ledger, state: LoopState, weights_digest: str) -> Iterator[Serving]:
    for sequence in state.named_in.get(weights_digest, ()):
        (entry,) = ledger.entries(after=sequence - 1, limit=1)
        if entry.kind == ChampionChanged.kind:
            yield _as_serving(check_entry(entry))


def _as_serving(entry: Entry) -> Serving:
    change = ChampionChanged.model_validate(dict(entry.payload))
    return Serving(entry.at, entry.actor, entry.cycle_id, change)
