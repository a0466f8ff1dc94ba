"""Choosing the window."""

from __future__ import annotations

import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.samples.windows import choose_window
from tests.fakes.drift_data import sample_of

SETTINGS = MonitoringSettings(window_samples=3, min_window_samples=2)


def test_the_newest_samples_of_the_champion_are_chosen_and_older_ones_given_up() -> None:
    pending = [sample_of(name) for name in "edcba"]
    plan = choose_window(pending, weights_digest="w1", settings=SETTINGS)
    assert plan.window.sample_ids == ("e", "d", "c")
    assert plan.is_complete
    assert plan.superseded_ids == ("b", "a")


def test_other_versions_are_neither_judged_nor_given_up() -> None:
    pending = [sample_of("x", weights_digest="w2"), *(sample_of(name) for name in "ba")]
    plan = choose_window(pending, weights_digest="w1", settings=SETTINGS)
    assert plan.window.sample_ids == ("b", "a")
    assert plan.superseded_ids == ()


def test_too_few_samples_wait() -> None:
    plan = choose_window([sample_of("a")], weights_digest="w1", settings=SETTINGS)
    assert not plan.is_complete
    assert plan.window.sample_ids == ("a",)


def test_a_window_that_could_never_be_complete_is_refused() -> None:
    with pytest.raises(ValueError, match="no window would ever be judged"):
        MonitoringSettings(window_samples=1, min_window_samples=2)


def test_no_samples_are_an_incomplete_window() -> None:
    assert not choose_window([], weights_digest="w1", settings=SETTINGS).is_complete


def test_the_same_samples_are_the_same_window() -> None:
    first, again = (choose_window([sample_of("a")], weights_digest="w1", settings=SETTINGS) for _ in range(2))
    other = choose_window([sample_of("b")], weights_digest="w1", settings=SETTINGS)
    assert first.window.window_id == again.window.window_id != other.window.window_id
