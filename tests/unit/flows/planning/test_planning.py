"""`plan` is a pure function: a state and a few facts in, the next steps out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.planning.plan import (
    CloseCycle,
    CompletePromotion,
    Decide,
    JoinCycle,
    LoopFacts,
    OpenCycle,
    Promote,
    StartRollout,
    StartWork,
    Step,
    Wait,
    plan,
)
from maskloop.records.kinds import (
    ApprovalDecided,
    ChampionChanging,
    CycleOpened,
    CycleWaiting,
    TriggerRecorded,
    VersionIngested,
)
from maskloop.settings.workspace_settings import RetrainingSettings, Settings
from maskloop.state.cycle_state import Cycle, Phase
from maskloop.state.loop_state import LoopState

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SETTINGS = Settings(
    retraining=RetrainingSettings(
        min_new_labelled_samples=20, wait_for_labels_days=14.0, max_training_attempts=3
    )
)
WAITS = CycleWaiting(waiting_for="approval", reason="nobody has decided", way_out="decide")


def cycle(phase: Phase = "opened", *, id: str = "cycle-1", reason: Any = "manual", **more: Any) -> Cycle:
    opened = CycleOpened(trigger_key=f"key of {id}", reason=reason, detail="a test", baseline_tag="data-v1")
    return Cycle(id, opened, NOW - timedelta(days=1), "rita", phase=phase, **more)


def ingested(tag: str, num_new_labelled: int = 0) -> VersionIngested:
    return VersionIngested(
        tag=tag,
        fingerprint="f",
        dvc_md5="m",
        git_commit="c",
        source="belt",
        num_pictures=100,
        num_new_pictures=num_new_labelled,
        num_new_labelled=num_new_labelled,
        num_quarantined=0,
    )


def trigger(key: str) -> TriggerRecorded:
    return TriggerRecorded(trigger_key=key, reason="drift", detail="a test")


def state(*cycles: Cycle, versions: Sequence[VersionIngested] = (), **more: Any) -> LoopState:
    return LoopState(
        cycles={one.id: one for one in cycles},
        versions=tuple(versions),
        labels_by_tag={one.tag: one.num_new_labelled for one in versions},
        **more,
    )


def planned(state: LoopState, **facts: Any) -> tuple[Step, ...]:
    return plan(state, LoopFacts(now=NOW, **facts), SETTINGS)


# --- one cycle -----------------------------------------------------------------------------------


def test_nothing_is_due_in_an_empty_loop() -> None:
    assert planned(LoopState()) == ()


@pytest.mark.parametrize("phase", ["opened", "training", "candidate"])
def test_unfinished_work_is_started_unless_somebody_is_at_it(phase: Phase) -> None:
    assert planned(state(cycle(phase))) == (StartWork("cycle-1"),)
    assert planned(state(cycle(phase)), working=frozenset({"cycle-1"})) == ()


def test_a_judged_candidate_waits_and_says_so_once() -> None:
    judged = cycle("judged")
    assert planned(state(judged), waiting={"cycle-1": WAITS}) == (Wait("cycle-1", WAITS),)
    assert planned(state(replace(judged, waiting=WAITS)), waiting={"cycle-1": WAITS}) == ()


def test_what_is_waited_for_is_said_again_when_it_changes() -> None:
    other = WAITS.model_copy(update={"reason": "the approval expired"})
    judged = cycle("judged", waiting=WAITS)
    assert planned(state(judged), waiting={"cycle-1": other}) == (Wait("cycle-1", other),)


def test_a_decision_beats_waiting() -> None:
    found = planned(state(cycle("judged")), decidable=frozenset({"cycle-1"}), waiting={"cycle-1": WAITS})
    assert found == (Decide("cycle-1"),)


def test_an_approved_candidate_is_promoted() -> None:
    assert planned(state(cycle("approved"))) == (Promote("cycle-1"),)


def test_a_rejected_cycle_ends_with_the_reviewers_reason() -> None:
    rejection = ApprovalDecided(
        decision="rejected",
        version="1",
        weights_digest="w",
        blessing_id="b",
        by="anna",
        why="it misses bolts",
        via="cli",
    )
    found = planned(state(cycle("rejected", approval=rejection)))
    assert found == (CloseCycle("cycle-1", "rejected", "it misses bolts"),)


def test_a_cycle_whose_champion_has_changed_ends() -> None:
    (step,) = planned(state(cycle("promoting")))
    assert isinstance(step, CloseCycle)
    assert step.outcome == "promoted"


def test_a_closed_cycle_is_left_alone() -> None:
    assert planned(state(cycle("closed"))) == ()


# --- attempts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["opened", "training", "candidate"])
def test_used_up_attempts_end_the_cycle_with_the_last_reason(phase: Phase) -> None:
    (step,) = planned(state(cycle(phase, num_attempts=3, failures=("no memory", "loss is not finite"))))
    assert step == CloseCycle("cycle-1", "failed", "3 attempts without progress: loss is not finite")


def test_attempts_that_all_died_unrecorded_end_the_cycle_too() -> None:
    (step,) = planned(state(cycle("training", num_attempts=3)))
    assert step == CloseCycle(
        "cycle-1", "failed", "3 attempts without progress: the process was killed every time"
    )


def test_the_last_attempt_is_not_cut_off_while_it_runs() -> None:
    assert planned(state(cycle("training", num_attempts=3)), working=frozenset({"cycle-1"})) == ()


# --- waiting for labels --------------------------------------------------------------------------


def test_a_drift_cycle_waits_for_labels_from_after_its_trigger() -> None:
    versions = (ingested("data-v1", 500), ingested("data-v2", 12))
    (step,) = planned(state(cycle(reason="drift"), versions=versions))
    assert isinstance(step, Wait)
    assert step.waiting.waiting_for == "labels"
    assert step.waiting.reason.startswith("8 more labelled pictures")
    waiting = cycle(reason="drift", waiting=step.waiting)
    assert planned(state(waiting, versions=versions)) == ()


def test_enough_labels_let_it_train() -> None:
    versions = (ingested("data-v1", 500), ingested("data-v2", 12), ingested("data-v3", 8))
    assert planned(state(cycle(reason="drift"), versions=versions)) == (StartWork("cycle-1"),)


@pytest.mark.parametrize("reason", ["manual", "schedule", "labels"])
def test_only_drift_waits_for_labels(reason: str) -> None:
    assert planned(state(cycle(reason=reason))) == (StartWork("cycle-1"),)


def test_the_wait_for_labels_ends_at_its_deadline() -> None:
    on_time = replace(cycle(reason="drift"), opened_at=NOW - timedelta(days=14))
    late = replace(on_time, opened_at=NOW - timedelta(days=14, seconds=1))
    assert isinstance(planned(state(on_time))[0], Wait)
    (step,) = planned(state(late))
    assert isinstance(step, CloseCycle)
    assert (step.outcome, step.reason) == ("abandoned", "no labels came within 14 days")


def test_a_training_that_has_begun_does_not_go_back_to_waiting() -> None:
    assert planned(state(cycle("training", reason="drift"))) == (StartWork("cycle-1"),)
    failed_once = cycle("opened", reason="drift", num_attempts=1, failures=("no memory",))
    assert planned(state(failed_once)) == (StartWork("cycle-1"),)


def test_labels_count_from_after_a_version_or_all_of_them() -> None:
    loop = state(versions=(ingested("data-v1", 500), ingested("data-v2", 12), ingested("data-v3", 8)))
    assert loop.count_new_labels("data-v1") == 20
    assert loop.count_new_labels("data-v3") == 0
    assert loop.count_new_labels("") == 520


def test_labels_that_a_restore_took_out_of_the_data_do_not_count() -> None:
    loop = state(versions=(ingested("data-v1", 500), ingested("data-v2", 20)), data_tag="data-v1")
    assert loop.count_new_labels("data-v1") == 0
    assert replace(loop, data_tag="data-v2").count_new_labels("data-v1") == 20


# --- triggers and promotions ---------------------------------------------------------------------


def test_an_interrupted_promotion_is_completed_before_anything_else() -> None:
    changing = ChampionChanging(
        epoch=1,
        version="1",
        weights_digest="w",
        previous_version="",
        previous_digest="",
        cause="promotion",
        why="",
    )
    loop = state(cycle("approved"), pending_triggers={"k": trigger("k")}, changing=changing)
    assert planned(loop) == (CompletePromotion(),)


def test_a_trigger_opens_a_cycle_and_of_several_the_oldest_does() -> None:
    pending = {"a": trigger("a"), "b": trigger("b")}
    assert planned(state(cycle("closed"), pending_triggers=pending)) == (OpenCycle("a"),)


def test_triggers_join_the_cycle_that_is_open() -> None:
    pending = {"a": trigger("a"), "b": trigger("b")}
    found = planned(state(cycle("judged"), pending_triggers=pending))
    assert found == (JoinCycle("a", "cycle-1"), JoinCycle("b", "cycle-1"))


# --- properties ----------------------------------------------------------------------------------

PHASES: tuple[Phase, ...] = (
    "opened",
    "training",
    "candidate",
    "judged",
    "approved",
    "rejected",
    "promoting",
    "closed",
)
names = st.integers(1, 5).map(lambda number: f"cycle-{number}")
cycles = st.builds(
    lambda phase, id, reason, attempts, days: replace(
        cycle(phase, id=id, reason=reason, num_attempts=attempts), opened_at=NOW - timedelta(days=days)
    ),
    st.sampled_from(PHASES),
    names,
    st.sampled_from(["manual", "drift", "schedule", "labels"]),
    st.integers(0, 4),
    st.integers(0, 30),
)
states = st.builds(
    lambda found, keys, labels: state(
        *found,
        pending_triggers={key: trigger(key) for key in keys},
        versions=(ingested("data-v1", 5), ingested("data-v2", labels)),
    ),
    st.lists(cycles, max_size=4),
    st.lists(st.sampled_from("abc"), unique=True),
    st.integers(0, 40),
)


@given(states, st.frozensets(names), st.frozensets(names))
def test_no_plan_holds_two_steps_for_one_cycle_or_trigger(
    loop: LoopState, working: frozenset[str], decidable: frozenset[str]
) -> None:
    steps = planned(loop, working=working, decidable=decidable)
    touched = [
        step.cycle_id for step in steps if not isinstance(step, OpenCycle | CompletePromotion | JoinCycle)
    ]
    answered = [step.trigger_key for step in steps if isinstance(step, OpenCycle | JoinCycle)]
    assert len(touched) == len(set(touched))
    assert len(answered) == len(set(answered))
    assert not set(touched) & {one.id for one in loop.cycles.values() if one.phase == "closed"}
    assert sum(isinstance(step, OpenCycle) for step in steps) + bool(loop.open_cycles) <= 1


@given(states, st.data())
def test_carrying_out_plans_ends_after_finitely_many_steps(loop: LoopState, data: st.DataObject) -> None:
    """Whatever work ends in and whoever decides what, a few rounds later nothing is due."""
    undecided = data.draw(st.booleans())
    for _ in range(30):
        judged = {one.id for one in loop.open_cycles if one.phase == "judged"}
        facts = {"waiting": dict.fromkeys(judged, WAITS)} if undecided else {"decidable": frozenset(judged)}
        steps = planned(loop, **facts)
        if not steps:
            assert planned(loop, **facts) == ()
            return
        for step in steps:
            loop = applied(loop, step, data)
    pytest.fail(f"still planning {steps}")


def applied(loop: LoopState, step: Step, data: st.DataObject) -> LoopState:
    """Do a step as the reconcile would: work and people may answer either way."""
    match step:
        case OpenCycle(key):
            opened = cycle(id=f"cycle-{len(loop.cycles) + 10}")
            left = {name: one for name, one in loop.pending_triggers.items() if name != key}
            return replace(loop, cycles={**loop.cycles, opened.id: opened}, pending_triggers=left)
        case JoinCycle(key, _):
            left = {name: one for name, one in loop.pending_triggers.items() if name != key}
            return replace(loop, pending_triggers=left)
        case Wait(id, waiting):
            return changed(loop, id, waiting=waiting)
        case StartWork(id):
            failed: dict[str, Any] = {
                "phase": loop.cycles[id].phase,
                "num_attempts": loop.cycles[id].num_attempts + 1,
            }
            return changed(loop, id, **(data.draw(st.sampled_from([{"phase": "judged"}, failed]))))
        case Decide(id):
            return changed(loop, id, phase=data.draw(st.sampled_from(["approved", "rejected"])))
        case Promote(id):
            return changed(loop, id, phase="promoting")
        case CloseCycle(id, _, _):
            return changed(loop, id, phase="closed")
        case StartRollout():
            raise AssertionError("none of these loops has a rollout")
        case CompletePromotion():
            return replace(loop, changing=None)


def changed(loop: LoopState, id: str, **more: Any) -> LoopState:
    return replace(loop, cycles={**loop.cycles, id: replace(loop.cycles[id], **more)})
