from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskloop.folding.fold import fold
from maskloop.folding.history import serving_at
from maskloop.folding.reader import StateReader
from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    AliasTampered,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChangeAbandoned,
    ChampionChanged,
    ChampionChanging,
    CycleClosed,
    CycleOpened,
    CycleWaiting,
    DriftJudged,
    Record,
    TrainingFailed,
    TrainingStarted,
    TriggerRecorded,
    TriggerSuppressed,
    write_record,
)
from maskloop.settings.workspace_settings import MAX_CONFIRM_WINDOWS
from maskloop.state.loop_state import LoopState
from monitoring.drift.triggers import JudgedWindow, drift_episode
from tests.fakes.ledger import FakeClock, FakeLedger
from tests.fakes.registry_world import RegistryWorld

OPENED = CycleOpened(trigger_key="t1", reason="drift", detail="it is dark")
STARTED = TrainingStarted(
    attempt=1,
    data_tag="data-v1",
    data_fingerprint="f",
    settings_digest="s",
    code_revision="abc",
    parent_digest="",
    run_id="r",
    device="cpu",
)


def change(epoch: int, version: str, *, previous: str = "", cause: str = "promotion") -> dict[str, object]:
    return {
        "epoch": epoch,
        "version": version,
        "weights_digest": f"w{version}",
        "previous_version": previous,
        "previous_digest": f"w{previous}" if previous else "",
        "cause": cause,
        "why": "",
    }


def changed(*args: object, **kwargs: object) -> ChampionChanged:
    return ChampionChanged.model_validate(change(*args, **kwargs))  # type: ignore[arg-type]


def state_after(*records: Record, cycle: str = "c1") -> LoopState:
    ledger = FakeLedger()
    for record in records:
        write_record(ledger, record, actor="anna", cycle_id=cycle)
    return fold(ledger.entries())


def test_an_empty_ledger_is_an_empty_state() -> None:
    state = fold([])
    assert (state.champion, state.epoch, state.open_cycles, state.last_sequence) == (None, 0, (), 0)


def test_a_trigger_is_pending_until_it_is_answered() -> None:
    trigger = TriggerRecorded(trigger_key="t1", reason="drift", detail="it is dark")
    assert list(state_after(trigger).pending_triggers) == ["t1"]
    assert state_after(trigger).trigger_actors == {"t1": "anna"}
    assert not state_after(trigger, OPENED).pending_triggers
    assert not state_after(trigger, TriggerSuppressed(trigger_key="t1", reason="")).pending_triggers


@pytest.mark.parametrize(
    ("records", "phase"),
    [
        ([], "opened"),
        ([STARTED], "training"),
        ([STARTED, TrainingFailed(attempt=1, reason="NaN")], "opened"),
        ([ChampionChanging.model_validate(change(1, "1"))], "promoting"),
        ([CycleClosed(outcome="failed", reason="")], "closed"),
    ],
)
def test_a_cycles_phase_follows_from_its_last_step(records: list[Record], phase: str) -> None:
    assert state_after(OPENED, *records).cycles["c1"].phase == phase


def test_waiting_is_remembered_until_something_happens() -> None:
    waiting = CycleWaiting(waiting_for="labels", reason="7 of 20", way_out="label 13 more")
    cycle = state_after(OPENED, waiting).cycles["c1"]
    assert cycle.waiting == waiting
    assert cycle.waiting_since is not None
    assert state_after(OPENED, waiting, STARTED).cycles["c1"].waiting is None


def test_failures_and_attempts_are_counted() -> None:
    second = STARTED.model_copy(update={"attempt": 2})
    failed = TrainingFailed(attempt=1, reason="NaN at step 3")
    cycle = state_after(OPENED, STARTED, failed, second).cycles["c1"]
    assert (cycle.num_attempts, cycle.failures) == (2, ("NaN at step 3",))


def test_records_of_a_cycle_nobody_opened_change_no_cycle() -> None:
    assert state_after(STARTED).cycles == {}


def test_the_epoch_never_falls_back() -> None:
    began = ChampionChanging.model_validate(change(2, "2"))
    abandoned = ChampionChangeAbandoned(epoch=2, version="2", reason="gone")
    assert state_after(changed(1, "1")).epoch == 1
    assert state_after(changed(1, "1"), began).epoch == 2
    state = state_after(changed(1, "1"), began, abandoned)
    assert (state.epoch, state.changing) == (2, None)
    assert state.champion == changed(1, "1")


def test_a_finished_change_is_no_longer_under_way() -> None:
    began = ChampionChanging.model_validate(change(1, "1"))
    assert state_after(began).changing == began
    assert state_after(began, changed(1, "1")).changing is None


