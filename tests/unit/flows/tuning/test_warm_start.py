from __future__ import annotations

import pytest

from flows.tuning.warm_start import EarlierRun, choose_warm_start, read_settings
from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import Settings, parse_settings
from models.search.space import Range
from models.search.trials import Measured

RATE = "training.learning_rate"
SPACE = {RATE: Range(1e-4, 1e-2, is_log=True)}
HERE, THERE = "data here", "data there"


def run(rate: float, iou: float, data: str = HERE, outcome="finished", **training) -> EarlierRun:
    settings = parse_settings({"training": {"learning_rate": rate, **training}})
    return EarlierRun("run", settings, data, (Measured(9, {"mean_iou": iou}),), outcome)


def choose(*runs: EarlierRun):
    return choose_warm_start(runs, Settings(), SPACE, data_fingerprint=HERE, critical_classes=())


def test_a_run_with_the_same_data_and_otherwise_the_same_settings_is_known():
    found = choose(run(0.001, 0.5), run(0.002, 0.6))
    assert [(one.values[RATE], one.outcome) for one in found.known] == [
        (0.001, "finished"),
        (0.002, "finished"),
    ]
    assert found.proposed == ()


@pytest.mark.parametrize(
    "differing",
    [
        {"steps": 5},
        {"batch_size": 8},
        {"optimizer": "sgd"},
        {"augmentation": {"crop": 0.5}},
        {"ema_decay": 0.9},
    ],
)
def test_a_run_with_other_settings_beside_those_searched_is_not(differing):
    assert choose(run(0.001, 0.5, **differing)).known == ()


@pytest.mark.parametrize(
    "differing", [{"seed": 3}, {"num_workers": 0}, {"evaluate_every_steps": 7}, {"retrain_steps": 1}]
)
def test_what_does_not_shape_a_first_training_may_differ(differing):
    assert len(choose(run(0.001, 0.5, **differing)).known) == 1


def test_a_run_outside_of_the_space_is_left_out():
    assert choose(run(0.5, 0.9)).known == ()


def test_of_runs_with_equal_values_the_first_counts():
    (known,) = choose(run(0.001, 0.5), run(0.001, 0.9)).known
    assert known.measured[-1].metrics["mean_iou"] == 0.5


def test_of_runs_on_other_data_the_best_is_proposed_and_none_is_believed():
    found = choose(run(0.001, 0.5, THERE), run(0.002, 0.9, THERE), run(0.003, 0.95, THERE, "stopped early"))
    assert found.known == ()
    assert [values[RATE] for values in found.proposed] == [0.002]
    assert choose(run(0.002, 0.4), run(0.002, 0.9, THERE)).proposed == (), "it is known here"


def test_trials_that_diverged_are_known_as_that():
    assert [one.outcome for one in choose(run(0.001, 0.5, outcome="diverged")).known] == ["diverged"]


def test_a_run_without_an_evaluation_is_left_out():
    assert choose(EarlierRun("run", Settings(), HERE, ())).known == ()


def test_settings_are_read_back_from_what_mlflow_shows():
    settings = parse_settings(
        {
            "model": {"backbone": "small", "weights": "scratch", "anchor_sizes_px": [[36], [52]]},
            "training": {"augmentation": {"scale_range": [0.8, 1.25]}, "compile": True},
        }
    )
    shown = {
        f"{section}.{key}": str(value)
        for section in ("model", "training")
        for key, value in getattr(settings, section).model_dump(mode="json").items()
    }
    found = read_settings({**shown, "device": "cpu"}, Settings())
    assert (found.model, found.training) == (settings.model, settings.training)


def test_parameters_of_another_version_of_maskloop_are_no_settings():
    with pytest.raises(ConfigurationError, match="unknown setting"):
        read_settings({"training.momentum": "0.9"}, Settings())
