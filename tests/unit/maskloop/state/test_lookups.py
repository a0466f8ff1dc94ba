"""What the state answers about the newest cycle, the rollout under way, data versions and classes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from maskloop.records.kinds import (
    ClassesChanging,
    CycleClosed,
    CycleOpened,
    CycleOutcome,
    RolloutPhase,
    RolloutStarted,
)
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState, Rollout
from tests.fakes.records import with_only

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LABELS = {"data-v1": 500, "data-v2": 12, "data-v3": 8}


def cycle(name: str, outcome: CycleOutcome | None = None) -> Cycle:
    opened = CycleOpened(trigger_key=name, reason="manual", detail="a test")
    begun = Cycle(name, opened, NOON, "rita")
    return (
        replace(begun, phase="closed", closed=CycleClosed(outcome=outcome, reason="")) if outcome else begun
    )


def with_cycles(*cycles: Cycle) -> LoopState:
    return LoopState(cycles={one.id: one for one in cycles})


@pytest.mark.parametrize("outcome", ["promoted", "rejected", "failed", "abandoned"])
def test_only_the_newest_cycle_tells_a_failure_or_a_rejection(outcome: CycleOutcome) -> None:
    ended = cycle("c1", outcome)
    state = with_cycles(ended)
    assert state.unanswered_failure == (ended if outcome == "failed" else None)
    assert state.newest_rejection == (ended if outcome == "rejected" else None)
    followed = with_cycles(ended, cycle("c2"))
    assert (followed.unanswered_failure, followed.newest_rejection) == (None, None)


def test_open_cycles_are_those_that_have_not_ended_oldest_first() -> None:
    state = with_cycles(cycle("c1", "promoted"), cycle("c2"), cycle("c3", "failed"), cycle("c4"))
    assert [one.id for one in state.open_cycles] == ["c2", "c4"]
    assert state.newest_cycle == cycle("c4")


def test_before_anything_happened_nothing_is_known() -> None:
    state = LoopState()
    assert (state.newest_cycle, state.unanswered_failure, state.newest_rejection) == (None, None, None)
    assert (state.rollout, state.champion, state.newest_tag) == (None, None, "")


def rollout(name: str, phase: RolloutPhase) -> Rollout:
    return Rollout(name, with_only(RolloutStarted, version="4"), NOON, since=NOON, phase=phase)


@pytest.mark.parametrize(
    ("phase", "is_over"),
    [
        ("shadow", False),
        ("progressing", False),
        ("paused", False),
        ("promoting", False),
        ("aborting", False),
        ("promoted", True),
        ("rolled-back", True),
    ],
)
def test_a_rollout_is_over_with_all_traffic_or_none(phase: RolloutPhase, is_over: bool) -> None:
    one = rollout("c1", phase)
    assert one.is_over == is_over
    assert LoopState(rollouts={"c1": one}).rollout == (None if is_over else one)


def test_the_newest_rollout_that_is_not_over_is_the_one_under_way() -> None:
    phases: dict[str, RolloutPhase] = {"c1": "paused", "c2": "progressing", "c3": "promoted"}
    state = LoopState(rollouts={name: rollout(name, phase) for name, phase in phases.items()})
    assert state.rollout == rollout("c2", "progressing")


@pytest.mark.parametrize(
    ("since", "current", "num_new"),
    [
        ("data-v1", "data-v3", 20),
        ("data-v2", "data-v3", 8),
        ("data-v3", "data-v3", 0),
        ("", "data-v3", 520),
        ("lost", "data-v2", 512),
        ("data-v1", "data-v2", 12),
        ("data-v3", "data-v1", 0),
        ("data-v1", "", 20),
        ("data-v1", "lost", 20),
    ],
)
def test_labels_are_counted_after_a_version_up_to_the_current_one(
    since: str, current: str, num_new: int
) -> None:
    assert LoopState(labels_by_tag=LABELS, data_tag=current).count_new_labels(since) == num_new


def test_the_newest_tag_is_that_of_the_version_that_came_last() -> None:
    assert LoopState(labels_by_tag=LABELS, data_tag="data-v1").newest_tag == "data-v3"


def change(tag: str, **fields: object) -> ClassesChanging:
    return ClassesChanging.model_validate({"tag": tag, "class_names": (), "by": "anna"} | fields)


RENAMED_TWICE = (
    change("data-v1", renamed=(("rod", "bar"),), dropped=("pin",)),
    change("data-v2", renamed=(("bar", "stick"),)),
)


@pytest.mark.parametrize(
    ("name", "old_tag", "new_tag", "found"),
    [
        ("rod", "data-v1", "data-v3", "stick"),
        ("rod", "data-v1", "data-v2", "bar"),
        ("bar", "data-v2", "data-v3", "stick"),
        ("rod", "data-v2", "data-v3", "rod"),
        ("rod", "data-v1", "data-v1", "rod"),
        ("bar", "data-v3", "data-v3", "bar"),
        ("pin", "data-v1", "data-v3", ""),
        ("rod", "lost", "data-v3", "rod"),
        ("rod", "data-v1", "lost", "rod"),
    ],
)
def test_a_class_is_followed_through_every_change_between_two_versions(
    name: str, old_tag: str, new_tag: str, found: str
) -> None:
    state = LoopState(labels_by_tag=LABELS, class_changes=RENAMED_TWICE)
    assert state.class_between(name, old_tag, new_tag) == found
