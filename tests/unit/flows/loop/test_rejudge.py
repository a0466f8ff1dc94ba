"""A gate that was set wrongly is put right without training: another verdict beside the old one."""

from __future__ import annotations

import json

import pytest

from flows.command.main import main
from flows.deciding.decisions import decide_by_hand
from flows.loop.cycles import abandon_cycle, record_trigger
from flows.loop.reconcile import reconcile
from flows.loop.rejudge import judge_again
from flows.loop.turn import run_turn
from maskloop.errors import BusyError, NotFoundError, RefusedError
from maskloop.ledger.port import check_chain
from maskloop.records.kinds import CandidateRegistered, TrainingStarted, VerdictReached
from tests.fakes.loop_stories import first_champion, judged, set_floor
from tests.fakes.loop_world import World
from tests.fakes.opened import opens


def fail_under_a_high_floor(world: World) -> str:
    set_floor(world, 0.99)
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert (cycle.phase, cycle.verdict and cycle.verdict.outcome) == ("closed", "fail")
    assert cycle.candidate is not None
    return cycle.candidate.version


def test_a_floor_set_too_high_is_lowered_and_the_version_judged_again_approved_and_promoted(
    world: World,
) -> None:
    version = fail_under_a_high_floor(world)
    with pytest.raises(RefusedError, match=rf"the gates failed it.*`maskloop judge {version}`"):
        decide_by_hand(world.app(), version, "approved", by="otto", why="")
    set_floor(world, 0.5)
    cycle = judge_again(world.app(), version)
    assert (cycle.id, cycle.phase) == ("cycle-2", "judged")
    assert [one.outcome for one in world.of_kind(VerdictReached)] == ["fail", "pass"]
    assert len(world.of_kind(TrainingStarted)) == len(world.of_kind(CandidateRegistered)) == 1
    assert world.state.cycles["cycle-1"].verdict == world.of_kind(VerdictReached)[0], "the old verdict stays"
    decide_by_hand(world.app(), version, "approved", by="otto", why="the floor was a slip")
    reconcile(world.app())
    assert world.alias("champion") == version
    assert world.last_cycle.closed is not None
    assert world.last_cycle.closed.outcome == "promoted"
    assert reconcile(world.app()).done == ()
    check_chain(world.ledger.entries())


def test_under_a_policy_of_its_own_a_version_that_passes_now_is_promoted(world: World) -> None:
    path = world.workspace.settings_file
    path.write_text(path.read_text() + '\n[approval]\npolicy = "auto"\n')
    version = fail_under_a_high_floor(world)
    set_floor(world, 0.5)
    judge_again(world.app(), version)
    assert world.alias("champion") == version


def test_weights_rejected_by_old_gates_can_pass_corrected_ones_when_trained_again(world: World) -> None:
    fail_under_a_high_floor(world)
    set_floor(world, 0.5)
    cycle = run_turn(world.app(), starts_from="first-weights")
    assert (cycle.phase, cycle.verdict and cycle.verdict.outcome) == ("judged", "pass")
    digests = {one.weights_digest for one in world.of_kind(CandidateRegistered)}
    assert len(digests) == 1, "the training is repeatable to the bit"


def test_a_floor_that_is_raised_can_take_a_waiting_candidate_back(world: World) -> None:
    version = judged(world)
    set_floor(world, 0.99)
    cycle = judge_again(world.app(), version)
    assert cycle.closed is not None
    assert cycle.closed.outcome == "rejected"
    assert world.state.cycles["cycle-1"].closed is not None
    assert world.state.open_cycles == ()
    set_floor(world, 0.5)
    assert judge_again(world.app(), version).phase == "judged"


def test_without_a_change_of_gates_nothing_is_judged_again(world: World) -> None:
    version = fail_under_a_high_floor(world)
    before = world.state
    with pytest.raises(RefusedError, match="neither the gates nor the champion have changed"):
        judge_again(world.app(), version)
    assert world.state == before


def test_a_persons_rejection_stays_whatever_the_gates_say(world: World) -> None:
    version = judged(world)
    decide_by_hand(world.app(), version, "rejected", by="otto", why="it misses bolts")
    reconcile(world.app())
    set_floor(world, 0.5)
    with pytest.raises(RefusedError, match=r"it misses bolts; a person's no is final"):
        judge_again(world.app(), version)


def test_what_serves_or_is_unknown_or_waits_behind_another_cycle_is_not_judged_again(world: World) -> None:
    version = first_champion(world)
    with pytest.raises(RefusedError, match="serves already"):
        judge_again(world.app(), version)
    with pytest.raises(NotFoundError):
        judge_again(world.app(), "99")
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    with pytest.raises(BusyError, match="cycle-2 is still open"):
        judge_again(world.app(), version)


def test_a_drift_that_comes_while_an_old_candidate_is_judged_gets_a_cycle_of_its_own(world: World) -> None:
    version = fail_under_a_high_floor(world)
    set_floor(world, 0.5)
    judge_again(world.app(), version)
    record_trigger(world.app().journal, "drift:1", "drift", "the lamp changed")
    reconcile(world.app())
    assert list(world.state.pending_triggers) == ["drift:1"]
    abandon_cycle(world.app(), "cycle-2", by="otto", why="another one comes")
    reconcile(world.app())
    assert world.last_cycle.opened.detail == "the lamp changed"


def test_whoever_asked_for_the_training_cannot_approve_it_by_having_it_judged_again(
    world: World,
) -> None:
    path = world.workspace.settings_file
    path.write_text(path.read_text() + "\n[approval]\nfour_eyes = true\n")
    version = fail_under_a_high_floor(world)
    set_floor(world, 0.5)
    judge_again(world.app(actor="otto"), version)
    with pytest.raises(RefusedError, match="rita asked for this training"):
        decide_by_hand(world.app(), version, "approved", by="rita", why="")
    decide_by_hand(world.app(), version, "approved", by="otto", why="")
    reconcile(world.app())
    assert world.alias("champion") == version


def test_an_interrupted_judging_again_is_completed_by_the_reconcile(world: World) -> None:
    version = fail_under_a_high_floor(world)
    set_floor(world, 0.5)
    world.predictors.before = _run_out_of_memory
    with pytest.raises(MemoryError):
        judge_again(world.app(), version)
    world.predictors.before = None
    reconcile(world.app())
    assert (world.last_cycle.id, world.last_cycle.phase) == ("cycle-2", "judged")


@pytest.mark.parametrize(("floor", "code", "phase"), [(0.5, 0, "judged"), (0.95, 1, "closed")])
def test_the_command_ends_with_what_the_gates_say(
    floor: float,
    code: int,
    phase: str,
    world: World,
    capsys: pytest.CaptureFixture[str],
) -> None:
    version = fail_under_a_high_floor(world)
    set_floor(world, floor)
    assert ended(world, ["judge", version, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["phase"] == phase
    assert ended(world, ["judge", version]) == 77
    assert "neither the gates nor the champion have changed" in capsys.readouterr().err


def ended(world: World, arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(arguments, opener=opens(world))
    return stopped.value.code


def _run_out_of_memory() -> None:
    raise MemoryError
