"""IoU tables of imaginary models, without a single mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import IouTable


def iou_table(
    ious: Sequence[Sequence[float]] | NDArray[np.float64],
    *,
    class_names: Sequence[str] = (),
    num_instances: int | NDArray[np.int64] = 5,
    sources: Sequence[str] = (),
    false_positives: int = 0,
) -> IouTable:
    """Build a table from each picture's mean IoU per class (P, C), for equally many instances everywhere."""
    iou_PC = np.asarray(ious, dtype=np.float64)
    num_pictures, num_classes = iou_PC.shape
    count_PC = np.broadcast_to(np.asarray(num_instances, dtype=np.int64), iou_PC.shape).copy()
    return IouTable(
        class_names=tuple(class_names) or tuple("abcdefgh"[:num_classes]),
        picture_ids=tuple(f"{index:064x}" for index in range(num_pictures)),
        sources=tuple(sources) or ("camera",) * num_pictures,
        score_threshold=0.5,
        iou_sum=iou_PC * count_PC,
        num_instances=count_PC,
        num_true_positives=np.where(iou_PC >= 0.5, count_PC, 0),
        num_false_positives=np.full(iou_PC.shape, false_positives, dtype=np.int64),
    )


def simulated_pair(
    rng: np.random.Generator,
    *,
    num_pictures: int = 100,
    num_classes: int = 4,
    drop: float = 0.0,
    miss: float = 0.06,
    disagreement: float = 0.08,
    sources: Sequence[str] = (),
) -> tuple[IouTable, IouTable]:
    """Draw a candidate and a champion that see the same pictures; class 0 of the candidate lost ``drop``.

    Pictures differ in difficulty (shared), instances in mask quality (partly shared), and each model misses
    some instances on its own, which counts 0.
    """
    count_PC = rng.poisson(1.2, size=(num_pictures, num_classes))
    difficulty_P = rng.normal(0, 0.04, size=num_pictures)
    sums = np.zeros((2, num_pictures, num_classes))
    hits = np.zeros((2, num_pictures, num_classes), dtype=np.int64)
    for picture, class_ in np.argwhere(count_PC > 0):
        count = count_PC[picture, class_]
        shared = 0.86 + difficulty_P[picture] + rng.normal(0, 0.05, size=count)
        for model in range(2):
            iou = np.clip(shared + rng.normal(0, disagreement, size=count), 0, 1)
            lost = drop / 0.86 if (model == 0 and class_ == 0) else 0.0
            iou = np.where(rng.random(count) < miss + lost * (1 - miss), 0.0, iou)
            sums[model, picture, class_] = iou.sum()
            hits[model, picture, class_] = (iou >= 0.5).sum()
    tables = [
        IouTable(
            tuple("abcdefgh"[:num_classes]),
            tuple(f"{index:064x}" for index in range(num_pictures)),
            tuple(sources) or ("camera",) * num_pictures,
            0.5,
            sums[model],
            count_PC.astype(np.int64),
            hits[model],
            np.zeros_like(count_PC, dtype=np.int64),
        )
        for model in range(2)
    ]
    return tables[0], tables[1]
