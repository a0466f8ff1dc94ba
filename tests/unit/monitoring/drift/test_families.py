"""Pictures, counts and masks as families of signals: who is judged, what is named, and how often wrongly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.instances import NUM_INSIDES
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.families import ClassVerdict, divide_features
from monitoring.drift.verdict import DriftVerdict, judge_drift
from monitoring.features.observation import Observation
from monitoring.features.table import FEATURES
from tests.fakes.class_data import draw_answers
from tests.fakes.drift_data import baseline_of, window_of

SETTINGS = MonitoringSettings()
BARE = MonitoringSettings(false_alarm_rate=0.05, min_effect=0.0, min_drifted_features=1)
MIX = {"bolt": 3.0, "nut": 2.0, "gear": 1.5}
RAGGED = {"complexity of nut": 2.0, "holes of nut": 2.0}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def judge(
    before: list[Observation], after: list[Observation], settings: MonitoringSettings = SETTINGS
) -> DriftVerdict:
    return judge_drift(baseline_of(before), window_of(after), settings, seed=1)


def of_class(verdict: DriftVerdict, name: str) -> ClassVerdict:
    return next(one for one in verdict.classes if one.class_name == name)


def test_masks_of_one_class_that_changed_are_drift_and_the_class_is_named(rng: np.random.Generator) -> None:
    verdict = judge(draw_answers(rng, 150, MIX), draw_answers(rng, 100, MIX, shifts=RAGGED))
    assert (verdict.outcome, of_class(verdict, "nut").outcome) == ("drift", "drift")
    assert [of_class(verdict, name).outcome for name in ("bolt", "gear")] == ["quiet", "quiet"]
    assert "masks of class nut: 2 of 8 signals drifted" in verdict.reason
    assert "class nut" in verdict.cause


def with_insides(rng: np.random.Generator, drawn: list[Observation], **moved: float) -> list[Observation]:
    """Add the numbers about the insides of masks; those of the nut are moved by ``n1`` and so on."""

    def draw(name: str, number: int) -> float:
        return rng.normal() + (moved.get(f"n{number}", 0.0) if name == "nut" else 0.0)

    def add(one: Observation) -> Observation:
        shown = [name for name in MIX if one.features[f"count of {name}"]]
        added = {
            f"inside {at} of {name}": draw(name, at) for name in shown for at in range(1, NUM_INSIDES + 1)
        }
        return replace(one, features={**one.features, **added})

    return [add(one) for one in drawn]


def test_a_class_that_changed_inside_its_masks_alone_is_named_in_words(rng: np.random.Generator) -> None:
    before = with_insides(rng, draw_answers(rng, 150, MIX))
    after = with_insides(rng, draw_answers(rng, 100, MIX), n2=2.0, n4=-2.0)
    verdict = judge(before, after)
    assert (verdict.outcome, of_class(verdict, "nut").outcome) == ("drift", "drift")
    assert [of_class(verdict, name).outcome for name in ("bolt", "gear")] == ["quiet", "quiet"]
    assert "masks of class nut: 2 of 16 signals drifted" in verdict.reason
    assert verdict.cause.startswith("class nut looks different inside its masks (texture of nut no. ")


def test_samples_without_the_insides_of_masks_are_named_and_never_quiet_about_the_class(
    rng: np.random.Generator,
) -> None:
    before = with_insides(rng, draw_answers(rng, 150, MIX))
    verdict = judge(before, draw_answers(rng, 100, MIX))
    assert {one.outcome for one in verdict.classes} == {"inconclusive"}
    assert "texture of bolt no. 1 is missing in 100 % of the samples" in verdict.reason


def test_a_baseline_from_before_the_insides_of_masks_gives_the_verdict_of_before(
    rng: np.random.Generator,
) -> None:
    before, plain = draw_answers(rng, 150, MIX), draw_answers(rng, 100, MIX)
    verdicts = [judge(before, after) for after in (plain, with_insides(rng, plain, n1=9.0, n2=9.0))]
    assert verdicts[0].signals == verdicts[1].signals
    assert verdicts[0].classes == verdicts[1].classes


def test_one_changed_property_of_a_class_is_not_enough(rng: np.random.Generator) -> None:
    after = draw_answers(rng, 100, MIX, shifts={"complexity of nut": 2.0})
    verdict = judge(draw_answers(rng, 150, MIX), after)
    assert (verdict.outcome, of_class(verdict, "nut").num_drifted) == ("quiet", 1)


def test_a_change_in_one_class_and_one_in_another_are_two_halves_of_nothing(rng: np.random.Generator) -> None:
    shifts = {"complexity of nut": 2.0, "complexity of bolt": 2.0}
    assert judge(draw_answers(rng, 150, MIX), draw_answers(rng, 100, MIX, shifts=shifts)).outcome == "quiet"


def test_a_rare_class_is_inconclusive_by_name_and_number_and_the_window_is_not(
    rng: np.random.Generator,
) -> None:
    rare = MIX | {"gear": 0.1}
    verdict = judge(draw_answers(rng, 250, rare), draw_answers(rng, 80, rare))
    told = of_class(verdict, "gear")
    assert verdict.outcome == "quiet"
    assert (told.outcome, told.num_current < 20) == ("inconclusive", True)
    assert f"class gear ({told.num_current} scenes of the window show it, 20 are needed)" in verdict.reason


def test_a_class_that_vanished_is_told_and_its_count_drifts(rng: np.random.Generator) -> None:
    verdict = judge(draw_answers(rng, 150, MIX), draw_answers(rng, 100, MIX | {"bolt": 0.0}))
    assert verdict.outcome == "drift"
    assert "bolt (it vanished: no scene of the window shows it)" in verdict.reason
    assert "count of bolt" in {one.name for one in verdict.signals if one.drifted}


def test_a_class_that_the_baseline_does_not_know_is_told(rng: np.random.Generator) -> None:
    verdict = judge(draw_answers(rng, 150, MIX), draw_answers(rng, 100, MIX | {"cog": 1.0}))
    assert of_class(verdict, "cog").reason == "the baseline does not know the class"
    assert "masks were not judged of class cog" in verdict.reason


@pytest.mark.parametrize("share_of_old", [1.0, 0.5])
def test_samples_of_an_earlier_version_count_as_not_measured_and_nothing_else(
    rng: np.random.Generator, share_of_old: float
) -> None:
    num_old = int(100 * share_of_old)
    before, new = draw_answers(rng, 150, MIX), draw_answers(rng, 100 - num_old, MIX)
    old = draw_answers(rng, num_old, MIX, without=[kind.prefix for kind in FEATURES.of_classes[1:]])
    verdict = judge(before, [*old, *new])
    assert (verdict.outcome, verdict.missing_percent) == ("quiet", 0.0)
    assert {one.outcome for one in verdict.classes} == {"inconclusive"}
    assert "of an earlier version, or it is no longer sent" in verdict.reason


def test_one_property_of_masks_that_is_no_longer_sent_is_named(rng: np.random.Generator) -> None:
    after = draw_answers(rng, 100, MIX, without=["overlap of nut"])
    verdict = judge(draw_answers(rng, 150, MIX), after)
    assert of_class(verdict, "nut").reason.startswith("overlap of nut is missing in 100 % of the samples")
    assert of_class(verdict, "bolt").outcome == "quiet"


def test_a_baseline_from_before_masks_were_measured_is_compared_without_them(
    rng: np.random.Generator,
) -> None:
    old = draw_answers(rng, 150, MIX, without=[kind.prefix for kind in FEATURES.of_classes[1:]])
    verdict = judge(old, draw_answers(rng, 100, MIX, shifts=RAGGED))
    assert (verdict.outcome, verdict.classes) == ("quiet", ())


def test_nothing_but_nan_in_a_class_is_never_quiet(rng: np.random.Generator) -> None:
    nothing = {f"{kind.prefix}nut": float("nan") for kind in FEATURES.of_classes[1:]}
    broken = [replace(one, features={**one.features, **nothing}) for one in draw_answers(rng, 100, MIX)]
    assert of_class(judge(draw_answers(rng, 150, MIX), broken), "nut").outcome == "inconclusive"


def test_constant_masks_are_fine(rng: np.random.Generator) -> None:
    def constant(drawn: list[Observation]) -> list[Observation]:
        return [replace(one, features=dict(one.features) | {"holes of nut": 0.0}) for one in drawn]

    verdict = judge(constant(draw_answers(rng, 150, MIX)), constant(draw_answers(rng, 100, MIX)))
    assert (verdict.outcome, of_class(verdict, "nut").outcome) == ("quiet", "quiet")


def test_families_share_the_whole_rate_and_a_missing_one_leaves_its_part(rng: np.random.Generator) -> None:
    parts = divide_features(baseline_of(draw_answers(rng, 5, MIX)), FEATURES).parts
    assert parts == {"pictures": 0.4, "newcomers": 0.2, "counts": 0.2, "masks": 0.2}
    alone = divide_features(baseline_of(draw_answers(rng, 5, {"bolt": 3.0})), FEATURES)
    assert not alone.counts
    assert alone.parts == pytest.approx({"pictures": 0.5, "newcomers": 0.25, "counts": 0.0, "masks": 0.25})


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_families_together_raise_no_more_false_alarms_than_stated(correlation: float) -> None:
    """At 5 %, 40 quiet windows of five classes give 2 alarms; more than 6 would come once in 300 times."""
    rng = np.random.default_rng(7)
    mix = {f"class {number}": 1.5 for number in range(5)}
    num_alarms = 0
    for _ in range(40):
        before, after = (draw_answers(rng, num, mix, correlation=correlation) for num in (100, 60))
        num_alarms += judge(before, after, BARE).outcome == "drift"
    assert num_alarms <= 6
