"""Entries become a state, one after the other. Pure, but for looking up what was forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from maskloop.digest import digest_value
from maskloop.ledger.port import Entry, Finder, check_entry, newest_first, select_entries
from maskloop.records.kinds import (
    RECORDS,
    Check,
    ChosenPicture,
    CycleOpened,
    ReturnedPicture,
    VersionIngested,
    read_record,
)
from maskloop.reducing import (
    cycle_reducers,
    data_reducers,
    decision_reducers,
    labelling_reducers,
    on_call_reducers,
    production_reducers,
)
from maskloop.reducing.draft import Draft
from maskloop.reducing.incident_rules import follow_incidents
from maskloop.reducing.reducers import REDUCERS
from maskloop.state.cycle_state import Cycle, apply_to_cycle
from maskloop.state.incident_state import ChannelTrouble, Incident
from maskloop.state.loop_state import Blessing, Candidate, LabelRequest, LoopState, Rollout, Serving

STATIONS: Final = (
    data_reducers,
    cycle_reducers,
    decision_reducers,
    production_reducers,
    labelling_reducers,
    on_call_reducers,
)
_VERSION: Final = 3
"""To be raised whenever the same entries fold into another state than before."""


def describe_form() -> dict[str, list[str]]:
    """Return the fields of everything that a state is made of, by kind of record or name of class."""
    parts = (
        *(LoopState, Cycle, Candidate, Rollout, Serving, Blessing, LabelRequest),
        *(Incident, ChannelTrouble),
    )
    form = {kind: sorted(record.model_fields) for kind, record in RECORDS.items()}
    form |= {part.__name__: sorted(one.name for one in fields(part)) for part in parts}
    records = (Check, ChosenPicture, ReturnedPicture)
    return {**form, **{part.__name__: sorted(part.model_fields) for part in records}}


FOLD_VERSION: Final = f"{_VERSION}-{digest_value(describe_form())[:12]}"
"""Names the fold that made a snapshot: one of another version, or of a state of another form, is ignored."""


def fold(entries: Sequence[Entry], onto: LoopState | None = None, *, past: Finder | None = None) -> LoopState:
    """Read the ledger's entries, in order, into the state they make of an earlier one (default: of none).

    Args:
        entries: All of them, or those that follow the last one in ``onto``.
        onto: The earlier state.
        past: The ledger, to look up what the earlier state has forgotten.
    """
    draft = Draft.of(onto) if onto else Draft()
    extend(draft, entries, past or _InMemory(entries))
    return draft.freeze()


def extend(draft: Draft, entries: Iterable[Entry], past: Finder) -> None:
    """Fold more entries into a draft, in place."""
    for entry in entries:
        record = read_record(entry)
        if record is not None:
            follow_incidents(draft, entry, record)
            before = _Before(past, entry.sequence)
            if reducer := REDUCERS.get(type(record)):
                reducer(draft, entry, record, before)
            cycle = draft.cycles.get(entry.cycle_id)
            if cycle is not None and not isinstance(record, CycleOpened):
                after = apply_to_cycle(cycle, entry, record)
                draft.cycles[entry.cycle_id] = after
                draft.num_closed += (after.phase == "closed") - (cycle.phase == "closed")
            draft.forget_old()
        draft.last_sequence = entry.sequence


def fold_cycles(ledger: Finder, cycles: Iterable[str], *, before: int = 0) -> Draft:
    """Fold the entries of some cycles alone, those below the sequence number ``before`` if one is given."""
    found = [entry for cycle in cycles for entry in ledger.find(cycle_id=cycle, before=before)]
    draft = Draft()
    extend(draft, sorted(map(check_entry, found), key=lambda entry: entry.sequence), ledger)
    return draft


def find_version(ledger: Finder, tag: str, *, before: int = 0) -> VersionIngested | None:
    """Return the newest record of a data version, None if the ledger has none."""
    for entry in newest_first(ledger, (VersionIngested.kind,), before=before):
        if isinstance(record := read_record(entry), VersionIngested) and record.tag == tag:
            return record
    return None


@dataclass(frozen=True)
class _Before:
    """The ledger as it was before an entry; see `maskloop.reducing.draft.Past`."""

    ledger: Finder
    sequence: int

    def fold_cycles(self, cycles: Iterable[str]) -> Draft:
        return fold_cycles(self.ledger, cycles, before=self.sequence)

    def find_version(self, tag: str) -> VersionIngested | None:
        return find_version(self.ledger, tag, before=self.sequence)


@dataclass(frozen=True)
class _InMemory:
    """Entries at hand, in the place of a ledger."""

    entries: Sequence[Entry]

    def find(self, **asked: Any) -> Sequence[Entry]:
        return select_entries(self.entries, **asked)
