"""A window of several sources, judged as a whole and source by source."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED
from monitoring.drift.sources import JudgedSources, KnownSource, judge_window
from monitoring.drift.verdict import threshold_digest
from monitoring.features.observation import Observation
from monitoring.samples.windows import Window
from tests.fakes.drift_data import baseline_of, draw, window_of

SETTINGS = MonitoringSettings()
FEW_OF_CAMERA_5 = {"camera 1": KnownSource(120, 40), "camera 5": KnownSource(50, 17)}
TOO_FEW = (
    "camera 5 is known, but only 17 of its 50 labelled pictures are held out: its drift cannot be judged"
    " until 50 are, so label about 98 more"
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def mixed(rng: np.random.Generator, parts: dict[str, list[Observation]]) -> Window:
    """Return the pictures of several sources in a random order, a minute apart."""
    told = [(source, one) for source, seen in parts.items() for one in seen]
    told = [told[number] for number in rng.permutation(len(told))]
    samples = window_of([one for _, one in told]).samples
    return Window(
        "w1",
        tuple(
            replace(sample, source=source, received_at=sample.received_at - timedelta(minutes=number))
            for number, (sample, (source, _)) in enumerate(zip(samples, told, strict=True))
        ),
    )


def one_camera(rng: np.random.Generator) -> dict[str, Baseline]:
    return {POOLED: baseline_of(draw(rng, 120))}


def two_cameras(rng: np.random.Generator) -> dict[str, Baseline]:
    first, second = draw(rng, 100), draw(rng, 100, shift_sd=2.0)
    return {
        POOLED: baseline_of([*first, *second]),
        "camera 1": baseline_of(first),
        "camera 2": baseline_of(second),
    }


def new_camera(rng: np.random.Generator, *, named: bool) -> JudgedSources:
    """Judge 160 samples as ever and 40 of a camera that moves every feature by 1.5 standard deviations."""
    name = "camera 9" if named else "camera 1"
    parts = {"camera 1": draw(rng, 160), name: draw(rng, 40, shift_sd=1.5)}
    if not named:
        parts = {"camera 1": [*draw(rng, 160), *draw(rng, 40, shift_sd=1.5)]}
    return judge_window(one_camera(rng), mixed(rng, parts), SETTINGS)


def test_a_new_camera_that_sends_a_fifth_of_the_window_is_seen_and_named(rng: np.random.Generator) -> None:
    found = [new_camera(rng, named=True) for _ in range(15)]
    assert sum([one.source for one in judged.drifted] == ["camera 9"] for judged in found) >= 14
    verdict = found[0].deciding.verdict
    assert verdict.outcome == "drift"
    assert verdict.reason.startswith("camera 9 (40 of 200 samples, 20 %, since 2026-03-01 ")
    assert "UTC or earlier, version 3): " in verdict.reason
    assert verdict.cause.startswith("camera 9 (40 of 200 samples")
    assert (verdict.num_samples, verdict.threshold_digest) == (200, threshold_digest(SETTINGS))


def test_quiet_sources_are_no_alarm(rng: np.random.Generator) -> None:
    """At a stated 1 %, 30 windows of four sources give at most 2 alarms."""
    alarms = 0
    for _ in range(30):
        window = mixed(rng, {f"camera {number}": draw(rng, 50) for number in range(4)})
        alarms += judge_window(one_camera(rng), window, SETTINGS).deciding.verdict.outcome == "drift"
    assert alarms <= 2


def test_known_sources_in_new_proportions_are_a_change_of_mix(rng: np.random.Generator) -> None:
    window = mixed(rng, {"camera 1": draw(rng, 30), "camera 2": draw(rng, 170, shift_sd=2.0)})
    found = judge_window(two_cameras(rng), window, SETTINGS)
    assert found.deciding.verdict.outcome == "quiet"
    assert found.drifted == ()
    mixed_up = replace(window, samples=tuple(replace(one, source="all") for one in window.samples))
    alone = judge_window(two_cameras(rng), mixed_up, SETTINGS)
    if alone.deciding.verdict.outcome == "drift":
        assert "the mix of known sources changed (camera 2 50 % → 85 %" in found.deciding.verdict.reason


def test_a_mix_that_fits_no_single_reference_is_told_with_its_shares(rng: np.random.Generator) -> None:
    """70 % of the samples are of a camera that has 10 % of the champion's pictures."""
    first, second = draw(rng, 450), draw(rng, 60, shift_sd=3.0)
    references = {
        POOLED: baseline_of([*first, *second]),
        "camera 1": baseline_of(first),
        "camera 2": baseline_of(second),
    }
    window = mixed(rng, {"camera 1": draw(rng, 80), "camera 2": draw(rng, 120, shift_sd=3.0)})
    verdict = judge_window(references, window, SETTINGS).deciding.verdict
    assert verdict.outcome == "quiet"
    assert verdict.reason == (
        "the mix of known sources changed (camera 2 12 % → 60 %, camera 1 88 % → 40 %), and each is as it was"
    )


def test_a_source_with_too_few_pictures_of_its_own_is_not_judged_by_itself(rng: np.random.Generator) -> None:
    references = one_camera(rng)
    window = mixed(rng, {"camera 1": draw(rng, 160), "camera 5": draw(rng, 40, shift_sd=1.5)})
    found = judge_window(references, window, SETTINGS, known=FEW_OF_CAMERA_5)
    assert found.sources[0].why_not.startswith("camera 1 is known, but only 40 of its 120 labelled pictures")
    assert found.sources[1].why_not == TOO_FEW
    assert found.drifted == ()


