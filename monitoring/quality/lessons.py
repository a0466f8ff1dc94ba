"""What an estimator learns from: windows of held-out pictures under known shifts, with their true figures.

Shape suffixes: L windows, C classes, K signs of a window, P pictures, E embedding values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.average_precision import measure_average_precision
from evaluation.instances import Detections, GroundTruth, ScoreThreshold
from evaluation.iou import measure_mask_iou
from maskloop.records.kinds import QualityMetric
from monitoring.array_file import Arrays, read_array_file, write_array_file
from monitoring.quality.signs import Signs

METRICS: Final[tuple[QualityMetric, ...]] = ("mask_iou", "mask_ap")
SIGN_NAMES: Final = ("agreement", "score", "count", "certain share", "area", "sharpness", "distance")
"""The K signs of a window and a class, see `describe_window`."""
SCHEMA_VERSION: Final = 1
_NUM_PARTS: Final = 5
_MOST: Final = 3.0
_LARGEST_AREA_CHANGE: Final = 1.5
_ARRAYS: Final = (
    *("windows", "figures", "num_instances", "counts_per_picture", "mean_areas"),
    *("sharpness", "embedding_mean", "embedding_std"),
)


@dataclass(frozen=True, eq=False)
class Reference:
    """What unshifted held-out pictures look like, which windows are described in comparison with.

    Attributes:
        counts_per_picture: float64 (C,), detections.
        mean_areas: float64 (C,), mask area over picture area of a detection; 0 for a class never found.
        sharpness: float64 (2,), its mean and standard deviation.
        embedding_mean: float64 (E,).
        embedding_std: float64 (E,).
    """

    counts_per_picture: NDArray[np.float64]
    mean_areas: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    embedding_mean: NDArray[np.float64]
    embedding_std: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lessons:
    """Windows of a champion's held-out pictures, described as production will be, and how good it was there.

    Attributes:
        weights_digest: The champion's.
        class_names: C names.
        kinds: L kinds of shift.
        windows: float64 (L, C, K).
        figures: float64 (L, C, 2), the `METRICS` of each window and class; NaN where there is no instance.
        num_instances: int64 (C,), annotated in the unshifted pictures.
        num_pictures: How many those are.
        reference: The unshifted pictures.
    """

    weights_digest: str
    class_names: tuple[str, ...]
    kinds: tuple[str, ...]
    windows: NDArray[np.float64]
    figures: NDArray[np.float64]
    num_instances: NDArray[np.int64]
    num_pictures: int
    reference: Reference


@dataclass(frozen=True)
class ShiftedPictures:
    """Held-out pictures under one shift, as the champion answered them.

    Attributes:
        kind: Of the shift.
        signs: Of the P pictures.
        detections: P answers, with low scores too.
        truths: P, in the same order.
    """

    kind: str
    signs: Signs
    detections: Sequence[Detections]
    truths: Sequence[GroundTruth]


def write_lessons(
    shifted: Sequence[ShiftedPictures],
    *,
    weights_digest: str,
    class_names: Sequence[str],
    score_threshold: ScoreThreshold,
    seed: int = 0,
) -> Lessons:
    """Describe all pictures of each shift, and five random halves of them, and measure the champion there.

    Args:
        shifted: The unshifted pictures first.
        weights_digest: The champion's.
        class_names: C names.
        score_threshold: The champion's own.
        seed: Of the halves.

    Raises:
        ValueError: if there are no pictures.
    """
    reference = describe_reference(shifted[0].signs)
    kinds, windows, figures = [], [], []
    for number, one in enumerate(shifted):
        rng = np.random.default_rng((seed, number))
        for rows in _choose_rows(len(one.signs), rng):
            kinds.append(one.kind)
            windows.append(describe_window(one.signs.take(rows), reference))
            figures.append(_measure(one, rows, class_names, score_threshold))
    counted = [truth.class_indices[~truth.is_crowd] for truth in shifted[0].truths]
    return Lessons(
        weights_digest,
        tuple(class_names),
        tuple(kinds),
        np.stack(windows),
        np.stack(figures),
        np.bincount(np.concatenate(counted), minlength=len(class_names)).astype(np.int64),
        len(shifted[0].signs),
        reference,
    )


def describe_reference(signs: Signs) -> Reference:
    """Return what unshifted pictures look like. A sign that none of them has stays NaN."""
    embeddings = signs.embeddings[np.isfinite(signs.embeddings).all(axis=1)].astype(np.float64)
    known = signs.sharpness[np.isfinite(signs.sharpness)]
    length = signs.embeddings.shape[1]
    return Reference(
        signs.counts.mean(axis=0),
        _ratio(signs.area_sums.sum(axis=0), signs.counts.sum(axis=0)),
        np.array([known.mean(), max(float(known.std()), 1e-3)]) if known.size else np.full(2, np.nan),
        embeddings.mean(axis=0) if len(embeddings) else np.full(length, np.nan),
        np.maximum(embeddings.std(axis=0), 1e-6) if len(embeddings) else np.full(length, np.nan),
    )


def describe_window(signs: Signs, reference: Reference) -> NDArray[np.float64]:
    """Return the signs of a window, float64 (C, K), NaN where one is unknown.

    Agreement of the two views (0..1), mean score (0..1), detections per picture as a multiple of the
    reference's, the share of all scores that detections above the threshold hold, the logarithm of the mean
    area over the reference's, and of all classes the same: sharpness and distance of the mean embedding in
    standard deviations of the reference, both on a logarithmic scale.
    """
    counts, area = signs.counts.sum(axis=0), signs.area_sums.sum(axis=0)
    agreement = _ratio(2.0 * signs.agreements.sum(axis=0), counts + signs.counts_in_view.sum(axis=0))
    per_picture = _ratio(counts / max(len(signs), 1), reference.counts_per_picture)
    areas = np.log((_ratio(area, counts) + 1e-4) / (reference.mean_areas + 1e-4))
    sharpness = _mean_of_known(signs.sharpness)
    away = (sharpness - reference.sharpness[0]) / reference.sharpness[1]
    of_all = np.array([np.sign(away) * np.log1p(abs(away)), _distance(signs.embeddings, reference)])
    of_classes = [
        agreement,
        _ratio(signs.score_sums.sum(axis=0), counts),
        np.minimum(per_picture, _MOST),
        np.minimum(_ratio(counts, signs.soft_counts.sum(axis=0)), _MOST),
        np.clip(areas, -_LARGEST_AREA_CHANGE, _LARGEST_AREA_CHANGE),
    ]
    return np.concatenate([np.stack(of_classes, axis=1), np.tile(of_all, (len(counts), 1))], axis=1)


def save_lessons(lessons: Lessons, file: Path) -> None:
    """Write lessons as one .npz file, atomically. Raises StorageError."""
    head = {
        "schema_version": SCHEMA_VERSION,
        "weights_digest": lessons.weights_digest,
        "class_names": list(lessons.class_names),
        "kinds": list(lessons.kinds),
        "num_pictures": lessons.num_pictures,
    }
    held = {name: getattr(lessons, name) for name in _ARRAYS[:3]}
    held |= {name: getattr(lessons.reference, name) for name in _ARRAYS[3:]}
    write_array_file(file, head, held)


def load_lessons(file: Path) -> Lessons | None:
    """Read lessons; None if there are none yet.

    Raises:
        ConfigurationError: if a newer maskloop has written them.
        IntegrityError: if they are damaged.
    """
    if not file.is_file():
        return None
    return read_array_file(
        file,
        _build,
        known=SCHEMA_VERSION,
        what="what the estimate of quality learned",
        hint="delete the file: `maskloop monitor` makes it again",
    )


def _build(head: Mapping[str, Any], arrays: Arrays) -> Lessons:
    windows, figures, num_instances, *reference = (arrays[name] for name in _ARRAYS)
    return Lessons(
        head["weights_digest"],
        tuple(head["class_names"]),
        tuple(head["kinds"]),
        windows,
        figures,
        num_instances,
        head["num_pictures"],
        Reference(*reference),
    )


def _choose_rows(num: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    yield np.arange(num)
    for _ in range(_NUM_PARTS if num > 1 else 0):
        yield np.sort(rng.permutation(num)[: (num + 1) // 2])


def _measure(
    one: ShiftedPictures,
    rows: NDArray[np.int64],
    class_names: Sequence[str],
    score_threshold: ScoreThreshold,
) -> NDArray[np.float64]:
    """Return the class mask IoU and AP of some of the pictures, float64 (C, 2)."""
    truths = [replace(one.truths[row], picture_id=f"{row:06d}") for row in rows]
    found = {truth.picture_id: one.detections[row] for truth, row in zip(truths, rows, strict=True)}
    iou = measure_mask_iou(found, truths, class_names=class_names, score_threshold=score_threshold)
    ap = measure_average_precision(found, truths, class_names=class_names, kind="segm")
    return np.stack([iou.class_iou(), ap.class_ap()], axis=1)


def _distance(embeddings: NDArray[np.float32], reference: Reference) -> float:
    known = embeddings[np.isfinite(embeddings).all(axis=1)].astype(np.float64)
    if not known.size or len(reference.embedding_mean) != known.shape[1]:
        return float("nan")
    away = (known.mean(axis=0) - reference.embedding_mean) / reference.embedding_std
    return float(np.log1p(np.sqrt(np.mean(away**2))))


def _mean_of_known(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _ratio(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return total over count; 0 where nothing was counted."""
    ratio = np.zeros(np.broadcast_shapes(np.shape(total), np.shape(count)))
    np.divide(total, count, out=ratio, where=count > 0)
    return ratio
