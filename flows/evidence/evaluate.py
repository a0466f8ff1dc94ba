"""Run a model over pictures of a data version, and hold candidate and champion against the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.pictures.decoding import decode_picture
from dataset.versions.catalog import read_picture_file
from evaluation.model_evaluation import Evaluation, evaluate
from maskloop.errors import PictureError
from models.answering.prediction import Prediction
from models.loading.ground_truth import ground_truth
from models.ports import Predictor

BATCH_SIZE = 8


@dataclass(frozen=True)
class ModelOnPictures:
    """One model's predictions on pictures of a data version, and how good they are."""

    evaluation: Evaluation
    predictions: Mapping[str, Prediction]
    latency_p95_ms: float


def predict_pictures(
    predictor: Predictor,
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    *,
    progress: Callable[[int, int], None],
    max_mpx: float,
) -> Mapping[str, Prediction]:
    """Predict every picture; keys are picture digests."""
    found: dict[str, Prediction] = {}
    for batch in _batches(pictures):
        images = [load_picture(version.path(picture), max_mpx) for picture in batch]
        for picture, prediction in zip(batch, predictor.predict(images), strict=True):
            found[picture.digest] = prediction
        progress(len(found), len(pictures))
    return found


def evaluate_model(
    predictor: Predictor,
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    *,
    score_threshold: float,
    max_detections: int,
    max_mpx: float,
    progress: Callable[[int, int], None],
    called_now: Callable[[str], str] = str,
) -> ModelOnPictures:
    """Predict the pictures and measure the result.

    A model with calibrated thresholds is measured at those, because it answers with them; any other model at
    ``score_threshold``. Detections of a model with another label schema are counted under the version's class
    of the same name; detections of a class that the version lacks are ignored. ``called_now`` maps the
    model's class names to the version's.
    """
    predictions = predict_pictures(predictor, version, pictures, progress=progress, max_mpx=max_mpx)
    own = predictor.score_threshold
    names = tuple(map(called_now, predictor.class_names))
    predictions = in_classes_of(version, predictions, names)
    if names != version.class_names and isinstance(own, tuple):
        by_name = dict(zip(names, own, strict=True))
        own = tuple(by_name.get(name, score_threshold) for name in version.class_names)
    evaluation = evaluate(
        {digest: prediction.detections for digest, prediction in predictions.items()},
        [ground_truth(picture) for picture in pictures],
        class_names=version.class_names,
        score_threshold=own if isinstance(own, tuple) else score_threshold,
        max_detections=(1, 10, max(100, max_detections)),
    )
    seconds = [prediction.seconds for prediction in predictions.values()]
    return ModelOnPictures(evaluation, predictions, float(np.percentile(seconds, 95) * 1000.0))


def in_classes_of(
    version: DatasetVersion, predictions: Mapping[str, Prediction], names: tuple[str, ...]
) -> Mapping[str, Prediction]:
    """Return predictions with class indices into a version's classes; those of other classes are left out.

    Args:
        version: The data version.
        predictions: By picture digest.
        names: What their class indices count into, by the names that the version uses.
    """
    if names == version.class_names:
        return predictions
    index_of = [version.class_names.index(name) if name in version.class_names else -1 for name in names]
    return {
        digest: replace(prediction, detections=prediction.detections.reclassified(index_of))
        for digest, prediction in predictions.items()
    }


def load_picture(path: Path, max_mpx: float) -> np.ndarray:
    """Read and decode one picture, uint8 (H, W, 3). Raises PictureError, IntegrityError; both name it."""
    try:
        return decode_picture(read_picture_file(path), max_mpx=max_mpx)
    except PictureError as error:
        raise PictureError(error.headline, where=str(path), hint=error.hint) from error


def _batches(pictures: Sequence[LabelledPicture]) -> Iterator[Sequence[LabelledPicture]]:
    for start in range(0, len(pictures), BATCH_SIZE):
        yield pictures[start : start + BATCH_SIZE]
