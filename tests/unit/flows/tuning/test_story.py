"""`maskloop tune` with an engine that trains nothing: what it begins with, keeps, and finds."""

from __future__ import annotations

import json
import signal
import sys
import tomllib
from pathlib import Path

import pytest

from flows.console.output import Output
from flows.loop.turn import run_turn
from flows.tuning.planning import TuneRequest
from flows.tuning.report import TuneReport
from flows.tuning.story import tune
from flows.workspace.wiring import App
from maskloop.errors import BusyError, ConfigurationError, DataError, StoppedError, UnavailableError
from maskloop.ledger.leases import leased
from maskloop.settings.workspace_settings import load_settings
from tests.fakes.crashing import Killed
from tests.fakes.loop_world import World
from tests.fakes.searcher import RATE, FakeSearcher, iou_of

VARY = ("training.learning_rate = {low = 0.0005, high = 0.01, log = true}",)
SETTINGS = "[training]\nsteps = 9\nlearning_rate = 0.004\n"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "workspace")
    file = made.workspace.settings_file
    file.write_text(file.read_text().replace("[training]\nsteps = 2\n", SETTINGS))
    made.searcher = FakeSearcher(clock=made.clock)
    made.label(range(12))
    return made


def search(world: World, **asked) -> TuneReport:
    return tune(world.app(), request=TuneRequest(**{"hours": 10.0, "vary": VARY, **asked}))


def test_the_present_settings_are_tried_first_and_the_best_are_shown_as_a_difference(world):
    report = search(world, trials=3)
    assert [row["outcome"] for row in report.trials] == ["finished"] * 3
    present, best = iou_of({RATE: 0.004}), iou_of({RATE: 0.001})
    assert (report.found.present, report.found.result) == (pytest.approx(present), pytest.approx(best))
    assert report.found.values == {RATE: 0.001}
    assert "-learning_rate = 0.004\n+learning_rate = 0.001" in report.difference
    assert report.outcome == "trials done"
    assert not report.applied
    assert load_settings(world.workspace.settings_file).training.learning_rate == 0.004


def test_the_fragment_is_what_maskloop_toml_takes(world):
    report = search(world, trials=3)
    with Path(report.fragment_file).open("rb") as file:
        assert tomllib.load(file) == {"training": {"learning_rate": 0.001}}


def test_applied_settings_keep_the_rest_of_the_file(world):
    before = world.workspace.settings_file.read_text()
    assert search(world, trials=3, apply=True).applied
    after = world.workspace.settings_file.read_text()
    assert after == before.replace("learning_rate = 0.004", "learning_rate = 0.001")


def test_present_settings_that_nothing_beats_stay(world):
    file = world.workspace.settings_file
    file.write_text(file.read_text().replace("0.004", "0.001"))
    report = search(world, trials=2, apply=True)
    assert (report.difference, report.fragment_file, report.applied) == ("", "", False)
    assert report.found.result == report.found.present


def test_a_search_ends_with_its_hours_and_more_of_them_go_on_with_it(world):
    first = search(world, hours=0.5)
    assert first.outcome == "hours used"
    assert 0.5 <= first.spent_hours <= 0.52
    again = search(world, hours=0.5)
    assert again.trials == first.trials, "nothing is run once the hours are used"
    more = search(world, hours=1.0)
    assert more.search == first.search
    assert len(more.trials) > len(first.trials)
    assert 1.0 <= more.spent_hours <= 1.02


def test_a_search_that_was_killed_goes_on_with_its_interrupted_trial(world):
    world.searcher.dies_after_evaluations = 13
    with pytest.raises(Killed):
        search(world, trials=3)
    world.clock.advance(hours=5)
    world.searcher.dies_after_evaluations = 10**9
    report = search(world, trials=3)
    plan = world.searcher.plans[-1]
    assert [(one.number, one.last_step) for one in plan.waiting] == [(2, 4)]
    assert [one.number for one in plan.known] == [1]
    assert [row["step"] for row in report.trials] == [9, 9, 9]
    assert world.searcher.evaluations == 27, "nothing is trained twice"
    assert report.spent_hours == pytest.approx(27 / 60, abs=0.01), "the time it lay dead is not its own"


def test_an_interrupted_trial_is_finished_also_when_no_more_trials_are_allowed(world):
    world.searcher.dies_after_evaluations = 13
    with pytest.raises(Killed):
        search(world, trials=2)
    world.searcher.dies_after_evaluations = 10**9
    assert [row["outcome"] for row in search(world, trials=2).trials] == ["finished", "finished"]


def test_the_present_settings_are_trained_to_the_end_however_they_do(world):
    search(world, trials=1)
    assert world.searcher.plans[-1].spared == (1,)
    search(world, trials=2)
    assert world.searcher.plans[-1].spared == (), "they were"


def test_a_request_to_stop_is_heard_and_the_same_command_goes_on(world):
    hear = world.searcher._run

    def run(plan, trial, on_trial, should_stop):
        if trial.number == 2:
            signal.raise_signal(signal.SIGTERM)
        hear(plan, trial, on_trial, should_stop)

    world.searcher._run = run
    with pytest.raises(StoppedError, match="2 trials kept") as stopped:
        search(world, trials=3)
    assert stopped.value.exit_code == 143
    assert world.tracker.runs[f"run-search:{ids(world)}"].status == "failed"
    world.searcher._run = hear
    assert len(search(world, trials=3).trials) == 3


def ids(world: World) -> str:
    (folder,) = world.workspace.tuning_dir.iterdir()
    return folder.name