def test_what_was_rolled_back_is_remembered_until_it_serves_again() -> None:
    promoted = [changed(1, "1"), changed(2, "2", previous="1")]
    back = changed(3, "1", previous="2", cause="rollback")
    assert state_after(*promoted, back).rolled_back == {"w2"}
    assert state_after(*promoted, back, changed(4, "2", previous="1", cause="rollback")).rolled_back == {"w1"}


def test_a_new_verdict_clears_a_rollback() -> None:
    world = RegistryWorld()
    bad = world.candidate()
    write_record(world.ledger, changed(1, "x"))
    back = changed(2, "x", cause="rollback").model_copy(update={"previous_digest": bad.weights_digest})
    write_record(world.ledger, back)
    assert world.state.rolled_back == {bad.weights_digest}
    world.judge(bad)
    assert world.state.rolled_back == frozenset()


def test_a_no_is_final_for_the_weights_and_for_the_cycle() -> None:
    world = RegistryWorld()
    candidate = world.candidate()
    verdict = world.judge(candidate)
    world.decide(verdict, "rejected", by="otto")
    world.decide(verdict, "approved", by="anna")
    assert world.state.approvals[candidate.weights_digest][1].by == "otto"
    assert world.state.cycles["c1"].phase == "rejected"


def test_a_later_yes_replaces_an_earlier_one() -> None:
    world = RegistryWorld()
    candidate = world.candidate()
    verdict = world.judge(candidate)
    world.decide(verdict, by="anna")
    world.clock.advance(days=20)
    world.decide(verdict, by="otto")
    at, decision = world.state.approvals[candidate.weights_digest]
    assert (at, decision.by) == (world.clock.now(), "otto")
    assert isinstance(decision, ApprovalDecided)


def test_what_served_at_any_time_follows_the_order_not_the_clock() -> None:
    clock = FakeClock()
    ledger = FakeLedger(clock)
    start = clock.now()
    write_record(ledger, changed(1, "1"))
    clock.advance(days=-3)
    write_record(ledger, changed(2, "2", previous="1"))
    state = fold(ledger.entries())
    assert state.champion is not None
    assert state.champion.version == "2"
    at_start = serving_at(ledger, start)
    assert at_start is not None
    assert at_start.change.version == "2"
    assert serving_at(ledger, start - timedelta(days=4)) is None


def test_an_unknown_kind_counts_but_changes_nothing() -> None:
    ledger = FakeLedger()
    ledger.append("moon.landed", {})
    assert fold(ledger.entries()) == LoopState(last_sequence=1)


def test_a_moved_alias_changes_no_state() -> None:
    tampered = AliasTampered(alias="champion", found_version="2", expected_version="1")
    assert state_after(changed(1, "1"), tampered).champion == changed(1, "1")


def test_a_reader_reads_only_what_is_new_and_comes_to_the_same_state() -> None:
    class Counting(FakeLedger):
        num_read = 0

        def entries(self, *, after: int = 0, limit: int = 0) -> Sequence[Entry]:
            found = super().entries(after=after, limit=limit)
            self.num_read += len(found)
            return found

    ledger = Counting()
    reader = StateReader(ledger)
    assert reader.read() == LoopState()
    for number in range(3):
        opened = CycleOpened(trigger_key=f"key {number}", reason="manual", detail="a test")
        write_record(ledger, opened, cycle_id=f"cycle-{number}")
        assert reader.read() is reader.read()
    assert ledger.num_read == 3
    assert reader.read() == fold(ledger.entries())


# --- whose weights -------------------------------------------------------------------------------


def registered(cycle: str, version: str, weights: str, **more: str) -> list[tuple[Record, str]]:
    opened = CycleOpened(
        trigger_key=cycle, reason="manual", detail="a test", rejudges=more.pop("rejudges", "")
    )
    facts = {"data_tag": "data-v1", "requested_by": "rita"} | more
    candidate = CandidateRegistered.model_validate(
        {
            "version": version,
            "weights_digest": weights,
            "run_id": "r",
            "data_fingerprint": "f",
            "seconds": 1.0,
        }
        | facts
    )
    return [(opened, cycle), *([] if opened.rejudges else [(candidate, cycle)])]


def state_of(*told: tuple[Record, str]) -> LoopState:
    ledger = FakeLedger()
    for record, cycle in told:
        write_record(ledger, record, actor="anna", cycle_id=cycle)
    return fold(ledger.entries())


