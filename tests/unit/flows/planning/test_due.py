"""What `maskloop status` says is due next, and the command for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.planning.due import Due, find_due, waiting_now
from flows.planning.plan import LoopFacts
from maskloop.records.kinds import (
    ChampionChanged,
    ChosenPicture,
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    LabelsPulled,
    LabelsPushed,
    LabelsRequested,
    RolloutMoved,
    RolloutStarted,
    TrainingStarted,
    TriggerRecorded,
    VerdictReached,
)
from maskloop.state.cycle_state import Cycle, Phase
from maskloop.state.loop_state import LabelRequest, LoopState, Rollout, Serving
from tests.fakes.records import with_only
from tests.unit.flows.planning.test_planning import NOW, SETTINGS, WAITS, cycle, ingested, state

INGEST = "maskloop ingest LABELS"
LABELLED = (ingested("data-v1", 100),)
PASSED = with_only(
    VerdictReached, outcome="pass", candidate_version="4", candidate_digest="w4", champion_digest="w3"
)


def due(loop: LoopState, *, option: str = "", **facts: Any) -> list[tuple[str, str]]:
    found = find_due(loop, LoopFacts(now=NOW, **facts), SETTINGS, option=option)
    assert all(isinstance(one, Due) for one in found)
    return [(one.command, one.why) for one in found]


def closed(outcome: Any, **more: Any) -> Cycle:
    return cycle("closed", closed=CycleClosed(outcome=outcome, reason="a test"), **more)


def asked_for(one: Cycle, **fields: Any) -> Cycle:
    """Change what a cycle was opened for."""
    return replace(one, opened=one.opened.model_copy(update=fields))


def serving(**more: Any) -> dict[str, Any]:
    """Version 3 serves."""
    change = with_only(ChampionChanged, version="3", weights_digest="w3")
    return {"serving": (Serving(NOW - timedelta(days=9), "anna", "cycle-0", change),), **more}


# --- no cycle is open ------------------------------------------------------------------------------------


def test_an_empty_loop_needs_its_first_labels() -> None:
    assert due(LoopState()) == [(INGEST, "adds the first labelled pictures")]


def test_with_labels_and_no_model_a_training_is_due() -> None:
    assert due(state(versions=LABELLED)) == [
        ("maskloop train", "trains a model on the newest data and judges it")
    ]


def test_with_a_champion_and_nothing_pending_nothing_is_due() -> None:
    assert due(state(versions=LABELLED, **serving())) == []


def test_a_first_model_that_the_gates_failed_can_be_judged_again_or_trained_anew() -> None:
    failed = PASSED.model_copy(update={"outcome": "fail"})
    loop = state(closed("rejected", verdict=failed), versions=LABELLED)
    assert [command for command, _ in due(loop)] == ["maskloop judge 4", "maskloop train"]


def test_a_pending_trigger_opens_a_cycle_at_the_next_reconcile() -> None:
    trigger = TriggerRecorded(trigger_key="t", reason="drift", detail="it became dark")
    loop = state(versions=LABELLED, **serving(pending_triggers={"t": trigger}))
    assert due(loop) == [("maskloop reconcile", "opens a cycle: it became dark")]


@pytest.mark.parametrize(
    ("opened", "has_champion", "command"),
    [
        ({"starts_from": "champion"}, True, "maskloop retrain"),
        ({"starts_from": "champion"}, False, "maskloop train"),
        ({"starts_from": "first-weights"}, True, "maskloop train"),
        ({"starts_from": "first-weights", "is_taught": True}, True, "maskloop distil"),
    ],
)
def test_a_failed_cycle_is_taken_up_by_a_training_of_its_kind(
    opened: dict[str, Any], has_champion: bool, command: str
) -> None:
    failed = asked_for(closed("failed"), **opened)
    loop = state(failed, versions=LABELLED, **(serving() if has_champion else {}))
    assert due(loop) == [(command, "takes up what cycle-1 failed at, once the cause is mended")]


def test_an_interrupted_promotion_is_completed_by_the_next_reconcile() -> None:
    loop = state(versions=LABELLED, **serving(changing=with_only(ChampionChanged, version="4")))
    assert due(loop) == [("maskloop reconcile", "takes the next step")]


# --- a cycle is open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "training", "why"),
    [
        ("opened", None, "cycle-1: starts its training"),
        ("training", with_only(TrainingStarted, attempt=1), "cycle-1: goes on with its training"),
        ("candidate", with_only(TrainingStarted, attempt=1), "cycle-1: judges its candidate"),
    ],
)
def test_unfinished_work_is_carried_on_by_the_next_reconcile(
    phase: Phase, training: TrainingStarted | None, why: str
) -> None:
    loop = state(cycle(phase, training=training), versions=LABELLED)
    assert due(loop) == [("maskloop reconcile", why)]


def test_nothing_is_due_in_a_cycle_that_is_being_worked_on() -> None:
    loop = state(cycle("training"), versions=LABELLED)
    assert due(loop, working=frozenset({"cycle-1"})) == []


def test_a_cycle_that_waits_for_labels_names_how_many() -> None:
    loop = state(cycle("opened", reason="drift"), versions=LABELLED)
    assert due(loop) == [
        (INGEST, "cycle-1: 20 more labelled pictures from after the drift are needed"),
    ]


def test_a_cycle_that_waits_for_labels_of_a_request_names_the_step_it_is_at() -> None:
    chosen = tuple(with_only(ChosenPicture, sample_id=name, picture_digest=name) for name in "abc")
    request = LabelRequest(NOW, with_only(LabelsRequested, request_id="r1", chosen=chosen))
    why = "cycle-1: 20 more labelled pictures from after the drift are needed; request r1"

    def due_with(**changes: Any) -> list[tuple[str, str]]:
        requests = {"r1": replace(request, **changes)}
        return due(state(cycle("opened", reason="drift"), versions=LABELLED, label_requests=requests))

    pushed = with_only(LabelsPushed)
    assert due_with() == [("maskloop label push", f"{why} was not sent to the labelling tool yet")]
    assert due_with(pushed=pushed) == [("maskloop label pull", f"{why}: 3 pictures still to be labelled")]
    some = LabelsPulled(request_id="r1", tool="folder", num_new=1, num_unchanged=1, data_tag="data-v2")
    assert due_with(pushed=pushed, pulled=some) == [
        ("maskloop label pull", f"{why}: 1 picture still to be labelled")
    ]
    done = some.model_copy(update={"num_unchanged": 2})
    assert [command for command, _ in due_with(pushed=pushed, pulled=done)] == [INGEST]


def test_a_judged_candidate_is_decided_by_a_person() -> None:
    loop = state(cycle("judged", verdict=PASSED), versions=LABELLED)
    assert due(loop, waiting={"cycle-1": WAITS}) == [
        ("maskloop approve 4 --by NAME", "or `maskloop reject 4`, or in MLflow")
    ]


def test_a_decision_that_was_taken_is_recorded_by_the_next_reconcile() -> None:
    loop = state(cycle("judged", verdict=PASSED), versions=LABELLED)
    assert due(loop, decidable=frozenset({"cycle-1"})) == [
        ("maskloop reconcile", "cycle-1: takes the next step")
    ]


def test_a_paused_rollout_is_looked_at_by_a_person() -> None:
    started = with_only(RolloutStarted, version="4", weights_digest="w4")
    moved = RolloutMoved(event="overdue", phase="paused", share_percent=5.0, reason="too little traffic")
    rollout = Rollout("cycle-1", started, NOW, since=NOW, phase="paused", share_percent=5.0, moved=moved)
    loop = state(
        cycle("approved", verdict=PASSED), versions=LABELLED, **serving(rollouts={"cycle-1": rollout})
    )
    assert due(loop) == [
        ("maskloop rollout show", "cycle-1: paused at 5 % of the traffic: too little traffic")
    ]


def test_every_open_cycle_has_its_own_line_and_triggers_wait_behind_them() -> None:
    trigger = TriggerRecorded(trigger_key="t", reason="drift", detail="it became dark")
    cycles = (cycle("judged", verdict=PASSED), cycle("opened", id="cycle-2"))
    loop = state(*cycles, versions=LABELLED, pending_triggers={"t": trigger})
    assert [command for command, _ in due(loop, waiting={"cycle-1": WAITS})] == [
        "maskloop approve 4 --by NAME",
        "maskloop reconcile",
    ]


def test_an_option_follows_every_command() -> None:
    assert [command for command, _ in due(LoopState(), option=" -w parts")] == [f"{INGEST} -w parts"]


# --- what a cycle waits for ----------------------------------------------------------------------


def test_a_cycle_waits_for_what_the_next_reconcile_will_record() -> None:
    newer = WAITS.model_copy(update={"reason": "the approval expired"})
    judged = cycle("judged", verdict=PASSED, waiting=WAITS)
    facts = LoopFacts(now=NOW, waiting={"cycle-1": newer})
    assert waiting_now(judged, state(judged), facts, SETTINGS) == newer


def test_a_cycle_with_nothing_due_waits_for_what_is_recorded() -> None:
    judged = cycle("judged", verdict=PASSED, waiting=WAITS)
    facts = LoopFacts(now=NOW, waiting={"cycle-1": WAITS})
    assert waiting_now(judged, state(judged), facts, SETTINGS) == WAITS


def test_a_cycle_with_a_step_due_waits_for_nothing() -> None:
    ready = cycle("opened", waiting=CycleWaiting(waiting_for="labels", reason="few", way_out="label"))
    assert isinstance(ready.opened, CycleOpened)
    assert waiting_now(ready, state(ready), LoopFacts(now=NOW), SETTINGS) is None
