"""The ways of choosing that a learning curve compares: at random, by one idea alone, and all together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.labelling.diversity import pick_diverse, scale_points
from benchmarks.labelling.pictures import Pictures
from benchmarks.labelling.training import load_picture
from dataset.labelled_pictures import LabelledPicture
from maskloop.settings.workspace_settings import Settings
from models.answering.predictor import TorchPredictor
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.verdict import judge_drift
from monitoring.features.table import observe
from monitoring.samples.values import Sample, measure
from monitoring.samples.windows import Window
from monitoring.selection.candidates import (
    Candidate,
    Context,
    best_candidates,
    lower_bound,
    rate_candidates,
    with_uncertainty,
)
from monitoring.selection.carriers import find_carriers
from monitoring.selection.choice import divide, draw_at_random, pick_best
from monitoring.selection.class_need import rate_classes
from monitoring.selection.uncertainty import measure_uncertainty
from monitoring.selection.views import VIEWS

RANDOM_PERCENT: Final = 20.0
POOL_FACTOR: Final = 5
_LONG_AGO: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Production:
    """The champion's view of production.

    Attributes:
        candidates: All pictures, rated by views, by digest.
        stored: The same, rated by what the sample log would hold.
        verdict: The drift verdict as a sentence.
        carriers: The pictures of the window that carry the alarm, the first ones most, by digest.
    """

    candidates: tuple[Candidate, ...]
    stored: tuple[Candidate, ...]
    verdict: str
    carriers: tuple[str, ...] = ()


def look_at_production(champion: Path, pictures: Pictures, settings: Settings, *, seed: int) -> Production:
    """Let the champion answer all of production in every view, and judge its drift."""
    predictor = TorchPredictor.load(champion, device="cpu")
    by_digest = {one.digest: one for one in pictures.version.pictures}
    samples = [_answer(predictor, by_digest[digest], pictures) for digest in pictures.pool]
    newest = np.random.default_rng(seed).permutation(len(samples))[: settings.monitoring.window_samples]
    baseline = _measure_own(predictor, pictures)
    window = Window(predictor.weights_digest, tuple(samples[index] for index in newest))
    verdict = judge_drift(baseline, window, settings.monitoring)
    labelled = [one for picture in pictures.version.by_split["train"] for one in _classes(picture, pictures)]
    needs = rate_classes({name: labelled.count(name) for name in pictures.version.class_names}, {})
    drifted = verdict.signals if verdict.outcome == "drift" else ()
    context = Context(baseline, drifted, needs, lower_bound(predictor.score_threshold))
    stored = rate_candidates(samples, context)
    viewed = [
        _view(predictor, one, by_digest[one.sample.picture_digest], pictures, context) for one in stored
    ]
    carriers = find_carriers(drifted, baseline, window.samples)
    return Production(
        tuple(viewed),
        tuple(stored),
        f"{verdict.outcome}: {verdict.cause or verdict.reason}",
        tuple(one.sample_id for one in carriers.samples) if carriers else (),
    )


def choose_at_random(production: Production, num: int, seed: int) -> list[str]:
    """Choose uniformly."""
    samples = [one.sample for one in production.candidates]
    return [one.picture_digest for one in draw_at_random(samples, num, seed=seed, take=lambda _: True)]


def choose_uncertain(production: Production, num: int, seed: int) -> list[str]:
    """Choose what the champion is least sure of, and nothing else counts."""
    del seed  # nothing is drawn
    ordered = sorted(
        production.candidates, key=lambda one: (-one.uncertainty.total, one.sample.picture_digest)
    )
    return [one.sample.picture_digest for one in ordered[:num]]


def choose_diverse(production: Production, num: int, seed: int) -> list[str]:
    """Choose what is farthest from all that is chosen, from a first picture at random."""
    names = [one.sample.picture_digest for one in production.candidates]
    scores = np.ones(len(names))
    scores[np.random.default_rng(seed).integers(len(names))] = 1.0 + 1e-9
    points = scale_points([one.sample.embedding for one in production.candidates])
    return [names[index] for index in pick_diverse(scores, points, names, num)]


def choose_combined(production: Production, num: int, seed: int) -> list[str]:
    """Choose as `maskloop label request` does without an alarm."""
    drawn, shortlist = _shortlist(production, num, seed)
    best = pick_best(shortlist, num - len(drawn), take=lambda _: True)
    return [*drawn, *(one.sample.picture_digest for one in best)]


def choose_distant(production: Production, num: int, seed: int) -> list[str]:
    """Choose as `choose_combined`, by the product of score and distance to those chosen."""
    drawn, shortlist = _shortlist(production, num, seed)
    points = scale_points([one.sample.embedding for one in shortlist])
    names = [one.sample.picture_digest for one in shortlist]
    scores = np.array([one.score for one in shortlist])
    return [*drawn, *(names[index] for index in pick_diverse(scores, points, names, num - len(drawn)))]


def choose_carriers(production: Production, num: int, seed: int) -> list[str]:
    """Choose as `choose_combined`, but first the pictures that carry most of the alarm, the most first."""
    drawn, first = _draw_and_carriers(production, num, seed)
    return _fill_up(production, [*drawn, *first][:num], num)


def choose_rated_carriers(production: Production, num: int, seed: int) -> list[str]:
    """Choose as `maskloop label request` does: first, of the carriers, those with the highest scores."""
    drawn, first = _draw_and_carriers(production, num, seed)
    viewed = {one.sample.picture_digest: one for one in production.candidates}
    best = best_candidates([viewed[one] for one in first], num - len(drawn))
    return _fill_up(production, [*drawn, *(one.sample.picture_digest for one in best)], num)


def _draw_and_carriers(production: Production, num: int, seed: int) -> tuple[list[str], list[str]]:
    drawn, _ = _shortlist(production, num, seed)
    return drawn, [one for one in production.carriers if one not in drawn]


def _fill_up(production: Production, chosen: list[str], num: int) -> list[str]:
    """Add the best by the usual rule until there are enough."""
    left = [one for one in production.stored if one.sample.picture_digest not in chosen]
    viewed = {one.sample.picture_digest: one for one in production.candidates}
    missing = num - len(chosen)
    shortlist = [viewed[one.sample.picture_digest] for one in best_candidates(left, POOL_FACTOR * missing)]
    best = pick_best(shortlist, missing, take=lambda _: True)
    return [*chosen, *(one.sample.picture_digest for one in best)]


def _shortlist(production: Production, num: int, seed: int) -> tuple[list[str], list[Candidate]]:
    """Return what is drawn at random, and of the others the best by stored scores, rated by views."""
    num_random, num_best = divide(num, RANDOM_PERCENT, len(production.stored))
    samples = [one.sample for one in production.stored]
    drawn = {
        one.picture_digest for one in draw_at_random(samples, num_random, seed=seed, take=lambda _: True)
    }
    left = [one for one in production.stored if one.sample.picture_digest not in drawn]
    viewed = {one.sample.picture_digest: one for one in production.candidates}
    shortlist = best_candidates(left, POOL_FACTOR * num_best)
    return sorted(drawn), [viewed[one.sample.picture_digest] for one in shortlist]


WAYS: Final[dict[str, Callable[[Production, int, int], list[str]]]] = {
    "random": choose_at_random,
    "uncertainty": choose_uncertain,
    "diversity": choose_diverse,
    "combination": choose_combined,
    "with distance": choose_distant,
    "carriers": choose_carriers,
    "rated carriers": choose_rated_carriers,
}


def _answer(predictor: TorchPredictor, picture: LabelledPicture, pictures: Pictures) -> Sample:
    pixels = load_picture(pictures.version.path(picture))
    (found,) = predictor.predict([pixels])
    sample = Sample(
        sample_id=picture.digest,
        received_at=_LONG_AGO,
        model_version="1",
        weights_digest=predictor.weights_digest,
        picture_digest=picture.digest,
        source=picture.source,
        features={},
        picture_file=picture.file,
    )
    return measure(
        sample,
        pixels,
        found.detections,
        predictor.class_names,
        score_threshold=predictor.score_threshold,
        embedding=found.embedding,
    )


def _measure_own(predictor: TorchPredictor, pictures: Pictures) -> Baseline:
    observed = []
    for picture in pictures.version.by_split["val"]:
        pixels = load_picture(pictures.version.path(picture))
        (found,) = predictor.predict([pixels])
        sure = found.detections.select(found.detections.reach(predictor.score_threshold))
        observed.append(observe(pixels, sure, predictor.class_names, found.embedding))
    return build_baseline(
        observed, weights_digest=predictor.weights_digest, data_fingerprint=pictures.version.fingerprint
    )


def _view(
    predictor: TorchPredictor,
    candidate: Candidate,
    picture: LabelledPicture,
    pictures: Pictures,
    context: Context,
) -> Candidate:
    pixels = load_picture(pictures.version.path(picture))
    shown = [view.show(pixels) for view in VIEWS]
    answers = predictor.predict(shown, min_score=context.min_score)
    found = [view.bring_back(answer.detections) for view, answer in zip(VIEWS, answers, strict=True)]
    uncertainty = measure_uncertainty(
        found, num_classes=len(predictor.class_names), empty_share=context.empty_share
    )
    return with_uncertainty(candidate, uncertainty)


def _classes(picture: LabelledPicture, pictures: Pictures) -> Sequence[str]:
    if picture.digest not in set(pictures.own):
        return ()
    return [pictures.version.class_names[one.class_index] for one in picture.instances]
