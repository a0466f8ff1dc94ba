"""A model run by another engine beside the same model in torch: the same answers, and how much sooner.

An engine may answer in torch's place only where everything that is made of an answer stays the same: the
instances, and what monitoring keeps of them. Instances are held against each other as an export's are
(`evaluation.parity`). Embeddings and insides are features that drift is measured in; they must agree up to
rounding, relative to the largest number among torch's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import ScoreThreshold
from evaluation.matching import assign
from evaluation.parity import Parity, compare_pictures, find_disparities, summarise_parity
from maskloop.masks import mask_iou
from models.answering.prediction import Prediction
from models.answering.predictor import TorchPredictor

MAX_EMBEDDING_SHIFT: Final = 0.001
MAX_INSIDES_SHIFT: Final = 0.02
_SAME_IOU: Final = 0.9
"""Instances that overlap by so much are one, whose features are compared."""
_MOST_ROUNDS: Final = 40


@dataclass(frozen=True)
class Comparison:
    """The answers of both about the same pictures.

    Attributes:
        parity: Of the instances.
        embedding_shift: Largest difference of an embedding's number, relative to torch's largest one.
        insides_shift: The same for insides of instances that both found.
    """

    parity: Parity
    embedding_shift: float
    insides_shift: float

    def find_obstacles(self, *, min_parity: float) -> tuple[str, ...]:
        """Say why the other engine may not answer in torch's place; nothing if it may."""
        shifts = {
            "embeddings": (self.embedding_shift, MAX_EMBEDDING_SHIFT),
            "insides of masks": (self.insides_shift, MAX_INSIDES_SHIFT),
        }
        return (
            *find_disparities(self.parity, required=min_parity),
            *(
                f"{name} differ by {measured:.2g} of their size, and {limit:g} is allowed"
                for name, (measured, limit) in shifts.items()
                if not measured <= limit
            ),
        )


def compare_answers(
    torch_answers: Sequence[Prediction], other: Sequence[Prediction], *, score_threshold: ScoreThreshold
) -> Comparison:
    """Hold two engines' answers about the same pictures, in one order, against each other."""
    pairs = [*zip(torch_answers, other, strict=True)]
    parity = summarise_parity(
        [
            compare_pictures(own.detections, their.detections, score_threshold=score_threshold)
            for own, their in pairs
        ]
    )
    insides = [_pair_insides(own, their) for own, their in pairs]
    return Comparison(
        parity,
        _relative_shift([own.embedding for own, _ in pairs], [their.embedding for _, their in pairs]),
        _relative_shift([own for own, _ in insides], [their for _, their in insides]),
    )


def time_in_turns(
    torch_model: TorchPredictor,
    other: TorchPredictor,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    budget_s: float,
) -> tuple[float, float, float]:
    """Predict one picture after the other with both, in turns, each beginning every second time.

    Args:
        torch_model: The reference.
        other: The same model in another engine. Both must have answered before.
        pictures: uint8 (H, W, 3) RGB each, one or more.
        budget_s: No round begins after so much time; three are always run.

    Returns:
        The median over the rounds of torch's time by the other's, and the median milliseconds of each.
    """
    begin = time.perf_counter()
    ratios, torch_s, other_s = list[float](), list[float](), list[float]()
    while len(ratios) < _MOST_ROUNDS and (len(ratios) < 3 or time.perf_counter() - begin < budget_s):
        picture = pictures[len(ratios) % len(pictures)]
        order = (torch_model, other) if len(ratios) % 2 else (other, torch_model)
        seconds = {id(model): _time_once(model, picture) for model in order}
        torch_s.append(seconds[id(torch_model)])
        other_s.append(seconds[id(other)])
        ratios.append(torch_s[-1] / other_s[-1])
    return statistics.median(ratios), 1e3 * statistics.median(torch_s), 1e3 * statistics.median(other_s)


def _time_once(model: TorchPredictor, picture: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    model.predict([picture])
    return time.perf_counter() - start


def _pair_insides(own: Prediction, their: Prediction) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return float32 (P, `NUM_INSIDES`) of the instances that both found, twice, in one order."""
    mine, other = own.detections, their.detections
    if mine.insides is None or other.insides is None:
        raise ValueError("answers of a model have insides")
    is_same_class = mine.class_indices[:, None] == other.class_indices[None, :]
    iou_NM = np.where(is_same_class, mask_iou(mine.masks, other.masks), 0.0)
    rows, columns = assign(np.where(iou_NM >= _SAME_IOU, iou_NM, 0.0))
    return mine.insides[rows], other.insides[columns]


def _relative_shift(own: Sequence[NDArray[np.float32]], their: Sequence[NDArray[np.float32]]) -> float:
    """Return the largest difference as a share of the largest number of ``own``; 0 where there are none."""
    mine, other = (np.concatenate([each.ravel() for each in some]) for some in (own, their))
    if not mine.size:
        return 0.0
    return float(np.abs(mine - other).max() / max(np.abs(mine).max(), np.finfo(np.float32).tiny))
