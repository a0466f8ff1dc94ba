"""A training that is killed or stopped, again and again, and what that costs."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from flows.deciding.decisions import decide_by_hand
from flows.loop.reconcile import reconcile
from flows.loop.turn import run_turn
from flows.workspace.running import WORK_LEASE, WorkNote, find_running
from maskloop.errors import BusyError, StoppedError
from maskloop.records.kinds import CycleWaiting, TrainingAdvanced, TrainingStarted
from tests.fakes.crashing import Killed
from tests.fakes.loop_world import World

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """As in a command at a terminal; what is started in the background is told to ignore Ctrl-C."""
    before = {sign: signal.signal(sign, signal.default_int_handler) for sign in SIGNALS}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.fixture
def long(world: World) -> World:
    """A training of a hundred steps with a checkpoint every five."""
    path = world.workspace.settings_file
    path.write_text(path.read_text().replace("steps = 2\nretrain_steps = 2", "steps = 100"))
    world.trainer.checkpoint_every_steps = 5
    return world


def train(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")


def kill(world: World, *, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Killed):
            train(world)
        world.clock.advance(seconds=121)  # a dead process frees no lease


def test_a_training_killed_ten_times_ends_as_long_as_each_attempt_gets_further(long: World) -> None:
    long.trainer.dies_after_steps = 7
    kill(long, times=10)
    assert long.trainer.resumed_at == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    long.trainer.dies_after_steps = 0
    train(long)
    assert long.last_cycle.phase == "judged"
    assert len(long.state.cycles) == 1


def test_three_attempts_that_get_no_further_end_the_cycle_however_many_did_before(long: World) -> None:
    long.trainer.dies_after_steps = 7
    kill(long, times=4)
    long.trainer.dies_after_steps = 3  # never as far as the next checkpoint
    kill(long, times=3)
    reconcile(long.app())
    assert long.last_cycle.closed is not None
    assert long.last_cycle.closed.reason.startswith("3 attempts without progress")
    assert long.trainer.resumed_at[-3:] == [20, 20, 20]


def test_progress_is_recorded_once_for_each_attempt(long: World) -> None:
    long.trainer.dies_after_steps = 17
    kill(long, times=2)
    assert [(one.attempt, one.step, one.steps) for one in long.of_kind(TrainingAdvanced)] == [
        (1, 5, 100),
        (2, 20, 100),
    ]
    assert long.last_cycle.num_fruitless_attempts == 0


def test_progress_with_other_settings_is_ignored(long: World) -> None:
    long.trainer.dies_after_steps = 60
    kill(long, times=1)
    path = long.workspace.settings_file
    path.write_text(path.read_text().replace("[training]\n", "[training]\nwarmup_steps = 3\n"))
    long.workspace = type(long.workspace)(path.parent)
    long.trainer.dies_after_steps = 7
    kill(long, times=2)
    assert [one.step for one in long.of_kind(TrainingAdvanced)] == [5, 5, 10]
    assert long.last_cycle.num_fruitless_attempts == 0


@pytest.mark.parametrize(("sign", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_that_is_asked_to_stop_saves_its_step_and_costs_no_attempt(
    long: World, sign: int, exit_code: int
) -> None:
    before = signal.getsignal(sign)
    long.trainer.stop_signal = sign
    for step in (3, 4, 11, 12):  # also where no checkpoint was due
        long.trainer.ask_to_stop_at = step
        with pytest.raises(StoppedError) as stopped:
            train(long)
        assert stopped.value.exit_code == exit_code
        assert signal.getsignal(sign) is before
    assert long.trainer.resumed_at == [0, 3, 4, 11]
    assert long.last_cycle.num_attempts == 0
    waiting = long.of_kind(CycleWaiting)[-1]
    assert (waiting.waiting_for, waiting.reason) == ("retry", "the training was stopped after step 12 of 100")
    long.trainer.ask_to_stop_at = 0
    train(long)
    assert long.trainer.resumed_at[-1] == 12
    assert long.last_cycle.phase == "judged"


def test_a_stop_during_the_judging_costs_no_attempt_and_trains_nothing_again(world: World) -> None:
    world.predictors.before = lambda: signal.raise_signal(signal.SIGINT)
    for _ in range(4):
        with pytest.raises(StoppedError):
            train(world)
    world.predictors.before = None
    assert (world.last_cycle.phase, world.last_cycle.num_attempts) == ("candidate", 0)
    train(world)
    assert world.last_cycle.phase == "judged"
    assert len(world.of_kind(TrainingStarted)) == 1


def test_a_request_during_a_training_is_told_which_one_runs_and_how_far_it_is(world: World) -> None:
    world.app()
    lease = world.ledger.take_lease(WORK_LEASE, ttl_s=60)
    assert lease is not None
    assert find_running(world.ledger, world.state, world.workspace) is None  # nothing to work on
    world.ledger.free_lease(lease)
    world.trainer.dies_after_steps = 1
    kill(world, times=1)
    assert world.ledger.take_lease(WORK_LEASE, ttl_s=60)
    WorkNote(world.workspace, "cycle-1").write("training", 1, 2)
    sequence, epoch = world.state.last_sequence, world.ledger.take_lease("other", ttl_s=1)
    with pytest.raises(BusyError, match=r"already running: cycle-1: training, step 1 of 2.*\(process \d+\)"):
        train(world)
    assert world.state.last_sequence == sequence
    assert epoch is not None


def test_asking_who_works_does_not_take_the_lease(world: World) -> None:
    first = world.ledger.take_lease(WORK_LEASE, ttl_s=60)
    assert first is not None
    world.ledger.free_lease(first)
    for _ in range(3):
        reconcile(world.app())
    second = world.ledger.take_lease(WORK_LEASE, ttl_s=60)
    assert second is not None
    assert second.epoch == first.epoch + 1


def test_after_a_stop_a_verdict_can_be_decided_as_always(long: World) -> None:
    long.trainer.ask_to_stop_at = 50
    with pytest.raises(StoppedError):
        train(long)
    long.trainer.ask_to_stop_at = 0
    reconcile(long.app())
    decide_by_hand(long.app(), "1", "approved", by="otto", why="fine")
    reconcile(long.app())
    assert long.alias("champion") == "1"
