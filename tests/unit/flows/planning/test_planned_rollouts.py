"""`plan` with rollouts: a candidate answers beside the champion first; and triggers that stay pending."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.planning.plan import CloseCycle, JoinCycle, LoopFacts, Promote, StartRollout, Step, Wait, plan
from maskloop.records.kinds import (
    ChampionChanged,
    CycleOpened,
    RolloutMoved,
    RolloutPhase,
    RolloutStarted,
    VerdictReached,
)
from maskloop.settings.workspace_settings import RolloutSettings
from maskloop.state.cycle_state import Phase
from maskloop.state.loop_state import LoopState, Rollout, Serving
from tests.fakes.records import with_only
from tests.unit.flows.planning.test_planning import NOW, SETTINGS, cycle, planned, state, trigger

WITH_ROLLOUT = SETTINGS.model_copy(update={"rollout": RolloutSettings(enabled=True)})
PASSED = with_only(
    VerdictReached, outcome="pass", candidate_version="4", candidate_digest="w4", champion_digest="w3"
)


def serving(weights_digest: str = "w3", **more: Any) -> dict[str, Any]:
    """Let these weights serve."""
    change = with_only(ChampionChanged, version="3", weights_digest=weights_digest)
    return {"serving": (Serving(NOW - timedelta(days=9), "anna", "cycle-0", change),), **more}


def rollout(phase: RolloutPhase, *, share_percent: float = 0.0, moved: RolloutMoved | None = None) -> Rollout:
    started = with_only(RolloutStarted, version="4", weights_digest="w4")
    return Rollout("cycle-1", started, NOW, since=NOW, phase=phase, share_percent=share_percent, moved=moved)


def planned_with_rollout(loop: LoopState) -> tuple[Step, ...]:
    return plan(loop, LoopFacts(now=NOW), WITH_ROLLOUT)


@pytest.mark.parametrize("phase", ["judged", "approved"])
def test_a_blessed_candidate_begins_its_rollout_before_and_after_the_approval(phase: Phase) -> None:
    loop = state(cycle(phase, verdict=PASSED), **serving())
    assert planned_with_rollout(loop) == (StartRollout("cycle-1"),)


@pytest.mark.parametrize(
    ("verdict", "champion", "rollouts"),
    [
        (PASSED.model_copy(update={"outcome": "fail"}), serving(), {}),
        (PASSED, {}, {}),
        (PASSED, serving("w9"), {}),
        (PASSED.model_copy(update={"champion_digest": "w4"}), serving("w4"), {}),
        (PASSED, serving(), {"cycle-1": rollout("shadow")}),
        (PASSED, serving(), {"cycle-0": rollout("progressing")}),
    ],
    ids=["failed", "no champion", "another champion", "serves already", "has one", "another is under way"],
)
def test_no_rollout_begins_that_is_not_needed_or_cannot_begin_yet(
    verdict: VerdictReached, champion: dict[str, Any], rollouts: dict[str, Rollout]
) -> None:
    judged = cycle("judged", verdict=verdict)
    assert planned_with_rollout(state(judged, rollouts=rollouts, **champion)) == ()


def test_a_rolled_back_challenger_ends_its_cycle_with_the_reason() -> None:
    move = RolloutMoved(event="withdrawn", phase="rolled-back", share_percent=0.0, reason="it was too slow")
    for phase in ("judged", "approved"):
        found = rollout("rolled-back", moved=move)
        loop = state(cycle(phase, verdict=PASSED), **serving(rollouts={"cycle-1": found}))
        assert planned_with_rollout(loop) == (
            CloseCycle("cycle-1", "rejected", "rolled back: it was too slow"),
        )


def test_an_approved_challenger_waits_for_its_rollout_and_is_promoted_after_it() -> None:
    approved = cycle("approved", verdict=PASSED)
    loop = state(approved, **serving(rollouts={"cycle-1": rollout("progressing", share_percent=25.0)}))
    (step,) = planned_with_rollout(loop)
    assert isinstance(step, Wait)
    assert step.waiting.reason == "progressing at 25 % of the traffic"
    waits = state(
        replace(approved, waiting=step.waiting),
        **serving(rollouts={"cycle-1": rollout("progressing", share_percent=25.0)}),
    )
    assert planned_with_rollout(waits) == (), "what is recorded is not recorded again"
    over = state(approved, **serving(rollouts={"cycle-1": rollout("promoted", share_percent=100.0)}))
    assert planned_with_rollout(over) == (Promote("cycle-1"),)


def test_a_candidate_whose_weights_serve_already_is_closed_as_promoted() -> None:
    loop = state(cycle("approved", verdict=PASSED), **serving("w4"))
    assert planned_with_rollout(loop) == (
        CloseCycle("cycle-1", "promoted", "the same weights serve already"),
    )


# --- triggers that wait ----------------------------------------------------------------------------


def test_triggers_wait_while_an_old_candidate_is_judged_again() -> None:
    opened = with_only(CycleOpened, trigger_key="k", reason="manual", detail="x", rejudges="cycle-0")
    judging = replace(cycle("candidate"), opened=opened)
    loop = state(judging, pending_triggers={"t": trigger("t")})
    assert planned(loop, working=frozenset({"cycle-1"})) == ()


def test_a_trigger_for_another_verdict_joins_no_training() -> None:
    again = trigger("again").model_copy(update={"rejudges": "cycle-0"})
    loop = state(cycle("training"), pending_triggers={"t": trigger("t"), "again": again})
    assert planned(loop, working=frozenset({"cycle-1"})) == (JoinCycle("t", "cycle-1"),)
