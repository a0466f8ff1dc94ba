"""From pictures to instances: one path for validation, gates, batch prediction and serving."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import MaskRCNN

from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from evaluation.instances import Detections, ScoreThreshold
from maskloop.errors import IntegrityError, PictureError
from models.answering.inference import FoundRegions, copy_for_inference, find_regions
from models.answering.prediction import Prediction
from models.answering.views import find_regions_in_views
from models.artifacts.model_folder import load_model
from models.devices import choose_device, computes_bf16
from models.network.parts import Parts, in_bf16, parts_of
from models.operations.pasting import paste_masks

_log = logging.getLogger(__name__)
_MAX_PICTURES_PER_PASS: Final = 8
_MAX_PIXELS_PER_PASS: Final = 4_000_000


class TorchPredictor:
    """A verified model in torch: `models.ports.Predictor`. Safe to use from several threads.

    Attributes:
        class_names: What a class index counts into.
        weights_digest: The model's identity.
        score_threshold: Detections at or above this score were judged; lower ones are kept for curves. A
            tuple holds each class's own, if they were calibrated.
        conversion: How values that are no 8-bit RGB become it, as in the data it was trained on.
    """

    def __init__(
        self,
        model: MaskRCNN,
        *,
        class_names: Sequence[str],
        device: torch.device,
        weights_digest: str = "",
        score_threshold: ScoreThreshold = 0.5,
        shortcuts: bool = True,
        parts: Parts | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
        conversion: PictureConversion = DEFAULT_CONVERSION,
    ) -> None:
        """Take a model as it is now; training it further does not change the answers.

        Args:
            model: Moved to the device and left in evaluation mode.
            class_names: What a class index counts into.
            device: Where it computes.
            weights_digest: The model's identity.
            score_threshold: Detections at or above this score were judged; one, or each class's own.
            shortcuts: Answer from a faster copy, equal up to rounding (`inference`); False runs torchvision's
                own modules.
            parts: Networks to run instead of the model's own (see `models.exports.formats`).
            precision: Of the shortcuts; a device that would only imitate bfloat16 computes in float32.
            conversion: Of the data it was trained on.
        """
        model.to(device).eval()
        bf16 = shortcuts and precision == "bf16" and computes_bf16(device)
        if precision == "bf16" and not bf16:
            _log.warning("%s does not compute in bfloat16: the model answers in float32", device)
        self._model = copy_for_inference(model, device, bf16=bf16) if shortcuts else model
        self._device = device
        self._parts = in_bf16(parts_of(self._model)) if bf16 else parts
        self.class_names = tuple(class_names)
        self.weights_digest = weights_digest
        self.score_threshold = score_threshold
        self.conversion = conversion

    @classmethod
    def load(
        cls, directory: Path, *, expected_digest: str | None = None, device: str = "auto"
    ) -> TorchPredictor:
        """Load and verify an artifact (see `models.artifacts.model_folder.verify_artifact`).

        Raises:
            IntegrityError: if a digest, a name, a shape or a number is not what it must be.
            NotFoundError: if there is no artifact.
            ConfigurationError: if the device does not exist.
        """
        chosen = choose_device(device)
        model, manifest = load_model(directory, expected_digest=expected_digest, is_copied_next=True)
        return cls(
            model,
            class_names=manifest.class_names,
            device=chosen,
            weights_digest=manifest.weights_digest,
            score_threshold=manifest.thresholds(),
            precision=manifest.model.prediction.precision,
            conversion=manifest.conversion,
        )

    def predict(
        self, pictures: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Prediction]:
        """Find instances. Neighbours of one size share a pass; others are never padded to each other.

        Args:
            pictures: uint8 (H, W, 3) RGB each, of any sizes.
            min_score: Leave out detections with a lower score; the model's own floor holds anyway.

        Returns:
            One prediction for each picture, in order.

        Raises:
            PictureError: if a picture is not uint8 (H, W, 3).
            IntegrityError: if the model computes something that is not finite.
        """
        for picture in pictures:
            _check_picture(picture, self._model.transform.max_size)
        predictions: list[Prediction] = []
        for group in _group_by_size(pictures):
            predictions.extend(self._predict_same_size(group, min_score or 0.0))
        return predictions

    def _predict_same_size(self, pictures: list[NDArray[np.uint8]], min_score: float) -> list[Prediction]:
        start = time.perf_counter()
        batch = to_batch(pictures, self._device)
        with torch.inference_mode():
            find = find_regions_in_views if self._has_many_views() else find_regions
            found, embeddings, is_finite = find(self._model, batch, min_score, self._parts)
            self._refuse_unless(bool(is_finite))
            detections = [_to_detections(regions, *batch.shape[-2:]) for regions in found]
        seconds = (time.perf_counter() - start) / len(pictures)
        rows = embeddings.cpu().numpy()
        return [Prediction(each, row, seconds) for each, row in zip(detections, rows, strict=True)]

    def _has_many_views(self) -> bool:
        return len(getattr(self._model.transform, "views", ())) > 1

    def _refuse_unless(self, is_finite: bool) -> None:
        """A network full of NaN would answer "nothing found"; make it an error instead."""
        if not is_finite:
            raise IntegrityError(
                "the model computes numbers that are not finite",
                where=f"model {self.weights_digest[:12] or 'in training'}",
                hint="do not serve it; roll back to the last good version",
            )


def to_batch(pictures: Sequence[NDArray[np.uint8]], device: torch.device) -> torch.Tensor:
    """Return pictures of one size, uint8 (H, W, 3) each, as float32 (B, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float().div_(255.0)


def _to_detections(regions: FoundRegions, height_px: int, width_px: int) -> Detections:
    boxes, scores, masks = (each.float().cpu() for each in (regions.boxes, regions.scores, regions.masks))
    return Detections(
        height_px=height_px,
        width_px=width_px,
        boxes_xyxy=boxes.numpy(),
        scores=scores.numpy(),
        class_indices=regions.labels.cpu().numpy() - 1,  # torchvision's label 0 is the background
        masks=paste_masks(masks, boxes, height_px, width_px),
        insides=regions.insides.float().cpu().numpy(),
    )


def _group_by_size(pictures: Sequence[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    group: list[NDArray[np.uint8]] = []
    for picture in pictures:
        limit = min(_MAX_PICTURES_PER_PASS, _MAX_PIXELS_PER_PASS // (picture.shape[0] * picture.shape[1]))
        if group and (picture.shape != group[0].shape or len(group) >= limit):
            yield group
            group = []
        group.append(picture)
    if group:
        yield group


def _check_picture(picture: NDArray[np.uint8], max_size_px: int) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise PictureError(f"a picture must be uint8 of shape (H, W, 3), not {picture.dtype} {picture.shape}")
    short, long = sorted(picture.shape[:2])
    if short * max_size_px < long:  # scaled to fit, nothing of its short side would be left
        raise PictureError(f"{picture.shape[1]} x {picture.shape[0]} px is too thin for the model")
