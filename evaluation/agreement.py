"""How much two answers about one picture agree, or an answer with a person's annotation.

Without annotations, the challenger is compared with the champion. A perfect model agrees with
the champion exactly as much as the champion agrees with the truth, and a model that errs where the champion
errs agrees more: so demanding a little less than the champion's own agreement with the truth never stops a
better model, and a worse one falls short of it.

Shape suffixes: N instances of one side, M of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, GroundTruth, ScoreThreshold
from evaluation.matching import CROWD_OVERLAP, TRUE_POSITIVE_IOU, assign
from maskloop.masks import Rle, mask_iou


@dataclass(frozen=True)
class Agreement:
    """How two sides see one picture.

    Attributes:
        agreement: 0..1, the summed IoU of instances assigned one-to-one within a class, divided by the number
            of instances of the side that has more; 1 if neither has any.
        num_reference: Instances of the first side.
        num_other: Instances of the second side.
        num_matched: Found by both with an IoU of at least 0.5, whatever the class.
        num_flipped: Of these, named differently.
        count_shift: -1..1, (other - reference) / the larger number; 0 if neither has any.
        score_shift: -1..1, mean of the other's score minus the reference's over what both found; 0 if
            nothing.
    """

    agreement: float
    num_reference: int
    num_other: int
    num_matched: int
    num_flipped: int
    count_shift: float
    score_shift: float

    @property
    def flip_share(self) -> float:
        """0..1, of the instances found by both those named differently; 0 if both found none."""
        return self.num_flipped / self.num_matched if self.num_matched else 0.0


@dataclass(frozen=True)
class PerfectChallenger:
    """What a model that sees the truth would show beside a champion, in the source where they differ most.

    A rollout's limits start from here: whatever they are, a perfect challenger must pass them.

    Attributes:
        agreement: 0..1, the lowest of any source.
        lowest_count_shift: -1..0, of any source; 0 if the truth has no fewer instances anywhere.
        highest_count_shift: 0..1, of any source; 0 if the truth has no more instances anywhere.
        class_flips: 0..1, the largest share of any source.
        num_pictures: How many were compared.
    """

    agreement: float
    lowest_count_shift: float
    highest_count_shift: float
    class_flips: float
    num_pictures: int


@dataclass(frozen=True)
class _Side:
    masks: tuple[Rle, ...]
    class_indices: NDArray[np.int64]
    scores: NDArray[np.float64]


def compare_answers(
    reference: Detections, other: Detections, *, score_threshold: ScoreThreshold
) -> Agreement:
    """Compare two models' answers about one picture; detections below the threshold are left out.

    Raises:
        ValueError: if the two are not of one picture size.
    """
    if (reference.height_px, reference.width_px) != (other.height_px, other.width_px):
        raise ValueError("two answers about one picture must be of its size")
    return _compare(_confident(reference, score_threshold), _confident(other, score_threshold))


def compare_with_truth(
    truth: GroundTruth, detections: Detections, *, score_threshold: ScoreThreshold
) -> Agreement:
    """Compare an answer with a person's annotation, by the same figure.

    Nobody has to find a crowd region, and detections at least half inside one of their class are forgiven.

    Raises:
        ValueError: if the two are not of one picture size.
    """
    if (truth.height_px, truth.width_px) != (detections.height_px, detections.width_px):
        raise ValueError(f"picture {truth.picture_id}: detections of another size")
    found = _confident(_without_crowd(truth, detections), score_threshold)
    regular = np.flatnonzero(~truth.is_crowd)
    masks = tuple(truth.masks[index] for index in regular)
    return _compare(_Side(masks, truth.class_indices[regular], np.ones(len(masks))), found)


def describe_perfect_challenger(
    compared: Sequence[Agreement], sources: Sequence[str], *, min_pictures: int
) -> PerfectChallenger | None:
    """Summarise a champion's agreement with the truth, as if the truth were its challenger.

    Args:
        compared: One of `compare_with_truth` for each picture; the truth is the reference there.
        sources: Where each picture comes from. A champion may be good at one camera and bad at another, and
            nobody knows which of them production will send.
        min_pictures: Sources with fewer pictures count only in all pictures together.

    Returns:
        None without pictures.
    """
    if not compared:
        return None
    groups = [
        [one for one, source in zip(compared, sources, strict=True) if source == name]
        for name in dict.fromkeys(sources)
    ]
    groups = [list(compared), *(group for group in groups if len(group) >= min_pictures)]
    shifts = [-float(np.mean([one.count_shift for one in group])) for group in groups]
    return PerfectChallenger(
        agreement=min(float(np.mean([one.agreement for one in group])) for group in groups),
        lowest_count_shift=min(0.0, *shifts),
        highest_count_shift=max(0.0, *shifts),
        class_flips=max(float(np.mean([one.flip_share for one in group])) for group in groups),
        num_pictures=len(compared),
    )


def _compare(reference: _Side, other: _Side) -> Agreement:
    num_reference, num_other = len(reference.masks), len(other.masks)
    larger = max(num_reference, num_other)
    if larger == 0:
        return Agreement(1.0, 0, 0, 0, 0, 0.0, 0.0)
    iou_NM = mask_iou(reference.masks, other.masks)
    same_class_NM = reference.class_indices[:, None] == other.class_indices[None, :]
    rows, columns = assign(np.where(same_class_NM, iou_NM, 0.0))
    agreement = float((iou_NM[rows, columns]).sum()) / larger
    rows, columns = assign(np.where(iou_NM >= TRUE_POSITIVE_IOU, iou_NM, 0.0))
    flipped = ~same_class_NM[rows, columns]
    score_shift = other.scores[columns] - reference.scores[rows]
    return Agreement(
        agreement=min(agreement, 1.0),
        num_reference=num_reference,
        num_other=num_other,
        num_matched=len(rows),
        num_flipped=int(flipped.sum()),
        count_shift=(num_other - num_reference) / larger,
        score_shift=float(score_shift.mean()) if len(rows) else 0.0,
    )


def _confident(detections: Detections, score_threshold: ScoreThreshold) -> _Side:
    kept = detections.select(detections.reach(score_threshold))
    return _Side(kept.masks, kept.class_indices, kept.scores.astype(np.float64))


def _without_crowd(truth: GroundTruth, detections: Detections) -> Detections:
    crowds = np.flatnonzero(truth.is_crowd)
    if not crowds.size or not len(detections):
        return detections
    inside_NM = mask_iou(detections.masks, [truth.masks[index] for index in crowds], [True] * len(crowds))
    same_class_NM = detections.class_indices[:, None] == truth.class_indices[crowds][None, :]
    return detections.select(~((inside_NM >= CROWD_OVERLAP) & same_class_NM).any(axis=1))
