"""The table of a rollout, and what is due in which phase."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.errors import RefusedError
from maskloop.folding.fold import fold
from maskloop.ledger.port import make_entry
from maskloop.records.kinds import Check, Outcome, RolloutMoved, RolloutPhase, RolloutStarted
from maskloop.settings.workspace_settings import RolloutSettings
from maskloop.state.loop_state import LoopState, Rollout
from serving.rollout.analysis import Analysis
from serving.rollout.canary import TABLE, Event, RolloutFacts, describe_wait, make_move, next_move, resume

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SETTINGS = RolloutSettings(min_pictures=100, min_step_pictures=20, min_step_minutes=5.0)
STARTED = RolloutStarted(
    version="2",
    weights_digest="challenger",
    blessing_id="b",
    champion_version="1",
    champion_digest="champion",
    steps_percent=SETTINGS.steps_percent,
    required_agreement=0.7,
    settings_digest="s",
)
PHASES: tuple[RolloutPhase, ...] = get_args(RolloutPhase)
EVENTS: tuple[Event, ...] = get_args(Event)


def rollout(phase: RolloutPhase = "shadow", share_percent: float = 0.0, **more: Any) -> Rollout:
    began = NOW - timedelta(hours=1)
    return Rollout("cycle-2", STARTED, began, began, phase, share_percent, **more)


def analysis(outcome: Outcome = "pass", *, num_compared: int = 200) -> Analysis:
    check = Check(name="agreement", outcome=outcome, measured=0.8, required=0.7, reason=f"it is a {outcome}")
    return Analysis((check,), num_compared)


def facts(**more: Any) -> RolloutFacts:
    given: dict[str, Any] = {
        "now": NOW,
        "approved_at": NOW - timedelta(hours=2),
        "champion_digest": "champion",
    }
    return RolloutFacts(**({**given, "num_in_step": 50} | more))


def due(
    phase: RolloutPhase, share_percent: float = 0.0, outcome: Outcome = "pass", **more: Any
) -> RolloutMoved | None:
    num_compared = more.pop("num_compared", 200)
    found = analysis(outcome, num_compared=num_compared)
    since = {"since": more.pop("since")} if "since" in more else {}
    return next_move(replace(rollout(phase, share_percent), **since), found, facts(**more), SETTINGS)


# --- the way up ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"), [(0.0, 1.0), (1.0, 5.0), (5.0, 25.0), (25.0, 50.0), (50.0, 100.0)]
)
def test_a_challenger_that_keeps_every_limit_gets_the_next_share(before: float, after: float) -> None:
    move = due("progressing" if before else "shadow", before)
    assert move is not None
    assert (move.event, move.phase, move.share_percent) == ("passed", "progressing", after)
    assert move.num_compared == 200


def test_after_the_last_share_it_is_promoted() -> None:
    move = due("progressing", 100.0)
    assert move is not None
    assert (move.event, move.phase, move.share_percent) == ("all_passed", "promoting", 100.0)
    assert due("promoting", 100.0) is None
    done = due("promoting", 100.0, champion_digest="challenger")
    assert done is not None
    assert (done.phase, done.share_percent) == ("promoted", 100.0)


def test_the_shadow_ends_with_enough_pictures_and_an_approval() -> None:
    assert due("shadow", num_compared=99) is None
    assert due("shadow", approved_at=None) is None
    assert due("shadow", num_compared=100) is not None


def test_a_step_ends_with_enough_pictures_of_its_own_and_after_its_time() -> None:
    assert due("progressing", 5.0, num_in_step=19) is None
    assert due("progressing", 5.0, since=NOW - timedelta(minutes=4)) is None
    assert due("progressing", 5.0, num_in_step=20, since=NOW - timedelta(minutes=5)) is not None


@pytest.mark.parametrize("phase", ["shadow", "progressing", "paused"])
def test_no_share_rises_without_evidence(phase: RolloutPhase) -> None:
    """No traffic and no metrics never promote."""
    none = next_move(rollout(phase, 5.0), Analysis(), facts(num_in_step=0), SETTINGS)
    assert none is None
    assert due(phase, 5.0, "inconclusive") is None


# --- the way down --------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["shadow", "progressing", "paused"])
def test_a_failed_check_takes_it_out_of_all_traffic_at_once(phase: RolloutPhase) -> None:
    move = due(phase, 25.0, "fail", num_compared=20, since=NOW)
    assert move is not None
    assert (move.event, move.phase, move.share_percent) == ("failed", "aborting", 0.0)
    assert move.reason == "it is a fail"


@pytest.mark.parametrize("phase", ["shadow", "progressing", "paused", "promoting"])
def test_a_person_or_a_closed_cycle_stops_it_in_any_phase(phase: RolloutPhase) -> None:
    move = due(phase, 25.0, stopped="anna rejected version 2")
    assert move is not None
    assert (move.event, move.phase, move.reason) == ("stopped", "aborting", "anna rejected version 2")


@pytest.mark.parametrize("phase", ["shadow", "progressing", "paused", "promoting"])
def test_another_champion_ends_it(phase: RolloutPhase) -> None:
    move = due(phase, 25.0, champion_digest="somebody else")
    assert move is not None
    assert (move.event, move.phase) == ("replaced", "aborting")


# --- waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["shadow", "progressing"])
def test_a_step_without_a_result_is_paused_at_its_deadline_and_keeps_its_share(phase: RolloutPhase) -> None:
    share = 0.0 if phase == "shadow" else 5.0
    long_ago = NOW - timedelta(hours=25)
    move = due(phase, share, "inconclusive", since=long_ago, approved_at=long_ago)
    assert move is not None
    assert (move.event, move.phase, move.share_percent) == ("overdue", "paused", share)
    assert "it is a inconclusive" in move.reason
    quiet = due(phase, share, "inconclusive", since=long_ago, approved_at=long_ago, num_in_step=0)
    assert quiet is not None
    assert "no traffic came" in quiet.reason


def test_the_shadow_waits_for_its_reviewer_without_a_deadline() -> None:
    long_ago = NOW - timedelta(days=9)
    assert due("shadow", 0.0, "inconclusive", since=long_ago, approved_at=None) is None
    assert due("shadow", 0.0, "inconclusive", since=long_ago, approved_at=NOW - timedelta(hours=1)) is None


def test_a_pause_that_nobody_ends_becomes_a_rejection() -> None:
    assert due("paused", 5.0, "inconclusive", since=NOW - timedelta(hours=71)) is None
    move = due("paused", 5.0, "inconclusive", since=NOW - timedelta(hours=73))
    assert move is not None
    assert (move.event, move.phase) == ("given_up", "aborting")


@pytest.mark.parametrize(
    ("resumes_phase", "at", "accept", "expected"),
    [
        ("shadow", 0.0, False, ("went_back", "shadow", 0.0)),
        ("progressing", 5.0, False, ("resumed", "progressing", 5.0)),
        ("shadow", 0.0, True, ("accepted", "progressing", 1.0)),
        ("progressing", 5.0, True, ("accepted", "progressing", 25.0)),
        ("progressing", 100.0, True, ("all_accepted", "promoting", 100.0)),
        ("promoting", 100.0, False, ("resumed", "progressing", 100.0)),
    ],
)
def test_a_person_resumes_or_accepts(
    resumes_phase: RolloutPhase, at: float, accept: bool, expected: tuple[str, str, float]
) -> None:
    paused = rollout("paused", at, resumes_phase=resumes_phase, resumes_at_percent=at)
    move = resume(paused, analysis("inconclusive"), by="anna", accept=accept)
    assert (move.event, move.phase, move.share_percent) == expected
    assert "anna" in move.reason


def test_only_what_is_paused_can_be_resumed() -> None:
    with pytest.raises(RefusedError, match="progressing"):
        resume(rollout("progressing", 5.0), analysis(), by="anna", accept=False)


def test_a_challenger_that_was_shown_to_fail_cannot_be_accepted() -> None:
    with pytest.raises(RefusedError, match="it is a fail"):
        resume(rollout("paused", 5.0), analysis("fail"), by="anna", accept=True)


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("event", EVENTS)
def test_an_event_that_the_table_does_not_know_is_an_error(phase: RolloutPhase, event: Event) -> None:
    if (phase, event) in TABLE:
        at = 5.0 if phase in ("progressing", "paused") else 0.0
        assert make_move(rollout(phase, at), event, "why", analysis()).phase == TABLE[phase, event]
    else:
        with pytest.raises(RefusedError):
            make_move(rollout(phase), event, "why", analysis())


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {"shadow"}
    while more := {after for (before, _), after in TABLE.items() if before in reached} - reached:
        reached |= more
    assert reached == set(PHASES)
    assert set(PHASES) - {before for before, _ in TABLE} == {"promoted", "rolled-back"}
    for phase in ("shadow", "progressing", "paused", "promoting"):
        assert TABLE[phase, "stopped"] == "aborting"


steps = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from(["pass", "inconclusive", "fail"]),
        "hours": st.sampled_from([0.0, 0.05, 1.0, 30.0, 80.0]),
        "num_new": st.sampled_from([0, 5, 50, 200]),
        "approved": st.booleans(),
        "stopped": st.sampled_from(["", "", "", "stopped"]),
        "resume": st.sampled_from([None, None, False, True]),
    }
)


@given(st.lists(steps, max_size=40))
@settings(max_examples=300)
def test_whatever_happens_shares_stay_in_their_limits_and_only_evidence_or_a_person_moves_up(
    script: list[dict[str, Any]],
) -> None:
    """The record is folded as the ledger's is: what is checked here is what replicas and restarts see."""
    now, compared, approved_at, moves = NOW, 0, None, list[RolloutMoved]()
    for step in script:
        now += timedelta(hours=step["hours"])
        compared += step["num_new"]
        approved_at = approved_at or (now if step["approved"] else None)
        present = folded(moves, now)
        if present.is_over or present.phase == "aborting":
            break
        found = analysis(step["outcome"], num_compared=compared)
        before = moves[-1].num_compared if moves else 0
        seen = facts(now=now, approved_at=approved_at, stopped=step["stopped"], num_in_step=compared - before)
        if step["resume"] is not None and present.phase == "paused" and not found.failed:
            move: RolloutMoved | None = resume(present, found, by="anna", accept=step["resume"])
        else:
            move = next_move(present, found, seen, SETTINGS)
        if move is None:
            continue
        goes_up = move.share_percent > present.share_percent
        assert not goes_up or step["outcome"] == "pass" or step["resume"]
        assert not goes_up or move.share_percent in (0.0, *SETTINGS.steps_percent)
        assert step["outcome"] != "fail" or move.share_percent == 0.0
        assert step["resume"] is not None or not goes_up or (approved_at is not None and compared >= 100)
        moves.append(move)


def folded(moves: list[RolloutMoved], at: datetime) -> Rollout:
    state, previous = LoopState(), "0" * 64
    for number, record in enumerate((STARTED, *moves), start=1):
        payload = record.model_dump(mode="json")
        entry = make_entry(number, record.kind, at, "m", "cycle-2", payload, "", 1, previous)
        state, previous = fold([entry], state), entry.digest
    return state.rollouts["cycle-2"]


def test_what_a_rollout_waits_for_is_said() -> None:
    def said(phase: RolloutPhase, outcome: Outcome, num_compared: int = 200, **more: Any) -> str:
        found = analysis(outcome, num_compared=num_compared)
        return describe_wait(rollout(phase, 5.0), found, facts(**more), SETTINGS)

    assert said("shadow", "inconclusive", 60, approved_at=None) == (
        "40 more pictures, agreement to be shown, an approval"
    )
    assert said("progressing", "pass", num_in_step=15) == "5 more pictures"
    assert said("progressing", "pass") == "the next look"
    assert "a person" in said("paused", "inconclusive")
