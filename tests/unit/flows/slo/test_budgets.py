"""What is left of each error budget, by the workspace's own figures, and `maskloop slo`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.command.main import main
from flows.slo.budgets import count_answers, read_drift, read_quality, read_service, time_in_drift
from maskloop.state.loop_state import LoopState
from monitoring.slo.objective import Objective
from serving.telemetry.reading import Requests, ServiceFigures
from tests.fakes.incident_stories import Story
from tests.fakes.loop_stories import first_champion
from tests.fakes.loop_world import World
from tests.fakes.opened import opens
from tests.fakes.quality import tell_quality

NOW = datetime(2026, 3, 30, 12, tzinfo=UTC)
AVAILABILITY = Objective("availability", "availability", 0.99)
LATENCY = Objective("latency", "latency", 0.9, within_s=0.25)
DRIFT = Objective("drift", "drift", 0.9)


def figures(**more: Any) -> ServiceFigures:
    began = (NOW - timedelta(days=3)).timestamp()
    requests = {"1": Requests(800, 0, 0), "": Requests(200, 5, 100)}
    buckets = {"1": [(0.1, 400.0), (0.25, 760.0), (float("inf"), 800.0)]}
    return replace(ServiceFigures(began_at_s=began, requests=requests, latency_s=buckets), **more)


def test_errors_use_up_their_share_of_the_budget() -> None:
    """5 of 1000 answers are half of the 1 % that may be bad."""
    found = read_service(AVAILABILITY, figures(), "", NOW)
    assert (found.good, found.left) == (pytest.approx(0.995), pytest.approx(0.5))
    assert found.window == "since the service started (3.0 d)"


def test_late_answers_use_up_theirs_and_refusals_do_not_count() -> None:
    found = read_service(LATENCY, figures(), "", NOW)
    assert (found.good, found.left) == (pytest.approx(0.95), pytest.approx(0.5))


def test_a_budget_can_be_overdrawn() -> None:
    bad = figures(requests={"1": Requests(100, 3, 0)})
    assert read_service(AVAILABILITY, bad, "", NOW).left == pytest.approx(-2.0)


def test_what_was_not_measured_says_how_to_get_it() -> None:
    without = read_service(AVAILABILITY, None, "no service of this workspace runs here", NOW)
    assert (without.good, without.left) == (None, None)
    assert "maskloop serve" in without.missing
    assert "has not answered" in read_service(AVAILABILITY, figures(requests={}), "", NOW).missing
    assert count_answers(Objective("slow", "latency", 0.9, within_s=0.3), figures()) == (None, 0.0)
    assert "does not count answers within 300 ms" in (
        read_service(Objective("slow", "latency", 0.9, within_s=0.3), figures(), "", NOW).missing
    )
    assert "maskloop monitor" in read_drift(DRIFT, LoopState(), NOW).missing
    assert read_quality(Objective("quality", "quality", 0.7), None).missing.startswith("nothing serves yet")


def test_time_in_drift_counts_overlapping_drifts_once_and_only_within_the_window() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    began = story.clock.now()
    story.window(
        "quiet",
    )
    ended = story.clock.now()
    incidents = story.incidents
    now = ended + timedelta(hours=1)
    assert time_in_drift(incidents, began - timedelta(days=1), now) == ended - began
    assert time_in_drift([*incidents, *incidents], began - timedelta(days=1), now) == ended - began
    assert time_in_drift(incidents, ended, now) == timedelta(0)
    story.window("drift")
    late = story.clock.now() + timedelta(minutes=30)
    assert time_in_drift(story.incidents, ended, late) == timedelta(minutes=30)


def test_three_days_of_drift_use_up_a_budget_of_a_tenth_of_thirty_days() -> None:
    story = Story()
    story.serve("1")
    story.window("drift")
    found = read_drift(DRIFT, story.state, story.clock.now() + timedelta(days=3))
    assert found.good == pytest.approx(0.9)
    assert found.left == pytest.approx(0.0, abs=1e-9)
    assert "3.0 d of it in drift" in found.window


def test_a_budget_of_drift_that_nobody_has_measured_for_its_window_is_missing() -> None:
    story = Story()
    story.serve("1")
    story.window("quiet")
    judged_at = story.clock.now()
    found = read_drift(DRIFT, story.state, judged_at + timedelta(days=31))
    assert (found.good, found.left) == (None, None)
    assert found.missing.startswith(f"no window was judged since {judged_at:%Y-%m-%d %H:%M} UTC")


def test_a_budget_of_drift_names_the_outcome_of_the_newest_window() -> None:
    story = Story()
    story.serve("1")
    story.window("inconclusive")
    found = read_drift(DRIFT, story.state, story.clock.now())
    assert "none of it in drift; newest window: inconclusive, " in found.window


@pytest.fixture
def served(world: World) -> World:
    first_champion(world)
    tell_quality(world, 0.4)
    return world


def call(world: World, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words, "-w", str(world.workspace.root)], opener=opens(world))
    return int(ended.value.code or 0)


def test_maskloop_slo_lists_every_objective_and_says_what_a_spent_budget_does(
    served: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(served, "slo") == 0
    told = capsys.readouterr().out
    assert "availability: not measured, no service of this workspace runs here" in told
    assert "The policy promotes nothing: the quality budget of version 1 is spent" in told
    assert "maskloop approve VERSION --by NAME" in told


def test_maskloop_slo_answers_in_json_with_and_without_its_verb(
    served: World, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for words in (("slo", "--json"), ("slo", "list", "--json")):
        assert call(served, *words) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    quality = next(one for one in answers[0]["objectives"] if one["name"] == "quality")
    assert quality["good"] == pytest.approx(0.4)
    assert quality["left"] == pytest.approx(-1.0)
    assert answers[0]["frozen"]["rollback_target"] == ""


def test_maskloop_slo_rules_writes_the_file_that_prometheus_reads(
    served: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(served, "slo", "rules", "--output", str(tmp_path / "rules")) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "rules" / "slo.yml")
    assert "MaskloopQualityBudgetSpent" in (tmp_path / "rules" / "slo.yml").read_text(encoding="utf-8")
