"""An export that answers without torch: `models.ports.Predictor`, on one picture at a time.

Shape suffixes: M proposals, L labels with the background, N instances, P bins along a side of a region.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dataset.raw.conversion import PictureConversion
from evaluation.instances import Detections, ScoreThreshold
from maskloop.errors import ConfigurationError, IntegrityError, PictureError
from models.answering.prediction import Prediction
from models.artifacts.manifest import check_files
from models.edge.boxes import Boxes, clip, decode, suppress, suppress_softly
from models.edge.pasting import paste_masks
from models.edge.preparing import Prepared, prepare
from models.edge.proposing import propose
from models.edge.regions import cut_regions
from models.exports.manifest import CLASSIFY, EXPORT_FILE, GRAPHS, OUTLINE, SCAN, ExportManifest
from models.exports.runtimes import Run, load_onnx, load_openvino
from models.exports.steps import Steps

_MIN_SIDE_PX: Final = 1e-2
_Found = tuple[Boxes, NDArray[np.float32], NDArray[np.int64]]
Load = Callable[[Path, int], Run]


def load_without_torch(directory: Path, *, num_threads: int = 1, load: Load | None = None) -> ArrayPredictor:
    """Verify an export and make it ready to answer.

    Args:
        directory: Where it lies.
        num_threads: That its networks compute with.
        load: Returns what runs a graph, from its file and the number of threads; None takes the library of
            the export's format.

    Raises:
        IntegrityError: if a file is missing or is not the recorded one.
        ConfigurationError: if the export cannot be run without torch, or its library is not installed.
    """
    try:
        manifest = ExportManifest.model_validate_json((directory / EXPORT_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "there is no export, or its manifest is damaged", where=str(directory)
        ) from error
    check_files(directory, manifest.files)
    steps = _require_steps(manifest, directory)
    suffix, own = (".onnx", load_onnx) if manifest.format == "onnx" else (".xml", load_openvino)
    try:
        runs = {name: (load or own)(directory / f"{name}{suffix}", num_threads) for name in GRAPHS}
    except ImportError as error:
        raise ConfigurationError(
            f"the package that runs {manifest.format} is not installed: {error.name}",
            hint="install what requirements.txt of the bundle names",
        ) from error
    return ArrayPredictor(runs, manifest, steps)


def _require_steps(manifest: ExportManifest, directory: Path) -> Steps:
    steps = manifest.steps
    if steps is None:
        raise ConfigurationError(
            "the export was made by a version that did not write how to run it without torch",
            where=str(directory),
            hint="export the model again",
        )
    if steps.num_views != 1:
        raise ConfigurationError(
            f"the model answers from {steps.num_views} views of a picture, which needs torch",
            hint="export a version with one view: model.prediction.views",
        )
    return steps


class ArrayPredictor:
    """An export and the numbers of its model. Safe to use from several threads.

    Attributes:
        class_names: What a class index counts into.
        weights_digest: The model's identity.
        score_threshold: Detections at or above it were judged; one, or each class's own.
        conversion: How values that are no 8-bit RGB become it, as in the data it was trained on.
    """

    def __init__(self, runs: Mapping[str, Run], manifest: ExportManifest, steps: Steps) -> None:
        self._runs, self._steps, self._levels = runs, steps, manifest.levels
        self.class_names: tuple[str, ...] = manifest.model.class_names
        self.weights_digest: str = manifest.model.weights_digest
        self.score_threshold: ScoreThreshold = manifest.model.thresholds()
        self.conversion: PictureConversion = manifest.model.conversion

    def predict(
        self, pictures: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Prediction]:
        """Find instances in pictures, uint8 (H, W, 3) RGB each, of any sizes, one after the other.

        Raises:
            PictureError: if a picture is not uint8 (H, W, 3), or too thin to be resized.
            IntegrityError: if the model computes something that is not finite.
        """
        for picture in pictures:
            _check_picture(picture, self._steps.max_size_px)
        return [self._predict_one(picture, min_score or 0.0) for picture in pictures]

    def _predict_one(self, picture: NDArray[np.uint8], min_score: float) -> Prediction:
        start = time.perf_counter()
        prepared = prepare(picture, self._steps)
        padded = prepared.pixels.shape[1:3]
        said = [each[0] for each in self._runs[SCAN](prepared.pixels)]
        count = len(self._levels)
        maps = dict(zip(self._levels, said, strict=False))
        objectness, deltas = said[count : 2 * count], said[2 * count :]
        self._refuse_unless_finite(said)
        proposals = propose(objectness, deltas, padded, prepared.size, self._steps)
        roi_maps = [maps[name] for name in self._steps.roi_levels]
        found = self._classify(roi_maps, padded[0], proposals, prepared.size)
        kept = found[1] >= min_score
        boxes, scores, labels = found[0][kept], found[1][kept], found[2][kept]
        masks = self._outline(roi_maps, padded[0], boxes, labels)
        embedding = _mean_of(maps[self._levels[0]], prepared)
        detections = self._to_detections(boxes, scores, labels, masks, prepared)
        return Prediction(detections, embedding, time.perf_counter() - start)

    def _classify(
        self, maps: Sequence[NDArray[np.float32]], height_px: int, proposals: Boxes, size: tuple[int, int]
    ) -> _Found:
        """Return boxes (N, 4) in px of the resized picture, scores and labels from 1, best score first."""
        steps = self._steps
        regions = cut_regions(maps, height_px, proposals, steps.box_bins, steps.roi_samples)
        logits_ML, deltas = self._run_on_regions(CLASSIFY, regions)
        self._refuse_unless_finite([logits_ML, deltas])
        offsets = deltas.reshape(*logits_ML.shape, 4)
        anchors = np.repeat(proposals[:, None], logits_ML.shape[1], axis=1)
        boxes = clip(decode(offsets, anchors, steps.box_weights, steps.largest_growth), size)
        scores_ML = _softmax(logits_ML)
        sides = boxes[..., 2:] - boxes[..., :2]
        is_candidate = (scores_ML > steps.min_score) & (sides >= _MIN_SIDE_PX).all(axis=2)
        is_candidate[:, 0] = False
        place, label = np.nonzero(is_candidate)
        return _thin_out(boxes[place, label], scores_ML[place, label], label.astype(np.int64), steps)

    def _outline(
        self,
        maps: Sequence[NDArray[np.float32]],
        height_px: int,
        boxes: Boxes,
        labels: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the probabilities inside each box, float32 (N, S, S)."""
        regions = cut_regions(maps, height_px, boxes, self._steps.mask_bins, self._steps.roi_samples)
        (logits,) = self._run_on_regions(OUTLINE, regions)
        chosen = logits[np.arange(len(labels)), labels]
        self._refuse_unless_finite([chosen])
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-chosen)), np.float32)

    def _run_on_regions(self, graph: str, regions: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run a graph on any number of regions, also none: graphs want at least one."""
        some = regions if len(regions) else np.zeros((1, *regions.shape[1:]), np.float32)
        return [found[: len(regions)] for found in self._runs[graph](some)]

    def _to_detections(
        self,
        boxes: Boxes,
        scores: NDArray[np.float32],
        labels: NDArray[np.int64],
        masks: NDArray[np.float32],
        prepared: Prepared,
    ) -> Detections:
        height_px, width_px = prepared.whole
        rows, columns = (
            np.float32(whole) / np.float32(own)
            for whole, own in zip(prepared.whole, prepared.size, strict=True)
        )
        original = boxes * np.asarray([columns, rows, columns, rows], np.float32)
        return Detections(
            height_px=height_px,
            width_px=width_px,
            boxes_xyxy=original,
            scores=scores,
            class_indices=labels - 1,
            masks=paste_masks(masks, original, height_px, width_px),
        )

    def _refuse_unless_finite(self, arrays: Sequence[NDArray[np.float32]]) -> None:
        """A network full of NaN would answer "nothing found"; make it an error instead."""
        if not all(np.isfinite(each.sum(dtype=np.float64)) for each in arrays):
            raise IntegrityError(
                "the model computes numbers that are not finite",
                where=f"model {self.weights_digest[:12]}",
                hint="do not serve it; roll back to the last good version",
            )


def _thin_out(boxes: Boxes, scores: NDArray[np.float32], labels: NDArray[np.int64], steps: Steps) -> _Found:
    """Suppress boxes within their class and keep the best."""
    if steps.suppression != "off":
        kept, left = suppress_softly(boxes, scores, labels, steps)
        return boxes[kept], left, labels[kept]
    kept_by_class = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        kept_by_class.append(own[suppress(boxes[own], scores[own], steps.nms_iou)])
    kept = np.sort(np.concatenate(kept_by_class))
    kept = kept[np.argsort(-scores[kept], kind="stable")][: steps.max_detections]
    return boxes[kept], scores[kept], labels[kept]


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _mean_of(finest: NDArray[np.float32], prepared: Prepared) -> NDArray[np.float32]:
    """Return the mean of the finest map over the picture, without its padding, float32 (C,)."""
    rows, columns = (
        max(1, round(cells * side / padded))
        for cells, side, padded in zip(
            finest.shape[:2], prepared.size, prepared.pixels.shape[1:3], strict=True
        )
    )
    return np.asarray(finest[:rows, :columns].mean(axis=(0, 1)), np.float32)


def _check_picture(picture: NDArray[np.uint8], max_size_px: int) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise PictureError(f"a picture must be uint8 of shape (H, W, 3), not {picture.dtype} {picture.shape}")
    short, long = sorted(picture.shape[:2])
    if short * max_size_px < long:  # scaled to fit, nothing of its short side would be left
        raise PictureError(f"{picture.shape[1]} x {picture.shape[0]} px is too thin for the model")
