"""A snapshot and the entries after it make the state that all entries make; without it only time is lost."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from maskloop.digest import digest_bytes, digest_value
from maskloop.errors import IntegrityError
from maskloop.folding.fold import FOLD_VERSION, describe_form, extend, fold
from maskloop.folding.history import recall_cycles, recall_version
from maskloop.folding.reader import StateReader, make_snapshot, open_snapshot
from maskloop.ledger.port import Entry, Snapshot, make_entry, select_entries
from maskloop.records.kinds import RECORDS, CycleOpened, write_record
from maskloop.reducing.draft import Draft, Kept
from maskloop.state.loop_state import LoopState
from tests.fakes.histories import ACTIONS, History, ledgers
from tests.fakes.ledger import FakeLedger

TINY = Kept(closed_cycles=1, versions=1, serving=1, slices=1, label_requests=1)
HUGE = Kept(*(1000 for _ in fields(Kept)))
FOLDED = Path(__file__).parents[3] / "records" / "fold.json"


class TinyDraft(Draft):
    """Forgets as much as it may."""

    kept = TINY


class HugeDraft(Draft):
    """Forgets nothing."""

    kept = HUGE


def folded(draft: Draft, ledger: FakeLedger, *, after: int = 0, up_to: int | None = None) -> LoopState:
    extend(draft, ledger.entries()[after:up_to], ledger)
    return draft.freeze()


# --- snapshots -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(ledgers, st.data())
def test_a_snapshot_and_the_rest_are_the_whole_fold(ledger: FakeLedger, data: st.DataObject) -> None:
    num_entries = len(ledger.entries())
    position = data.draw(st.integers(0, num_entries))
    before = folded(TinyDraft(), ledger, up_to=position)
    if position:
        snapshot = make_snapshot(before, ledger.entries()[position - 1].digest)
        opened = open_snapshot(ledger, snapshot)
        assert opened == before
        before = opened
    assert folded(TinyDraft.of(before), ledger, after=position) == folded(TinyDraft(), ledger)


@settings(deadline=None)
@given(ledgers, st.integers(1, 30))
def test_a_reader_with_snapshots_comes_to_the_state_of_one_without(ledger: FakeLedger, every: int) -> None:
    again = FakeLedger()
    for entry in ledger.entries():
        again.append(entry.kind, entry.payload, actor=entry.actor, cycle_id=entry.cycle_id, key=entry.key)
        StateReader(again).keep_snapshot(every=every)
    with_snapshots = StateReader(again).read()
    again.drop_snapshots()
    assert with_snapshots == StateReader(again).read() == fold(again.entries())


def opened(ledger: FakeLedger, number: int) -> Entry:
    record = CycleOpened(trigger_key=f"t{number}", reason="manual", detail="a test")
    return write_record(ledger, record, cycle_id=f"cycle-{number}")


@pytest.fixture
def kept() -> FakeLedger:
    """A ledger of three entries with a snapshot after the second."""
    ledger = FakeLedger()
    opened(ledger, 1), opened(ledger, 2)
    StateReader(ledger).keep_snapshot(every=1)
    opened(ledger, 3)
    return ledger


def snapshot_of(ledger: FakeLedger) -> Snapshot:
    found = ledger.newest_snapshot(FOLD_VERSION)
    assert found is not None
    return found


def test_a_reader_begins_at_the_snapshot(kept: FakeLedger) -> None:
    read: list[int] = []

    class Counting(FakeLedger):
        def entries(self, *, after: int = 0, limit: int = 0) -> tuple[Entry, ...]:
            found = tuple(kept.entries(after=after, limit=limit))
            read.extend(entry.sequence for entry in found)
            return found

    counting = Counting()
    counting.keep_snapshot(snapshot_of(kept))
    assert StateReader(counting).read() == fold(kept.entries())
    assert sorted(set(read)) == [2, 3]


def with_body(snapshot: Snapshot, body: str) -> Snapshot:
    return replace(snapshot, body=body, body_digest=digest_bytes(body.encode()))


WRONG = {
    "another entry at its place": lambda one: replace(one, entry_digest="0" * 64),
    "an entry the ledger does not have": lambda one: replace(one, sequence=9),
    "another fold": lambda one: replace(one, fold_version="0-old"),
    "a changed body": lambda one: replace(one, body=one.body.replace("cycle-2", "cycle-7")),
    "no JSON": lambda one: with_body(one, "{"),
    "another sequence in its body": lambda one: with_body(
        one, one.body.replace('"last_sequence":2', '"last_sequence":1')
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_snapshot_that_does_not_fit_is_ignored(kept: FakeLedger, name: str) -> None:
    wrong = WRONG[name](snapshot_of(kept))
    assert open_snapshot(kept, wrong) is None
    kept.drop_snapshots()
    kept.keep_snapshot(wrong)
    assert StateReader(kept).read() == fold(kept.entries())


def test_a_changed_entry_after_the_snapshot_is_noticed(kept: FakeLedger) -> None:
    good = kept.entries()[2]
    forged = make_entry(3, good.kind, good.at, "mallory", good.cycle_id, good.payload, "", 1, "0" * 64)
    kept._entries[2] = forged
    with pytest.raises(IntegrityError, match="changed by hand"):
        StateReader(kept).read()


def test_a_snapshot_is_kept_every_so_many_entries() -> None:
    ledger = FakeLedger()
    reader = StateReader(ledger)
    for number in range(1, 10):
        opened(ledger, number)
        reader.keep_snapshot(every=4)
    assert snapshot_of(ledger).sequence == 8


def test_the_same_entries_still_fold_into_the_same_state() -> None:
    """If this fails, raise `_VERSION` in maskloop/folding/fold.py and write down the digests it shows."""
    history = History()
    for number in range(120):
        history.act(ACTIONS[number % len(ACTIONS)], number % 5, number % 8)
    state = fold(history.ledger.entries())
    plain = TypeAdapter(LoopState).dump_python(state, mode="json", exclude_defaults=True)
    found = {name: digest_value(_ordered(value))[:12] for name, value in sorted(plain.items())}
    version = FOLD_VERSION.partition("-")[0]
    assert {"version": version, **found} == json.loads(FOLDED.read_text(encoding="utf-8"))


def _ordered(value: Any) -> Any:
    """Sort a set, which JSON has as a list in any order."""
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def test_another_form_of_the_state_is_another_fold() -> None:
    assert FOLD_VERSION.endswith(digest_value(describe_form())[:12])
    assert "rolled_back" in describe_form()["LoopState"]
    assert set(RECORDS) < set(describe_form())


# --- forgetting ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(ledgers)
def test_what_is_forgotten_changes_no_decision(ledger: FakeLedger) -> None:
    tiny, huge = folded(TinyDraft(), ledger), folded(HugeDraft(), ledger)
    names = (
        *("candidates", "champions", "served", "rolled_back", "epoch", "changing", "pending_triggers"),
        *("data", "data_tag", "labels_by_tag", "openings", "last_drift", "unanswered_drift", "named_in"),
        *("champion", "champion_blessing", "changing_blessing", "open_cycles", "newest_cycle", "rollout"),
        *("num_cycles", "last_cycle_ended_at", "last_sequence"),
    )
    for name in names:
        assert getattr(tiny, name) == getattr(huge, name), name
    about = {cycle.candidate.weights_digest for cycle in tiny.cycles.values() if cycle.candidate}
    about |= {tiny.champion.weights_digest} if tiny.champion else set()
    for weights_digest in about:
        for found in ("verdicts", "approvals", "agreements"):
            assert getattr(tiny, found).get(weights_digest) == getattr(huge, found).get(weights_digest)


@settings(deadline=None)
@given(ledgers)
def test_a_version_that_was_forgotten_is_recalled_whole(ledger: FakeLedger) -> None:
    tiny, huge = folded(TinyDraft(), ledger), folded(HugeDraft(), ledger)
    for candidate in huge.candidates.values():
        recalled, weights = recall_version(ledger, tiny, candidate.version), candidate.weights_digest
        assert recalled.cycles[candidate.cycle_id] == huge.cycles[candidate.cycle_id]
        assert recalled.rollouts.get(candidate.cycle_id) == huge.rollouts.get(candidate.cycle_id)
        assert recalled.verdicts.get(weights) == huge.verdicts.get(weights)
        assert recalled.approvals.get(weights) == huge.approvals.get(weights)
        assert recalled.champion == huge.champion
        own = [
            one for one in huge.serving if weights in (one.change.weights_digest, one.change.previous_digest)
        ]
        assert [one for one in recalled.serving if one in own] == own
        tags = [one.tag for one in recalled.versions]
        assert candidate.data_tag in tags or candidate.data_tag not in huge.labels_by_tag


@settings(deadline=None)
@given(ledgers)
def test_any_cycle_that_was_forgotten_is_recalled_whole(ledger: FakeLedger) -> None:
    tiny, huge = folded(TinyDraft(), ledger), folded(HugeDraft(), ledger)
    for cycle in huge.cycles.values():
        assert recall_cycles(ledger, tiny, [cycle.id]).cycles[cycle.id] == cycle


def test_nothing_but_its_lines_grows_with_the_cycles() -> None:
    ledger = FakeLedger()
    history = [entry for number in range(1, 200) for entry in [opened(ledger, number)]]
    assert len(history) == 199
    for number in range(1, 200):
        ledger.append(
            "cycle.closed", {"outcome": "abandoned", "reason": "a test"}, cycle_id=f"cycle-{number}"
        )
    state = fold(ledger.entries())
    assert (state.num_cycles, len(state.cycles)) == (199, Kept().closed_cycles)
    assert list(state.cycles)[-1] == "cycle-199"
    assert select_entries(ledger.entries(), cycle_id="cycle-1")
