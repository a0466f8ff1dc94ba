"""What a model said about one picture, and what a person said.

``class_indices`` count from 0 into the class names of the data set and the model, which are the same list.
Shape suffixes: N detections, M annotated instances, H and W the picture in px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.masks import Rle, decode_masks

NUM_INSIDES: Final = 8
"""Numbers that say what the network's features are like inside a mask."""

ScoreThreshold = float | tuple[float, ...]
"""The score from which on a detection counts, 0..1: one for all classes, or each class's own."""


@dataclass(frozen=True)
class Detections:
    """The instances a model found in one picture, best score first.

    Attributes:
        height_px: The picture's height.
        width_px: The picture's width.
        boxes_xyxy: float32 (N, 4), pixels, ``x0 <= x1`` and ``y0 <= y1``, finite.
        scores: float32 (N,), 0..1, not increasing.
        class_indices: int64 (N,), from 0.
        masks: N masks of the picture's size.
        insides: float32 (N, `NUM_INSIDES`), what the network's features are like inside each mask; None where
            that was not kept: in answers that were read back from a record, or made by something else.

    Raises:
        ValueError: if the lengths differ or a number is not finite. Such a model must not look like a
            quiet one: pycocotools scores NaN boxes as a perfect detector.
    """

    height_px: int
    width_px: int
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_indices: NDArray[np.int64]
    masks: tuple[Rle, ...]
    insides: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.masks)
        if self.insides is not None and self.insides.shape != (count, NUM_INSIDES):
            raise ValueError(f"{count} masks, insides {self.insides.shape}")
        if self.boxes_xyxy.shape != (count, 4) or self.scores.shape != (count,):
            raise ValueError(f"{count} masks, boxes {self.boxes_xyxy.shape}, scores {self.scores.shape}")
        if self.class_indices.shape != (count,):
            raise ValueError(f"{count} masks, class_indices {self.class_indices.shape}")
        if not np.isfinite(self.boxes_xyxy).all() or not np.isfinite(self.scores).all():
            raise ValueError("a box or a score is not finite")
        if any((mask.height_px, mask.width_px) != (self.height_px, self.width_px) for mask in self.masks):
            raise ValueError("a mask is not of the picture's size")

    def __len__(self) -> int:
        return len(self.masks)

    def reclassified(self, index_of: Sequence[int]) -> Detections:
        """Return the detections in other classes.

        Args:
            index_of: The new index of each old class; below 0 for those that are left out.
        """
        indices = np.asarray(index_of, dtype=np.int64)[self.class_indices]
        kept = np.flatnonzero(indices >= 0)
        return Detections(
            self.height_px,
            self.width_px,
            self.boxes_xyxy[kept],
            self.scores[kept],
            indices[kept],
            tuple(self.masks[number] for number in kept),
            None if self.insides is None else self.insides[kept],
        )

    def masks_NHW(self) -> NDArray[np.bool_]:  # noqa: N802
        """Return the masks as bool (N, H, W)."""
        return decode_masks(self.masks, height_px=self.height_px, width_px=self.width_px)

    def reach(self, threshold: ScoreThreshold) -> NDArray[np.bool_]:
        """Return which detections have the threshold's score or more, bool (N,)."""
        wanted = np.asarray(threshold, dtype=self.scores.dtype)
        is_reached: NDArray[np.bool_] = self.scores >= (wanted[self.class_indices] if wanted.ndim else wanted)
        return is_reached

    def select(self, keep: NDArray[np.bool_]) -> Detections:
        """Return the detections where ``keep``, bool (N,), is true."""
        return Detections(
            self.height_px,
            self.width_px,
            self.boxes_xyxy[keep],
            self.scores[keep],
            self.class_indices[keep],
            tuple(mask for mask, kept in zip(self.masks, keep, strict=True) if kept),
            None if self.insides is None else self.insides[keep],
        )


@dataclass(frozen=True)
class GroundTruth:
    """The annotated instances of one picture.

    Attributes:
        picture_id: The picture's sha256.
        source: Where the picture comes from (a camera, a site, a batch); gates look at each source alone.
        height_px: The picture's height.
        width_px: The picture's width.
        class_indices: int64 (M,), from 0.
        masks: M masks of the picture's size.
        is_crowd: bool (M,); a crowd region forgives detections and is never itself missed.

    Raises:
        ValueError: if the lengths differ or a mask is not of the picture's size.
    """

    picture_id: str
    source: str
    height_px: int
    width_px: int
    class_indices: NDArray[np.int64]
    masks: tuple[Rle, ...]
    is_crowd: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.masks),)
        if self.class_indices.shape != shape or self.is_crowd.shape != shape:
            raise ValueError(
                f"{shape[0]} masks, class_indices {self.class_indices.shape}, is_crowd {self.is_crowd.shape}"
            )
        if any((mask.height_px, mask.width_px) != (self.height_px, self.width_px) for mask in self.masks):
            raise ValueError("a mask is not of the picture's size")


@dataclass(frozen=True)
class IouTable:
    """Per picture and class: how well each annotated instance was covered. The input of every gate.

    The gated figure, class mask IoU, is ``iou_sum.sum(0) / num_instances.sum(0)``: within each picture and
    class, detections with a score of at least ``score_threshold`` are assigned one-to-one to the annotated
    non-crowd instances so that the summed IoU is largest; a missed instance counts 0. Detections left over,
    and those assigned with an IoU below 0.5, are false positives, reported beside it.

    Attributes:
        class_names: C names.
        picture_ids: P sha256 digests, all different, sorted.
        sources: P source names.
        score_threshold: Lowest score that was matched; each class's own if the model has calibrated ones.
        iou_sum: float64 (P, C), sum of matched IoU.
        num_instances: int64 (P, C), annotated non-crowd instances.
        num_true_positives: int64 (P, C), matched with IoU of at least 0.5.
        num_false_positives: int64 (P, C).
    """

    class_names: tuple[str, ...]
    picture_ids: tuple[str, ...]
    sources: tuple[str, ...]
    score_threshold: ScoreThreshold
    iou_sum: NDArray[np.float64]
    num_instances: NDArray[np.int64]
    num_true_positives: NDArray[np.int64]
    num_false_positives: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = (len(self.picture_ids), len(self.class_names))
        arrays = (self.iou_sum, self.num_instances, self.num_true_positives, self.num_false_positives)
        if any(array.shape != shape for array in arrays) or len(self.sources) != shape[0]:
            raise ValueError(f"every array must be of shape {shape}")
        if list(self.picture_ids) != sorted(set(self.picture_ids)):
            raise ValueError("picture ids must be different and sorted")

    def class_iou(self) -> NDArray[np.float64]:
        """Return each class's mask IoU, float64 (C,), 0..1; NaN for a class without instances."""
        count = self.num_instances.sum(axis=0)
        total = self.iou_sum.sum(axis=0)
        iou = np.full(len(count), np.nan)
        np.divide(total, count, out=iou, where=count > 0)
        return iou

    def only_source(self, source: str) -> IouTable:
        """Return the rows of one source's pictures."""
        rows = [index for index, name in enumerate(self.sources) if name == source]
        return IouTable(
            self.class_names,
            tuple(self.picture_ids[row] for row in rows),
            tuple(self.sources[row] for row in rows),
            self.score_threshold,
            self.iou_sum[rows],
            self.num_instances[rows],
            self.num_true_positives[rows],
            self.num_false_positives[rows],
        )
