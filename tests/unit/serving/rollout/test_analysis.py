"""What stops a challenger, and what must not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.agreement import PerfectChallenger
from maskloop.records.kinds import Outcome
from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import RolloutSettings
from serving.rollout.analysis import Analysis, agreement_record, analyse, set_limits
from serving.rollout.checks import RolloutLimits
from serving.rollout.pairs import Comparison

SETTINGS, SLO = RolloutSettings(), SloSettings()
LIMITS = RolloutLimits(agreement=0.7, lowest_count_shift=-0.25, highest_count_shift=0.25, class_flips=0.1)
GOOD = Comparison(
    "cycle-2", "r", "champion", agreement=0.85, champion_s=0.01, challenger_s=0.01, latency_s=0.03
)


def judged(
    comparisons: Sequence[Comparison], feedback_drops: Sequence[float] = (), *, num_before: int = 0
) -> Analysis:
    return analyse(comparisons, feedback_drops, LIMITS, SETTINGS, SLO, num_before=num_before)


def outcome_of(analysis: Analysis, name: str) -> Outcome:
    return next(check.outcome for check in analysis.checks if check.name == name)


def test_without_pictures_nothing_is_known() -> None:
    empty = judged([])
    assert empty.outcome == "inconclusive"
    assert {check.outcome for check in empty.checks} == {"inconclusive"}
    assert all(check.measured is None for check in empty.checks)
    assert Analysis().outcome == "inconclusive"


def test_a_challenger_that_agrees_passes_and_says_what_was_measured() -> None:
    found = judged([GOOD] * 100)
    assert found.outcome == "pass"
    assert found.num_compared == 100
    assert (found.champion_p50_ms, found.challenger_p95_ms) == (pytest.approx(10.0), pytest.approx(10.0))
    (agreement,) = [check for check in found.checks if check.name == "agreement"]
    assert (agreement.measured, agreement.required) == (pytest.approx(0.85), 0.7)
    assert "0.850 over 100 pictures, at least 0.700 is required" in agreement.reason


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("agreement", {"agreement": 0.3}),
        ("count.fewer", {"count_shift": -0.8}),
        ("count.more", {"count_shift": 0.8}),
        ("class_flips", {"flip_share": 0.5}),
        ("score", {"score_shift": -0.6}),
        ("latency", {"challenger_s": 0.02}),
        ("errors", {"challenger_error": "it computes NaN"}),
        ("slo.errors", {"challenger_error": "it computes NaN", "answered_by": "challenger"}),
        ("slo.latency", {"answered_by": "challenger", "challenger_s": 0.3, "latency_s": 0.32}),
    ],
)
def test_each_way_of_being_worse_is_stopped_within_fifty_pictures(name: str, worse: dict[str, Any]) -> None:
    found = judged([replace(GOOD, **worse)] * 50)
    assert outcome_of(found, name) == "fail"
    assert found.outcome == "fail"


def test_people_who_prefer_the_champion_stop_it() -> None:
    assert outcome_of(judged([GOOD] * 100, [0.5] * 40), "feedback") == "fail"
    assert judged([GOOD] * 100, [-0.1] * 40).outcome == "pass"


def test_a_few_pictures_stop_no_challenger_however_bad_they_look() -> None:
    """Fewer than `min_step_pictures`."""
    assert judged([replace(GOOD, agreement=0.0)] * 19).outcome == "inconclusive"


def test_what_is_rare_needs_not_be_proven_only_not_refuted() -> None:
    found = judged([GOOD] * 100)
    assert outcome_of(found, "slo.errors") == "inconclusive"
    assert outcome_of(found, "errors") == "inconclusive"
    assert found.outcome == "pass"


def test_what_every_picture_tells_about_must_be_shown() -> None:
    middling = judged([replace(GOOD, agreement=value) for value in (0.6, 0.8) * 20])
    assert outcome_of(middling, "agreement") == "inconclusive"
    assert middling.outcome == "inconclusive"


def test_a_challenger_that_becomes_worse_late_is_stopped_despite_its_earlier_pictures() -> None:
    past, now = [GOOD] * 1000, [replace(GOOD, agreement=0.3)] * 40
    assert judged([*past, *now]).outcome == "pass"
    found = judged([*past, *now], num_before=1000)
    (check,) = found.failed
    assert check.name == "agreement"
    assert "0.300 over 40 pictures" in check.reason


def test_a_picture_the_champion_could_not_answer_counts_against_nobody() -> None:
    both_failed = replace(GOOD, champion_error="deadline", challenger_error="deadline", agreement=0.0)
    found = judged([GOOD] * 100 + [both_failed] * 100)
    assert found.outcome == "pass"
    assert found.num_compared == 200


def test_what_is_rare_holds_up_a_rollout_only_while_it_looks_violated() -> None:
    failed_live = replace(GOOD, challenger_error="it computes NaN", answered_by="challenger")
    live = replace(GOOD, answered_by="challenger")
    found = judged([GOOD] * 60 + [live] * 60 + [failed_live])
    assert outcome_of(found, "slo.errors") == "inconclusive"
    assert "slo.errors" in {check.name for check in found.undecided}
    assert judged([GOOD] * 60 + [live] * 400 + [failed_live]).outcome == "pass"


# --- limits --------------------------------------------------------------------------------------


def test_limits_leave_room_around_what_a_perfect_challenger_shows() -> None:
    perfect = PerfectChallenger(0.8, -0.1, 0.3, 0.05, 40)
    measured = agreement_record(perfect, weights_digest="w", data_tag="data-v2")
    limits = set_limits([measured], SETTINGS)
    assert limits.agreement == pytest.approx(0.7)
    assert (limits.lowest_count_shift, limits.highest_count_shift) == pytest.approx((-0.35, 0.55))
    assert limits.class_flips == pytest.approx(0.15)


def test_the_kind_of_pictures_a_champion_knows_least_sets_its_limits() -> None:
    own = agreement_record(
        PerfectChallenger(0.8, -0.1, 0.0, 0.05, 40), weights_digest="w", data_tag="data-v1"
    )
    new = agreement_record(PerfectChallenger(0.3, 0.0, 0.5, 0.0, 20), weights_digest="w", data_tag="data-v2")
    limits = set_limits([own, new], SETTINGS)
    assert limits.agreement == pytest.approx(0.2)
    assert (limits.lowest_count_shift, limits.highest_count_shift) == pytest.approx((-0.35, 0.75))
    assert limits.class_flips == pytest.approx(0.15)


def test_a_champion_that_sees_nothing_any_more_can_be_replaced() -> None:
    """After a drift: the truth has instances where the champion finds none."""
    blind = PerfectChallenger(0.05, 0.0, 0.95, 0.2, 40)
    limits = set_limits([agreement_record(blind, weights_digest="w", data_tag="data-v2")], SETTINGS)
    better = replace(GOOD, agreement=0.05, count_shift=0.95, flip_share=0.2)
    found = analyse([better] * 100, (), limits, SETTINGS, SLO)
    assert found.outcome == "pass"


def test_where_nobody_measured_the_champion_the_settings_count() -> None:
    limits = set_limits([], SETTINGS)
    assert limits == RolloutLimits(0.5, -0.25, 0.25, 0.1)


# --- error rates ---------------------------------------------------------------------------------


def simulate(draw: Callable[[np.random.Generator], Comparison], *, runs: int, pictures: int) -> float:
    """Return the share of runs that are ever stopped: a decision stays, so the end tells of every moment."""
    random = np.random.default_rng(0)
    stopped = [judged([draw(random) for _ in range(pictures)]).outcome == "fail" for _ in range(runs)]
    return sum(stopped) / runs


def test_an_honest_challenger_at_its_very_limits_is_stopped_no_more_often_than_promised() -> None:
    """Every mean lies exactly on its limit, which is as bad as an honest challenger can be."""

    def on_the_limit(random: np.random.Generator) -> Comparison:
        return replace(
            GOOD,
            agreement=float(random.beta(7, 3)),
            flip_share=float(random.random() < 0.1),
            score_shift=float(random.uniform(-0.3, 0.0)),
            challenger_s=0.01 if random.random() < 0.5 else 0.02,
            challenger_error="failed" if random.random() < 0.01 else "",
        )

    runs = 120
    assert simulate(on_the_limit, runs=runs, pictures=400) <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_a_slightly_worse_challenger_is_stopped_eventually() -> None:
    def subtly_worse(random: np.random.Generator) -> Comparison:
        return replace(GOOD, agreement=float(random.beta(6, 4)))  # 0.6, where 0.7 is asked

    assert simulate(subtly_worse, runs=20, pictures=400) == 1.0