def test_the_newest_cycle_owns_weights_that_were_made_twice() -> None:
    state = state_of(
        *registered("c1", "1", "w", data_tag="data-v1", requested_by="rita"),
        *registered("c2", "2", "other"),
        *registered("c3", "3", "w", data_tag="data-v2", requested_by="otto"),
    )
    owner = state.owner_of("w")
    assert owner is not None
    assert (owner.cycle_id, state.version_of("w")) == ("c3", "3")
    assert (state.data_of("w"), state.requester_of("w")) == ("data-v2", "otto")
    assert [one.cycle_id for one in state.owners_of("w")] == ["c1", "c3"]


def test_the_cycle_that_judges_again_owns_the_weights_and_keeps_what_they_were_made_from() -> None:
    state = state_of(*registered("c1", "1", "w"), *registered("c2", "", "", rejudges="c1"))
    owner = state.owner_of("w")
    assert owner is not None
    assert (owner.cycle_id, owner.version, owner.data_tag, owner.requested_by) == (
        "c2",
        "1",
        "data-v1",
        "rita",
    )
    assert state.candidate_of("1") == owner


def test_unknown_weights_have_no_owner() -> None:
    state = state_of(*registered("c1", "1", "w"))
    assert (state.owner_of("x"), state.owners_of("x"), state.candidate_of("7")) == (None, (), None)
    assert (state.version_of("x"), state.data_of("x"), state.requester_of("x")) == ("", "", "")


def test_a_version_was_promoted_once_it_served_or_is_about_to() -> None:
    made = registered("c1", "1", "w1")
    changing = ChampionChanging.model_validate(change(1, "1"))
    abandoned = ChampionChangeAbandoned(epoch=1, version="1", reason="gone")
    assert not state_of(*made).was_promoted("1")
    assert state_of(*made, (changing, "c1")).was_promoted("1")
    assert not state_of(*made, (changing, "c1"), (abandoned, "c1")).was_promoted("1")
    assert state_of(*made, (changed(1, "1"), "c1"), (changed(2, "2", previous="1"), "")).was_promoted("1")


def test_the_champions_to_return_to_are_those_nobody_rolled_back_from() -> None:
    promoted = [changed(1, "1"), changed(2, "2", previous="1"), changed(3, "3", previous="2")]
    back = changed(4, "1", previous="3", cause="rollback")
    assert state_after(*promoted).champions == (("1", "w1"), ("2", "w2"), ("3", "w3"))
    assert state_after(*promoted, back).champions == (("1", "w1"),)
    again = changed(5, "4", previous="1")
    assert state_after(*promoted, back, again).champions == (("1", "w1"), ("4", "w4"))


# --- drift ---------------------------------------------------------------------------------------


def window(number: int, outcome: str, source: str, weights: str = "w") -> DriftJudged:
    return DriftJudged.model_validate(
        {
            "outcome": outcome,
            "reason": "it is dark",
            "window_id": f"window {number}",
            "num_samples": 100,
            "missing_percent": 0.0,
            "baseline_digest": "b",
            "weights_digest": weights,
            "threshold_digest": "t",
            "drifted_features": (),
            "report": "",
            "sources": (source,),
        }
    )


def as_judged(windows: Sequence[DriftJudged]) -> list[JudgedWindow]:
    return [JudgedWindow(one.window_id, one.outcome, one.sources) for one in windows]


OUTCOMES = st.sampled_from(("drift", "quiet", "inconclusive"))


@settings(deadline=None)
@given(st.lists(st.tuples(OUTCOMES, st.sampled_from("abc")), max_size=12), st.integers(1, 4))
def test_windows_that_were_dropped_change_no_episode(told: list[tuple[str, str]], confirm: int) -> None:
    windows = [window(number, *one) for number, one in enumerate(told)]
    kept = [one for _, one in state_after(*windows).unanswered_drift]
    assert drift_episode(as_judged(kept), confirm) == drift_episode(as_judged(windows), confirm)
    assert bool(kept) == bool(windows)


def test_a_drift_that_goes_on_for_ever_stays_the_same_episode_and_stops_growing() -> None:
    first, spread = window(0, "drift", "a"), window(1000, "drift", "b")
    windows = [first, *(window(number, "drift", "a") for number in range(1, 500)), spread]
    windows += [window(number, "drift", "a") for number in range(1001, 1400)]
    kept = [one for _, one in state_after(*windows).unanswered_drift]
    assert len(kept) == 2 * MAX_CONFIRM_WINDOWS + 1
    assert (kept[0], kept[-1]) == (first, windows[-1])
    found = drift_episode(as_judged(kept), MAX_CONFIRM_WINDOWS)
    assert found is not None
    assert found.window_id == "window 1000"


def test_windows_of_another_champion_stay() -> None:
    others = window(1, "drift", "a", weights="other")
    kept = [one for _, one in state_after(others, window(2, "quiet", "a")).unanswered_drift]
    assert kept == [others, window(2, "quiet", "a")]
