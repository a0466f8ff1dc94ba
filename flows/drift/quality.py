"""How good the champion's masks probably are in a window, from pictures that are kept of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from evaluation.instances import Detections, GroundTruth
from flows.evidence.evaluate import load_picture
from flows.labelling.kept_pictures import KeptPictures
from maskloop.errors import MaskloopError
from maskloop.records.kinds import QualityEstimate
from models.answering.prediction import Prediction
from models.loading.ground_truth import ground_truth
from models.ports import Predictor
from monitoring.features.feature import FeatureTable
from monitoring.features.observation import Observed
from monitoring.features.table import observe
from monitoring.quality.estimator import estimate_quality
from monitoring.quality.lessons import Lessons, ShiftedPictures, load_lessons, save_lessons, write_lessons
from monitoring.quality.shifts import CALIBRATION_SHIFTS
from monitoring.quality.signs import SHARPNESS, Signs, join_signs, no_signs, read_signs
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample
from monitoring.selection.views import View, choose_views

MIN_SCORE = 0.05
"""Detections with lower scores are not looked at."""
_BATCH_SIZE = 4
_SEEN = FeatureTable((SHARPNESS,))
_LESSONS_PER_PICTURE = 2

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WindowQuality:
    """How good each class probably is in a window.

    Attributes:
        estimates: One for each figure and class; empty if there is none.
        why_none: Why there is none, in words; empty if there are estimates.
        labels_said: What labels have said about this champion so far, as sentences.
    """

    estimates: tuple[QualityEstimate, ...] = ()
    why_none: str = ""
    labels_said: tuple[str, ...] = ()

    def beside(self, labels_said: tuple[str, ...]) -> WindowQuality:
        """Return the same, with what labels have said."""
        return replace(self, labels_said=labels_said)


SWITCHED_OFF = WindowQuality(why_none="monitoring.estimate_pictures is 0")


@dataclass(frozen=True)
class QualityEyes:
    """The champion, and the two views in which it sees a picture.

    Attributes:
        predictor: The champion.
        views: The picture as it is, and a view that should change nothing.
        max_mpx: Larger pictures are not decoded.
    """

    predictor: Predictor
    views: tuple[View, View]
    max_mpx: float

    @classmethod
    def of(cls, predictor: Predictor, *, may_mirror: bool, max_mpx: float) -> QualityEyes:
        """Choose the views: mirrored, or darker where a mirror image is of another class."""
        first, second, *_ = choose_views(may_mirror=may_mirror)
        return cls(predictor, (first, second), max_mpx)

    def look(self, pictures: Sequence[np.ndarray]) -> list[tuple[tuple[Detections, ...], Prediction]]:
        """Return the answers to pictures, uint8 (H, W, 3): in both views, and the first one whole."""
        shown = [view.show(picture) for view in self.views for picture in pictures]
        answers = self.predictor.predict(shown, min_score=MIN_SCORE)
        looked = []
        for number in range(len(pictures)):
            own = answers[number :: len(pictures)]
            brought = [view.bring_back(one.detections) for view, one in zip(self.views, own, strict=True)]
            looked.append((tuple(brought), own[0]))
        return looked

    def read(self, views: Sequence[Detections], seen: Observed, embedding_length: int) -> Signs:
        """Return the signs of one picture."""
        return read_signs(
            views,
            seen,
            num_classes=len(self.predictor.class_names),
            score_threshold=self.predictor.score_threshold,
            embedding_length=embedding_length,
        )


def estimate_window(
    samples: Sequence[Sample],
    log: SampleLog,
    version: DatasetVersion,
    held_out: Sequence[LabelledPicture],
    eyes: QualityEyes,
    file: Path,
    *,
    num_pictures: int,
    progress: Progress,
) -> WindowQuality:
    """Estimate the champion's quality in a window, learning how to the first time.

    An estimate that cannot be had must not hold up the drift verdict: the reason is returned.

    Args:
        samples: Of the window.
        log: Holds their pictures.
        version: The champion's data.
        held_out: Those of its pictures that the champion was not trained on.
        eyes: The champion.
        file: Holds what was learned.
        num_pictures: Of the window that are looked at; twice as many held-out ones are learned from.
        progress: Called with pictures done and pictures in all while it learns.
    """
    try:
        lessons = open_lessons(file, version, held_out, eyes, num=num_pictures, progress=progress)
        return WindowQuality(
            estimate_quality(lessons, look_at_samples(samples, log, eyes, lessons, num=num_pictures))
        )
    except MaskloopError as error:
        return WindowQuality(why_none=str(error))


def open_lessons(
    file: Path,
    version: DatasetVersion,
    held_out: Sequence[LabelledPicture],
    eyes: QualityEyes,
    *,
    num: int,
    progress: Progress,
) -> Lessons:
    """Read what was learned about a champion, or learn it now and keep it.

    Raises:
        IntegrityError: if what was kept is damaged, or a labelled picture is.
        PictureError: if a labelled picture cannot be decoded.
    """
    kept = load_lessons(file)
    if kept is not None and kept.weights_digest == eyes.predictor.weights_digest:
        return kept
    chosen = sorted(held_out, key=lambda one: one.digest)[: _LESSONS_PER_PICTURE * num]
    lessons = write_lessons(
        _answer_shifted(version, chosen, eyes, progress),
        weights_digest=eyes.predictor.weights_digest,
        class_names=eyes.predictor.class_names,
        score_threshold=eyes.predictor.score_threshold,
    )
    save_lessons(lessons, file)
    return lessons


def look_at_samples(
    samples: Sequence[Sample], log: SampleLog, eyes: QualityEyes, lessons: Lessons, *, num: int
) -> Signs:
    """Return the signs of kept pictures, evenly spread over a window; those that are gone are left out."""
    kept = [one for one in samples if one.picture_file is not None]
    places = np.linspace(0, max(len(kept) - 1, 0), min(num, len(kept))).round().astype(int).tolist()
    length = len(lessons.reference.embedding_mean)
    signs = [no_signs(len(lessons.class_names), length)]
    with SandboxedDecoder(DecodingLimits(max_mpx=eyes.max_mpx), eyes.predictor.conversion) as decoder:
        pictures = KeptPictures(log, decoder)
        for start in range(0, len(places), _BATCH_SIZE):
            batch = [pictures.open(kept[place]) for place in places[start : start + _BATCH_SIZE]]
            opened = [one for one in batch if one is not None]
            looked = eyes.look([one.decoded.pixels for one in opened])
            for one, (views, _) in zip(opened, looked, strict=True):
                signs.append(eyes.read(views, one.sample, length))
    return join_signs(signs)


def _answer_shifted(
    version: DatasetVersion, pictures: Sequence[LabelledPicture], eyes: QualityEyes, progress: Progress
) -> list[ShiftedPictures]:
    """Answer pictures under every known change; each is decoded once, and few are in memory at a time."""
    signs: list[list[Signs]] = [[] for _ in CALIBRATION_SHIFTS]
    detections: list[list[Detections]] = [[] for _ in CALIBRATION_SHIFTS]
    truths: list[list[GroundTruth]] = [[] for _ in CALIBRATION_SHIFTS]
    for start in range(0, len(pictures), _BATCH_SIZE):
        batch = pictures[start : start + _BATCH_SIZE]
        opened = [load_picture(version.path(one), eyes.max_mpx) for one in batch]
        labelled = [ground_truth(one) for one in batch]
        for at, shift in enumerate(CALIBRATION_SHIFTS):
            shown = [shift.show(pixels, seed=start + number) for number, pixels in enumerate(opened)]
            for pixels, truth, (views, answer) in zip(shown, labelled, eyes.look(shown), strict=True):
                seen = observe(pixels, answer.detections, (), answer.embedding, table=_SEEN)
                signs[at].append(eyes.read(views, seen, len(answer.embedding)))
                detections[at].append(views[0])
                truths[at].append(shift.move(truth))
        progress(start + len(batch), len(pictures))
    return [
        ShiftedPictures(shift.kind, join_signs(signs[at]), detections[at], truths[at])
        for at, shift in enumerate(CALIBRATION_SHIFTS)
    ]
