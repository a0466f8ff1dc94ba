from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskloop.errors import ConfigurationError
from maskloop.settings.workspace_settings import Settings, parse_settings
from models.search.space import (
    Choice,
    Range,
    default_space,
    holds,
    make_space,
    present_values,
    value_of,
    with_values,
)


def space_of(**varied: Any) -> Any:
    settings = parse_settings({"tune": {"space": varied}})
    return make_space(settings, settings.tune.space)


def test_the_default_space_holds_the_present_settings_whatever_they_are() -> None:
    for training in ({}, {"weight_decay": 0.0, "warmup_steps": 5000}, {"colour_jitter": 1.0, "steps": 1}):
        settings = parse_settings({"training": {**training, "augmentation": {"crop": 0.9}}})
        space = default_space(settings)
        assert holds(space, present_values(settings, space))


def test_the_batch_is_not_searched_by_default_because_more_pictures_in_as_many_steps_would_win() -> None:
    assert "training.batch_size" not in default_space(Settings())


def test_tables_of_toml_are_read_as_dotted_names() -> None:
    nested = {
        "training": {"augmentation": {"mosaic": {"low": 0.0, "high": 1.0}}, "batch_size": {"choices": [2, 4]}}
    }
    dotted = {
        "training.augmentation.mosaic": {"low": 0.0, "high": 1.0},
        "training.batch_size": {"choices": [2, 4]},
    }
    assert space_of(**nested) == space_of(**dotted)
    assert space_of(**dotted)["training.batch_size"] == Choice((2, 4))


def test_a_whole_number_stays_one() -> None:
    space = space_of(**{"model.rois_per_picture": {"low": 64, "high": 512, "log": True}})
    assert space == {"model.rois_per_picture": Range(64, 512, is_log=True, is_whole=True)}


def test_lists_are_choices_like_others() -> None:
    space = space_of(**{"training.augmentation.scale_range": {"choices": [[1.0, 1.0], [0.8, 1.25]]}})
    assert holds(space, present_values(Settings(), space))
    changed = with_values(Settings(), {"training.augmentation.scale_range": [0.8, 1.25]})
    assert changed.training.augmentation.scale_range == (0.8, 1.25)


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        ({"training.steps": {"low": 1, "high": 9}}, "cannot be searched: trials are compared after as many"),
        ({"training.learning_rat": {"low": 0.1, "high": 1.0}}, "no such setting"),
        ({"gates.min_mean_iou": {"low": 0.1, "high": 1.0}}, r"only settings of \[model\] and \[training\]"),
        ({"training.cluster.workers": {"choices": [1, 2]}}, r"only settings of"),
        ({"training.augmentation": {"choices": [1, 2]}}, "this is a section"),
        ({"training.optimizer": {"low": 0.1, "high": 1.0}}, "no number: give choices"),
        ({"training.optimizer": {"choices": ["adamw", "adam"]}}, "training.optimizer"),
        ({"training.batch_size": {"low": 1.5, "high": 4}}, "whole number"),
        ({"training.colour_jitter": {"low": 0.0, "high": 2.0}}, "training.colour_jitter"),
        ({"training.learning_rate": {"low": 1.0, "high": 0.1}}, "low must be below high"),
        ({"training.learning_rate": {"low": 0.0, "high": 0.1, "log": True}}, "low must be above 0"),
        ({"training.batch_size": {"choices": [2]}}, "two choices at least"),
        ({"training.batch_size": {"choices": [2, 4], "low": 1}}, "either low and high, or choices"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_setting(varied: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        space_of(**varied)


def test_settings_with_other_values_are_otherwise_the_same() -> None:
    settings = parse_settings({"training": {"steps": 7, "cluster": {"workers": 2}}, "gates": {}})
    changed = with_values(settings, {"training.learning_rate": 0.5, "model.nms_iou": 0.4})
    assert (changed.training.learning_rate, changed.model.nms_iou, changed.training.steps) == (0.5, 0.4, 7)
    assert changed.gates == settings.gates
    assert changed.training.cluster.workers == 1, "a trial is trained by one process"


def test_values_that_contradict_each_other_are_refused_and_named() -> None:
    with pytest.raises(ConfigurationError, match="batch_size = 1"):
        with_values(Settings(), {"training.batch_size": 1, "training.batch_parts": 2})


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.floats(0.0, 1.0), st.booleans())
def test_a_tidied_value_stays_in_its_range_and_near_what_was_drawn(
    one: float, other: float, share: float, is_whole: bool
) -> None:
    low, high = sorted((one, other))
    if is_whole:
        low, high = float(round(low)), float(round(high) + 1)
    drawn = low + share * (high - low)
    tidy = Range(low, high, is_whole=is_whole).tidy(drawn)
    assert low <= tidy <= high
    assert abs(tidy - drawn) <= (0.5 if is_whole else 0.0051 * drawn)


def test_a_setting_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no such setting") as raised:
        value_of(Settings(), "training.steps.more")
    assert raised.value.where == "training.steps.more"
