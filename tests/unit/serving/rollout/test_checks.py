"""The table of what a challenger is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maskloop.records.kinds import Check
from maskloop.settings.slo_settings import SloSettings
from maskloop.settings.workspace_settings import RolloutSettings, Settings
from serving.rollout.analysis import Analysis, analyse
from serving.rollout.checks import (
    CHECKS,
    RolloutCheck,
    RolloutLimits,
    Terms,
    breaks_latency_promise,
    find_check,
)
from serving.rollout.pairs import Comparison

SETTINGS, SLO = RolloutSettings(), SloSettings()
LIMITS = RolloutLimits(agreement=0.7, lowest_count_shift=-0.25, highest_count_shift=0.25, class_flips=0.1)
TERMS = Terms(LIMITS, SETTINGS, SLO)
GOOD = Comparison(
    "cycle-2", "r", "champion", agreement=0.85, champion_s=0.01, challenger_s=0.01, latency_s=0.03
)
CLOSE = RolloutCheck(
    name="close",
    question="Is it close in every picture?",
    what="share of pictures with an agreement below {limits.agreement:g}",
    needs="both",
    setting="rollout.max_agreement_drop",
    side="most",
    threshold=lambda _: 0.3,
    measure=lambda seen, terms: float(seen.agreement < terms.limits.agreement),
)


def judged(comparisons: list[Comparison], *table: RolloutCheck) -> Analysis:
    return analyse(comparisons, (), LIMITS, SETTINGS, SLO, table=table)


def test_a_check_added_to_the_table_is_judged_and_stops_a_challenger() -> None:
    found = judged([replace(GOOD, agreement=0.1)] * 60, *CHECKS, CLOSE)
    (added,) = [check for check in found.checks if check.gate == "close"]
    assert (added.name, added.outcome, added.measured, added.required) == ("close", "fail", 1.0, 0.3)
    assert added.reason == (
        "share of pictures with an agreement below 0.7: 1.000 over 60 pictures, at most 0.300 is required"
    )
    assert judged([GOOD] * 60, *CHECKS, CLOSE).outcome == "pass"


@pytest.mark.parametrize(
    ("num_rows", "num_pictures", "outcome"),
    [(1, 6, "fail"), (10, 6, "inconclusive"), (10, 8, "fail"), (30, 8, "inconclusive"), (30, 9, "fail")],
)
def test_the_more_rows_share_the_error_rate_the_more_pictures_it_takes_to_fail(
    num_rows: int, num_pictures: int, outcome: str
) -> None:
    rows = [replace(CLOSE, name=f"close {number}") for number in range(num_rows)]
    seen = [replace(GOOD, agreement=0.1)] * num_pictures
    found = analyse(seen, (), LIMITS, RolloutSettings(min_step_pictures=1), SLO, table=rows)
    assert {check.outcome for check in found.checks} == {outcome}


def test_what_a_check_needs_says_which_pictures_count() -> None:
    live = replace(GOOD, answered_by="challenger")
    failed = replace(live, challenger_error="it computes NaN")
    unknown = replace(GOOD, champion_error="deadline")
    seen = [GOOD, live, failed, unknown]
    num = {
        needs: len(replace(CLOSE, needs=needs).values(seen, (), TERMS)) for needs in ("both", "tried", "live")
    }
    assert num == {"both": 2, "tried": 3, "live": 2}
    assert replace(CLOSE, needs="corrections", measure=None).values(seen, (0.5,), TERMS) == [0.5]


def test_every_check_has_a_unique_name_a_question_and_a_text_with_valid_placeholders() -> None:
    assert len({row.name for row in CHECKS}) == len(CHECKS)
    assert len({row.question for row in CHECKS}) == len(CHECKS)
    for row in CHECKS:
        assert row.question.endswith("?")
        assert "{" not in row.describe(TERMS)
        assert (row.measure is None) == (row.needs == "corrections")


def test_every_threshold_lies_within_the_possible_values_and_its_setting_exists() -> None:
    for row in CHECKS:
        assert row.lowest < row.threshold(TERMS) < 1.0
        value: object = Settings()
        for part in row.setting.split("."):
            value = getattr(value, part)


def test_checks_in_ledgers_of_earlier_releases_find_their_rows() -> None:
    names = (
        "agreement count.fewer count.more class_flips score latency errors slo.errors slo.latency feedback"
    )
    for name in names.split():
        old = {"name": name, "outcome": "pass", "measured": None, "required": None, "reason": ""}
        row = find_check(Check.model_validate(old))
        assert row is not None
        assert row.name == name


@pytest.mark.parametrize(
    ("champion_s", "challenger_s", "latency_s", "expected"),
    [
        (0.1, 0.1, 0.2, False),  # the promise was kept
        (0.1, 0.3, 0.35, True),  # the champion would have kept it
        (0.3, 0.32, 0.4, False),  # the champion would have broken it too
        (0.1, 0.3, 0.7, True),  # it waited for the challenger's other passes
        (0.1, 0.05, 0.4, False),  # a queue, not the challenger
    ],
)
def test_a_broken_promise_counts_where_the_champion_would_have_kept_it(
    champion_s: float, challenger_s: float, latency_s: float, expected: bool
) -> None:
    answer = replace(GOOD, champion_s=champion_s, challenger_s=challenger_s, latency_s=latency_s)
    assert breaks_latency_promise(answer, SLO) is expected
