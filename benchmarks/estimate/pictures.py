"""Labelled pictures under known shifts, and what a champion says about them in several views.

Pictures and champions are those of `benchmarks.labelling`. A champion's answers are kept below ``runs``, so
that an estimator is tried again without asking the champion.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter

from benchmarks.labelling.photographs import see_in_other_colours
from benchmarks.labelling.pictures import NEW, OLD, Pictures
from benchmarks.labelling.training import load_picture
from dataset.labelled_pictures import LabelledPicture
from evaluation.instances import Detections, GroundTruth
from models.loading.ground_truth import ground_truth
from models.ports import Predictor
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from monitoring.quality.shifts import CALIBRATION_SHIFTS, REFERENCE, Shift
from monitoring.selection.views import VIEWS as ALL_VIEWS

RUNS: Final = Path(__file__).resolve().parent / "runs"
MIN_SCORE: Final = 0.05
VIEWS: Final = ALL_VIEWS[:2]
NUM_CALIBRATION: Final = 80
NUM_TESTED: Final = 60
_BATCH: Final = 8
NEW_SOURCE: Final = "new source"
Values = NDArray[np.float64]


def _box_blur(side_px: int) -> Shift:
    return Shift("blur", f"box {side_px} px", lambda values, _: uniform_filter(values, (side_px, side_px, 1)))


def _dark(gamma: float, gain: float) -> Shift:
    return Shift(
        "dark", f"gamma {gamma:g}, x{gain:g}", lambda values, _: 255.0 * gain * (values / 255.0) ** gamma
    )


def _shot_noise(photons: float) -> Shift:
    def change(values: Values, rng: np.random.Generator) -> Values:
        return rng.poisson(values / 255.0 * photons).astype(np.float64) * 255.0 / photons

    return Shift("noise", f"{photons:g} photons", change)


def _recolour(share: float) -> Shift:
    def change(values: Values, _: np.random.Generator) -> Values:
        other = see_in_other_colours(np.clip(np.rint(values), 0, 255).astype(np.uint8))
        mixed: Values = (1.0 - share) * values + share * other
        return mixed

    return Shift("recolour", f"{share:.0%}", change)


def _median(side_px: int) -> Shift:
    return Shift(
        "smear", f"median {side_px} px", lambda values, _: median_filter(values, (side_px, side_px, 1))
    )


TEST_SHIFTS: Final = (
    Shift(REFERENCE),
    *(_box_blur(side) for side in (3, 5, 9)),
    *(_dark(gamma, gain) for gamma, gain in ((1.3, 0.8), (1.6, 0.6), (2.0, 0.4))),
    *(_shot_noise(photons) for photons in (200.0, 50.0, 15.0)),
    *(_recolour(share) for share in (0.3, 0.6, 1.0)),
    *(Shift("zoom", f"x{factor:g}", zoom=factor) for factor in (1.2, 1.35, 0.8)),
    _median(5),
)
"""None is among those that estimators learn from, and most are made in another way."""


@dataclass(frozen=True)
class Answered:
    """One picture under one shift.

    Attributes:
        views: What the champion found in each view, in the picture's coordinates, down to `MIN_SCORE`.
        truth: What is there.
        seen: Features and embedding, as the sample log keeps them.
    """

    views: tuple[Detections, ...]
    truth: GroundTruth
    seen: Observation


def held_out_twice(pictures: Pictures) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Return pictures to learn from and pictures to test on, none of which the champion was trained on.

    The first are its validation pictures, and pictures of production's share of the old source beside them.
    """
    own = set(pictures.own)
    train = [one for one in pictures.version.by_split["train"] if one.source == OLD and one.digest not in own]
    learned = [*pictures.version.by_split["val"], *train][:NUM_CALIBRATION]
    return learned, list(pictures.held_out(OLD))[:NUM_TESTED]


def answer(
    name: str, predictor: Predictor, pictures: Pictures, chosen: Sequence[LabelledPicture], shift: Shift
) -> list[Answered]:
    """Return what the champion says about pictures under a shift; it is kept below ``runs``."""
    file = RUNS / name / f"{shift.name.replace('/', '-').replace(' ', '_')}.pickle"
    if file.exists():
        found: list[Answered] = pickle.loads(file.read_bytes())
        return found
    answered = []
    for start in range(0, len(chosen), _BATCH):
        batch = enumerate(chosen[start : start + _BATCH], start)
        answered += _answer(predictor, pictures, shift, list(batch))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(answered))
    return answered


def sets_to_answer(pictures: Pictures) -> list[tuple[str, list[LabelledPicture], Shift]]:
    """Return (role, pictures, shift) of everything the champion is asked about."""
    learned, tested = held_out_twice(pictures)
    fresh = list(pictures.held_out(NEW))[:NUM_TESTED]
    return [
        *(("calibration", learned, shift) for shift in CALIBRATION_SHIFTS),
        *(("test", tested, shift) for shift in TEST_SHIFTS),
        ("test", fresh, Shift(NEW_SOURCE)),
    ]


def _answer(
    predictor: Predictor, pictures: Pictures, shift: Shift, batch: Sequence[tuple[int, LabelledPicture]]
) -> list[Answered]:
    pixels = [shift.show(load_picture(pictures.version.path(one)), seed=seed) for seed, one in batch]
    shown = [view.show(each) for view in VIEWS for each in pixels]
    found = predictor.predict(shown, min_score=MIN_SCORE)
    answered = []
    for number, (_, one) in enumerate(batch):
        own = found[number :: len(batch)]
        views = tuple(view.bring_back(each.detections) for view, each in zip(VIEWS, own, strict=True))
        confident = views[0].select(views[0].reach(predictor.score_threshold))
        seen = observe(pixels[number], confident, predictor.class_names, own[0].embedding)
        answered.append(Answered(views, shift.move(ground_truth(one)), seen))
    return answered
