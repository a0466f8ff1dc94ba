"""What a draft keeps whole and what it forgets, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from maskloop.records.kinds import (
    AgreementMeasured,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanging,
    CycleClosed,
    CycleOpened,
    RolloutStarted,
    SliceRecorded,
    VerdictReached,
    VersionIngested,
)
from maskloop.reducing.draft import Draft, Kept
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import Candidate, LoopState, Rollout, Serving
from tests.fakes.records import with_only

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPENED = CycleOpened(trigger_key="t", reason="manual", detail="a test")
VERDICT = with_only(VerdictReached, outcome="pass")
APPROVAL = with_only(ApprovalDecided, decision="approved")


@dataclass
class SmallDraft(Draft):
    """Keeps two closed cycles, and two of everything else."""

    kept: ClassVar[Kept] = Kept(closed_cycles=2, versions=2, serving=2, slices=2)


def candidate(cycle: str, weights: str) -> Candidate:
    return Candidate(cycle, "1", weights, "data-v1", "rita")


def cycle(name: str, weights: str = "", *, is_closed: bool = True) -> Cycle:
    begun = Cycle(name, OPENED, NOON, "rita")
    registered = with_only(CandidateRegistered, version="1", weights_digest=weights) if weights else None
    if not is_closed:
        return replace(begun, candidate=registered)
    closed = CycleClosed(outcome="rejected", reason="")
    return replace(begun, phase="closed", closed=closed, candidate=registered)


def draft_of(*cycles: Cycle) -> SmallDraft:
    made = {
        one.id: candidate(one.id, one.candidate.weights_digest) for one in cycles if one.candidate is not None
    }
    return SmallDraft(cycles={one.id: one for one in cycles}, candidates=made)


def with_decisions(draft: Draft, weights: str) -> None:
    draft.verdicts[weights] = VERDICT
    draft.approvals[weights] = (NOON, APPROVAL)
    draft.agreements[weights] = (with_only(AgreementMeasured),)


def known_of(draft: Draft, weights: str) -> list[bool]:
    return [weights in about for about in (draft.verdicts, draft.approvals, draft.agreements)]


# --- cycles --------------------------------------------------------------------------------------


def test_the_oldest_closed_cycles_go_and_open_ones_stay_however_old() -> None:
    closed = [cycle(f"c{number}") for number in range(2, 6)]
    draft = draft_of(cycle("c1", is_closed=False), *closed)
    draft.forget_old()
    assert list(draft.cycles) == ["c1", "c4", "c5"]
    assert draft.num_closed == 2


def test_as_many_closed_cycles_as_are_kept_lose_none() -> None:
    draft = draft_of(cycle("c1"), cycle("c2"), cycle("c3", is_closed=False))
    draft.forget_old()
    assert list(draft.cycles) == ["c1", "c2", "c3"]


def test_with_a_cycle_go_its_rollout_and_the_decisions_on_its_weights_but_not_its_line() -> None:
    draft = draft_of(cycle("c1", "w1"), cycle("c2", "w2"), cycle("c3"))
    for one in ("c1", "c2"):
        draft.rollouts[one] = Rollout(one, with_only(RolloutStarted), NOON, since=NOON)
    for weights in ("w1", "w2"):
        with_decisions(draft, weights)
    draft.forget_old()
    assert list(draft.rollouts) == ["c2"]
    assert (known_of(draft, "w1"), known_of(draft, "w2")) == ([False] * 3, [True] * 3)
    assert list(draft.candidates) == ["c1", "c2"]


@pytest.mark.parametrize("name", ["versions", "serving", "slices"])
def test_of_every_list_the_newest_stay(name: str) -> None:
    made: dict[str, list[object]] = {
        "versions": [with_only(VersionIngested, tag=f"data-v{number}") for number in range(4)],
        "serving": [with_only_serving(number) for number in range(4)],
        "slices": [with_only(SliceRecorded, slice_id=f"s{number}") for number in range(4)],
    }
    draft = SmallDraft(**{name: list(made[name])})  # type: ignore[arg-type]
    draft.forget_old()
    assert getattr(draft, name) == made[name][-2:]


def with_only_serving(number: int) -> Serving:
    return Serving(NOON, "anna", f"c{number}", change=None)  # type: ignore[arg-type]


# --- weights -------------------------------------------------------------------------------------


def test_weights_are_kept_whole_for_the_champion_the_change_under_way_and_the_cycles_at_hand() -> None:
    draft = draft_of(cycle("c1", "w1"))
    draft.note_candidate(candidate("gone", "w2"))
    assert [draft.is_kept_whole(weights) for weights in ("w1", "w2", "unknown")] == [True, False, False]
    draft.champions = [("1", "w2"), ("2", "w9")]
    assert not draft.is_kept_whole("w2")
    draft.champions.pop()
    assert draft.is_kept_whole("w2")
    draft.champions.clear()
    draft.changing = with_only(ChampionChanging, weights_digest="w2")
    assert draft.is_kept_whole("w2")


def test_decisions_on_weights_of_no_candidate_are_never_forgotten() -> None:
    draft = SmallDraft()
    with_decisions(draft, "imported")
    draft.forget_weights("imported")
    assert known_of(draft, "imported") == [True] * 3


def test_weights_made_twice_are_kept_by_the_younger_cycle() -> None:
    draft = draft_of(cycle("c1", "w"), cycle("c2", "w"), cycle("c3"))
    with_decisions(draft, "w")
    draft.forget_old()
    assert list(draft.cycles) == ["c2", "c3"]
    assert known_of(draft, "w") == [True] * 3


def test_a_candidate_that_is_noted_twice_belongs_to_its_weights_once() -> None:
    draft = SmallDraft()
    for is_judged in (False, True):
        draft.note_candidate(replace(candidate("c1", "w"), is_judged=is_judged))
    assert draft.cycles_by_weights == {"w": ["c1"]}
    assert draft.candidates["c1"].is_judged


def test_every_entry_that_names_weights_is_remembered_in_order() -> None:
    draft = SmallDraft()
    for sequence in (3, 8, 9):
        draft.note_name("w", sequence)
    assert draft.named_in == {"w": (3, 8, 9)}


def test_a_blessing_is_what_was_decided_up_to_now() -> None:
    draft = SmallDraft()
    assert (draft.blessing_of("w").verdict, draft.blessing_of("w").approval) == (None, None)
    with_decisions(draft, "w")
    assert (draft.blessing_of("w").verdict, draft.blessing_of("w").approval) == (VERDICT, (NOON, APPROVAL))


# --- from a state and back -----------------------------------------------------------------------


def test_a_state_and_the_drafts_made_of_it_leave_each_other_alone() -> None:
    state = LoopState(openings=(NOON,), served=frozenset({"w1"}), labels_by_tag={"data-v1": 3}, epoch=4)
    draft = Draft.of(state)
    assert draft.freeze() == state
    draft.openings.append(NOON)
    draft.served.add("w2")
    draft.labels_by_tag["data-v2"] = 1
    frozen = draft.freeze()
    draft.labels_by_tag.clear()
    assert state == LoopState(
        openings=(NOON,), served=frozenset({"w1"}), labels_by_tag={"data-v1": 3}, epoch=4
    )
    assert (frozen.openings, frozen.served) == ((NOON, NOON), frozenset({"w1", "w2"}))
    assert frozen.labels_by_tag == {"data-v1": 3, "data-v2": 1}


def test_a_draft_of_a_state_counts_its_closed_cycles_and_knows_whose_weights_are_whose() -> None:
    cycles = {one.id: one for one in (cycle("c1"), cycle("c2", is_closed=False), cycle("c3"))}
    known = {name: candidate(name, weights) for name, weights in (("c1", "w"), ("c2", "x"), ("c3", "w"))}
    draft = Draft.of(LoopState(cycles=cycles, candidates=known))
    assert draft.num_closed == 2
    assert draft.cycles_by_weights == {"w": ["c1", "c3"], "x": ["c2"]}
