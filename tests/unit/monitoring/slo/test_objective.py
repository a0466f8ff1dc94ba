"""What is promised: the defaults, and what a workspace's settings put in their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maskloop.errors import ConfigurationError
from maskloop.settings.slo_settings import ObjectiveSettings
from maskloop.settings.workspace_settings import Settings, parse_settings
from monitoring.slo.objective import find_objectives

SETTINGS_PAGE = Path(__file__).resolve().parents[4] / "docs" / "settings.md"


def test_the_defaults_promise_what_rollouts_and_gates_ask_for_already() -> None:
    said = {one.name: one.promise() for one in find_objectives(Settings())}
    assert said == {
        "availability": "99.9 % of the answers are no errors, over 30 days",
        "latency": "95 % of the answers take at most 250 ms, over 30 days",
        "drift": "95 % of the time production has not drifted, over 30 days",
        "quality": "the mean mask IoU on labels from production is at least 0.70, over 30 days",
    }


def test_a_default_follows_the_setting_that_it_is_taken_from() -> None:
    settings = parse_settings(
        {"gates": {"min_mean_iou": 0.6}, "serving": {"slo": {"p95_ms": 400.0, "max_error_percent": 1.0}}}
    )
    by_name = {one.name: one for one in find_objectives(settings)}
    assert by_name["quality"].target == 0.6
    assert by_name["latency"].within_s == 0.4
    assert by_name["availability"].budget == pytest.approx(0.01)


def test_an_entry_takes_the_place_of_its_namesake_and_others_are_added() -> None:
    strict = {"name": "availability", "indicator": "availability", "objective_percent": 99.99}
    slow = {"name": "slow", "indicator": "latency", "objective_percent": 99.0, "within_ms": 1000.0}
    found = {one.name: one for one in find_objectives(parse_settings({"slo": [strict, slow]}))}
    assert list(found) == ["availability", "latency", "drift", "quality", "slow"]
    assert found["availability"].target == pytest.approx(0.9999)
    assert (found["slow"].within_s, found["latency"].within_s) == (1.0, 0.25)


def test_an_objective_of_0_percent_is_switched_off() -> None:
    off = {"name": "drift", "indicator": "drift", "objective_percent": 0.0}
    names = [one.name for one in find_objectives(parse_settings({"slo": [off]}))]
    assert names == ["availability", "latency", "quality"]


def test_two_entries_of_one_name_are_refused() -> None:
    one = {"name": "a", "indicator": "drift", "objective_percent": 50.0}
    with pytest.raises(ConfigurationError, match="two objectives are called a"):
        find_objectives(parse_settings({"slo": [one, one]}))


def test_an_objective_about_latency_names_its_limit() -> None:
    with pytest.raises(ConfigurationError, match="slow is about latency and needs within_ms"):
        parse_settings({"slo": [{"name": "slow", "indicator": "latency", "objective_percent": 99.0}]})


def test_every_key_of_an_entry_is_documented() -> None:
    page = SETTINGS_PAGE.read_text(encoding="utf-8")
    part = page.partition("\n## [[slo]]\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE) == list(ObjectiveSettings.model_fields)
