"""Whether a model in another format still says the same, instance by instance. No labels are needed.

An instance counts where at least one side is confident of it: the other may see it with a score that is just
below the threshold, which is no difference worth failing for.

Shape suffixes: N instances of the model, M of its export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections, ScoreThreshold
from evaluation.matching import TRUE_POSITIVE_IOU, assign
from maskloop.masks import mask_iou


@dataclass(frozen=True)
class PictureParity:
    """How a model and its export see one picture.

    Attributes:
        num_model: Instances the model is confident of.
        num_export: Instances the export is confident of.
        num_either: Instances at least one of them is confident of.
        iou: Mask IoU, 0.5..1, of each of these that both found, one-to-one and of one class.
        score_shift: -1..1, the export's score minus the model's, of the same instances.
    """

    num_model: int
    num_export: int
    num_either: int
    iou: tuple[float, ...]
    score_shift: tuple[float, ...]


@dataclass(frozen=True)
class Parity:
    """All pictures together.

    Attributes:
        num_pictures: How many were compared.
        num_model: Instances the model is confident of.
        num_export: Instances the export is confident of.
        num_either: Instances at least one of them is confident of.
        num_both: Of these, found by both.
        mask_iou: Mean mask IoU of what both found, 0..1; 0 if that is nothing.
        largest_score_shift: Largest difference of a score of what both found.
    """

    num_pictures: int
    num_model: int
    num_export: int
    num_either: int
    num_both: int
    mask_iou: float
    largest_score_shift: float

    @property
    def share_both(self) -> float:
        """0..1, of the instances of either those found by both; 0 without instances."""
        return self.num_both / self.num_either if self.num_either else 0.0


def compare_pictures(
    model: Detections, export: Detections, *, score_threshold: ScoreThreshold
) -> PictureParity:
    """Compare two answers about one picture, all scores included.

    Raises:
        ValueError: if the two are not of one picture size.
    """
    if (model.height_px, model.width_px) != (export.height_px, export.width_px):
        raise ValueError("two answers about one picture must be of its size")
    sure_N, sure_M = model.reach(score_threshold), export.reach(score_threshold)
    iou_NM = _iou(model, export)
    rows, columns = assign(_worth(iou_NM, sure_N, sure_M))
    num_sure_pairs = int((sure_N[rows] & sure_M[columns]).sum())
    num_model, num_export = int(sure_N.sum()), int(sure_M.sum())
    return PictureParity(
        num_model,
        num_export,
        num_model + num_export - num_sure_pairs,
        tuple(iou_NM[rows, columns].tolist()),
        tuple((export.scores[columns] - model.scores[rows]).tolist()),
    )


def summarise_parity(pictures: Sequence[PictureParity]) -> Parity:
    """Sum over pictures; every instance has the same weight."""
    iou = [each for picture in pictures for each in picture.iou]
    shifts = [abs(each) for picture in pictures for each in picture.score_shift]
    return Parity(
        num_pictures=len(pictures),
        num_model=sum(picture.num_model for picture in pictures),
        num_export=sum(picture.num_export for picture in pictures),
        num_either=sum(picture.num_either for picture in pictures),
        num_both=len(iou),
        mask_iou=float(np.mean(iou)) if iou else 0.0,
        largest_score_shift=max(shifts, default=0.0),
    )


def find_disparities(parity: Parity, *, required: float) -> tuple[str, ...]:
    """Say what keeps an export from standing in for its model; nothing if it may.

    Two figures must reach ``required`` (0..1): the mask IoU of what both found, and the share of all
    instances that both found. Without a single instance nothing was shown.

    >>> find_disparities(Parity(9, 0, 0, 0, 0, 0.0, 0.0), required=0.98)
    ('neither found an instance in 9 pictures, so nothing was compared',)
    """
    if not parity.num_either:
        return (f"neither found an instance in {parity.num_pictures} pictures, so nothing was compared",)
    figures = {
        "the mask IoU of what both found": parity.mask_iou,
        "the share found by both": parity.share_both,
    }
    return tuple(
        f"{name} is {measured:.4f}, and {required:g} is required"
        for name, measured in figures.items()
        if not measured >= required
    )


def _worth(
    iou_NM: NDArray[np.float64], sure_N: NDArray[np.bool_], sure_M: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return float64 (N, M), what each pair is worth in an assignment; 0 if it is none.

    A pair that both are confident of is worth more than any number of others: else two nearly equal masks,
    one below the threshold, could change partners and be counted as two.
    """
    is_pair_NM = (iou_NM >= TRUE_POSITIVE_IOU) & (sure_N[:, None] | sure_M[None, :])
    is_sure_NM = sure_N[:, None] & sure_M[None, :]
    return np.where(is_pair_NM, iou_NM + is_sure_NM * float(sum(iou_NM.shape)), 0.0)


def _iou(model: Detections, export: Detections) -> NDArray[np.float64]:
    """Return float64 (N, M), 0 for other classes."""
    same_class_NM = model.class_indices[:, None] == export.class_indices[None, :]
    return np.where(same_class_NM, mask_iou(model.masks, export.masks), 0.0)