def test_trials_lie_below_the_search_in_mlflow_with_values_evaluations_and_ends(world):
    report = search(world, trials=3)
    parent = world.tracker.runs[f"run-search:{report.search}"]
    assert (parent.kind, parent.status, parent.parent_id) == ("search", "finished", "")
    assert b"learning_rate = 0.001" in parent.files["best.toml"]
    trials = [world.tracker.runs[f"run-search:{report.search}:{number}"] for number in (1, 2, 3)]
    assert {one.parent_id for one in trials} == {f"run-search:{report.search}"}
    assert [one.params[RATE] for one in trials] == ["0.004", "0.001", "0.0015"]
    assert [step for step, _ in trials[0].metrics["validation/mean_iou"]] == [*range(1, 10)]
    assert {one.status for one in trials} == {"finished"}


def test_a_diverged_trial_is_marked_and_counts_as_the_worst(world):
    vary = ("training.learning_rate = {low = 0.0041, high = 0.02}",)
    file = world.workspace.settings_file
    file.write_text(file.read_text().replace("0.004", "0.0045"))
    report = search(world, vary=vary, trials=2)
    (row,) = [row for row in report.trials if row["outcome"] == "diverged"]
    assert row["result"] == 0.0
    run = world.tracker.runs[f"run-search:{report.search}:{row['trial']}"]
    assert run.status == "failed"
    assert run.params["outcome"] == "diverged"
    assert "not finite" in run.params["said"]


def test_mlflow_may_be_away_for_a_while_and_gets_everything_later(world):
    hear = world.searcher._run

    def run(plan, trial, on_trial, should_stop):
        world.tracker.is_offline = trial.number == 2
        hear(plan, trial, on_trial, should_stop)

    world.searcher._run = run
    report = search(world, trials=3)
    second = world.tracker.runs[f"run-search:{report.search}:2"]
    assert second.params["outcome"] == "finished"
    assert len(second.metrics["objective"]) == 9


def test_what_mlflow_did_not_get_is_sent_by_the_same_command(world):
    run = world.searcher._run

    def go_offline(plan, trial, on_trial, should_stop):
        world.tracker.is_offline = True
        run(plan, trial, on_trial, should_stop)

    world.searcher._run = go_offline
    report = search(world, trials=2)
    assert f"run-search:{report.search}:2" not in world.tracker.runs
    world.tracker.is_offline = False
    search(world, trials=2)
    assert world.tracker.runs[f"run-search:{report.search}:2"].status == "finished"


def test_a_search_that_mlflow_cannot_record_does_not_begin(world):
    world.tracker.is_offline = True
    with pytest.raises(UnavailableError):
        search(world)
    assert world.searcher.plans == []


def test_an_earlier_training_with_the_present_settings_is_not_trained_again(world):
    run_turn(world.app(), starts_from="first-weights")
    run_id = world.last_cycle.training.run_id
    world.tracker.log_metrics(run_id, {"validation/iou/bolt": 0.9, "validation/iou/nut": 0.9}, step=9)
    report = search(world, trials=2)
    (known,) = world.searcher.plans[0].known
    assert known.values == {RATE: 0.004}
    assert known.measured[-1].metrics["mean_iou"] == 0.9
    assert world.searcher.plans[0].waiting == ()
    assert (report.num_known, report.found.present) == (1, 0.9)
    assert report.difference == "", "the training before is the best"


def test_trials_of_an_earlier_search_are_known_to_one_over_a_wider_space(world):
    first = search(world, trials=3)
    wider = (*VARY, "training.colour_jitter = {low = 0.0, high = 0.4}")
    second = search(world, vary=wider, trials=1)
    assert second.search != first.search
    assert [one.values[RATE] for one in world.searcher.plans[-1].known] == [0.004, 0.001, 0.0015]
    assert world.searcher.plans[-1].waiting == (), "the present settings were a trial of the first search"


def test_settings_that_were_best_on_other_data_are_tried_but_not_believed(world):
    search(world, trials=3)
    world.label(range(12, 24))
    search(world, trials=2)
    plan = world.searcher.plans[-1]
    assert plan.known == ()
    assert [one.values[RATE] for one in plan.waiting] == [0.004, 0.001]


def test_two_searches_of_a_workspace_do_not_run_at_once(world):
    with (
        leased(world.ledger, "search", ttl_s=60),
        pytest.raises(BusyError, match="search is already running"),
    ):
        search(world)


def test_a_search_says_what_is_not_installed_before_anything_else(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match="needs Optuna"):
        tune(App(world.workspace), request=TuneRequest())


def test_validation_pictures_without_a_critical_class_are_refused(tmp_path):
    world = World(tmp_path / "workspace", gates='critical_classes = ["rivet"]\n')
    world.label(range(12))
    with pytest.raises(DataError, match="show none of the classes"):
        search(world)


def test_a_workspace_without_data_is_told_to_ingest(tmp_path):
    with pytest.raises(DataError, match="nothing to train on yet"):
        search(World(tmp_path / "workspace"))


def test_what_to_vary_that_is_no_toml_is_refused_with_an_example(world):
    with pytest.raises(ConfigurationError, match="not TOML") as refused:
        search(world, vary=("training.learning_rate=1e-4..1e-2",))
    assert "{low = 1e-6" in refused.value.hint


def test_the_answer_is_plain_json(world, capsys):
    Output(as_json=True).answer(search(world, trials=2), lambda: None)
    answered = json.loads(capsys.readouterr().out)
    assert answered["found"]["values"] == {RATE: 0.001}
    assert [row["outcome"] for row in answered["trials"]] == ["finished", "finished"]


def test_training_and_searching_keep_to_themselves(world):
    """A search opens no cycle and registers nothing: the loop goes on beside it."""
    before = world.state
    search(world, trials=2)
    assert world.state == before
    assert world.models.with_alias("champion") is None