def test_a_window_of_a_known_source_with_too_few_pictures_is_inconclusive_and_says_what_it_lacks(
    rng: np.random.Generator,
) -> None:
    alone = replace(
        (few := window_of(draw(rng, 100, shift_sd=1.5))),
        samples=tuple(replace(one, source="camera 5") for one in few.samples),
    )
    references = one_camera(rng)
    assert judge_window(references, alone, SETTINGS).deciding.verdict.outcome == "drift"
    found = judge_window(references, alone, SETTINGS, known=FEW_OF_CAMERA_5)
    verdict = found.deciding.verdict
    assert (verdict.outcome, verdict.reason, verdict.cause) == ("inconclusive", TOO_FEW, "")
    assert found.left_out == ("camera 5",)


def test_such_a_source_is_quiet_where_it_looks_like_the_others(rng: np.random.Generator) -> None:
    alone = replace(
        (few := window_of(draw(rng, 100))),
        samples=tuple(replace(one, source="camera 5") for one in few.samples),
    )
    found = judge_window(one_camera(rng), alone, SETTINGS, known=FEW_OF_CAMERA_5)
    assert (found.deciding.verdict.outcome, found.left_out) == ("quiet", ())


@pytest.mark.parametrize(
    ("num_first", "shift_sd", "outcome"),
    [(120, 0.0, "quiet"), (120, 1.5, "drift"), (15, 0.0, "inconclusive")],
)
def test_the_other_sources_are_judged_without_it(
    rng: np.random.Generator, num_first: int, shift_sd: float, outcome: str
) -> None:
    """Camera 1 has a reference. 15 of its samples are too few for a verdict without those of camera 5."""
    own = baseline_of(draw(rng, 120))
    references = {POOLED: own, "camera 1": own}
    parts = {
        "camera 1": draw(rng, num_first, shift_sd=shift_sd),
        "camera 5": draw(rng, 80, shift_sd=3.0),
    }
    window = mixed(rng, parts)
    found = judge_window(references, window, SETTINGS, known=FEW_OF_CAMERA_5)
    verdict = found.deciding.verdict
    assert (verdict.outcome, found.left_out) == (outcome, ("camera 5",))
    assert verdict.reason.endswith(TOO_FEW)
    assert (verdict.window_id, verdict.num_samples) == (window.window_id, num_first + 80)
    assert verdict.num_scenes > 0.8 * verdict.num_samples
    assert [one.source for one in found.drifted] == (["camera 1"] if outcome == "drift" else [])


def test_an_unknown_source_alarms_beside_such_a_source(rng: np.random.Generator) -> None:
    parts = {"camera 5": draw(rng, 80, shift_sd=3.0), "camera 9": draw(rng, 40, shift_sd=1.5)}
    found = judge_window(one_camera(rng), mixed(rng, parts), SETTINGS, known=FEW_OF_CAMERA_5)
    assert found.deciding.verdict.outcome == "drift"
    assert [one.source for one in found.drifted] == ["camera 9"]
    assert found.left_out == ("camera 5",)


def test_the_only_source_of_a_champion_is_judged_by_itself(rng: np.random.Generator) -> None:
    parts = {"camera 1": draw(rng, 60, shift_sd=1.5), "camera 9": draw(rng, 60)}
    found = judge_window(
        one_camera(rng), mixed(rng, parts), SETTINGS, known={"camera 1": KnownSource(120, 40)}
    )
    assert [one.source for one in found.drifted] == ["camera 1"]


@pytest.mark.parametrize(
    ("known", "end"),
    [
        (KnownSource(50, 17), "until 50 are, so label about 98 more"),
        (KnownSource(10, 0), "until 50 are, so label at least 50 more"),
        (KnownSource(200, 60), "its drift cannot be judged"),
    ],
)
def test_the_number_of_labels_to_add_follows_the_share_held_out_so_far(known: KnownSource, end: str) -> None:
    """33 more held-out pictures, of which 17 in 50 are: 33 · 50 / 17 = 97.06 labels."""
    assert known.tell_too_few("camera 5", 50).endswith(end)


def test_few_samples_of_a_source_are_named_as_too_few(rng: np.random.Generator) -> None:
    window = mixed(rng, {"camera 1": draw(rng, 181), "camera 9": draw(rng, 19, shift_sd=5.0)})
    found = judge_window(one_camera(rng), window, SETTINGS)
    assert [one.source for one in found.sources] == ["camera 1", "camera 9"]
    assert found.sources[1].why_not == "too few scenes: about 19 of 20"


def test_frames_of_a_source_need_as_many_scenes_as_a_window(rng: np.random.Generator) -> None:
    film = [one for one in draw(rng, 12, shift_sd=1.0) for _ in range(5)]
    window = window_of([*draw(rng, 140), *film])
    told = replace(
        window,
        samples=tuple(
            replace(one, source="film" if number >= 140 else "camera 1")
            for number, one in enumerate(window.samples)
        ),
    )
    found = judge_window(one_camera(rng), told, SETTINGS)
    assert found.drifted == ()
    assert found.sources[1].why_not.endswith("of 45")


def test_samples_of_one_source_are_judged_once(rng: np.random.Generator) -> None:
    found = judge_window(one_camera(rng), window_of(draw(rng, 60)), SETTINGS)
    assert found.sources == ()
    assert found.deciding.verdict.outcome == "quiet"


def test_samples_without_a_source_are_of_one(rng: np.random.Generator) -> None:
    window = window_of(draw(rng, 60, shift_sd=1.5))
    unnamed = replace(window, samples=tuple(replace(one, source="") for one in window.samples))
    assert judge_window(one_camera(rng), unnamed, SETTINGS).deciding.verdict.outcome == "drift"
