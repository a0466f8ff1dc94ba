"""SAHI around the same model: its slices, its merging (GREEDYNMM by intersection over the smaller box)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sahi.annotation import get_coco_segmentation_from_bool_mask
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction

from evaluation.instances import Detections
from maskloop.masks import decode_masks, encode_masks
from models.ports import Predictor


class _Around(DetectionModel):  # type: ignore[misc,unused-ignore]
    """The model as SAHI asks one."""

    def set_model(self, model: Any, **_more: Any) -> None:
        self.model = model
        self.category_mapping = {str(number): name for number, name in enumerate(model.class_names)}

    def perform_inference(self, image: NDArray[np.uint8]) -> None:
        (told,) = self.model.predict([np.ascontiguousarray(image)])
        found = told.detections
        self._original_predictions = found.select(found.reach(self.model.score_threshold))

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        found: Detections = self._original_predictions
        (shift,), (shape,) = shift_amount_list or [[0, 0]], full_shape_list
        told = []
        for number, mask in enumerate(found.masks):
            outlines = get_coco_segmentation_from_bool_mask(decode_masks([mask])[0])
            if outlines:  # a mask that SAHI's outlines do not show is none
                told.append(
                    ObjectPrediction(
                        bbox=found.boxes_xyxy[number].tolist(),
                        category_id=int(found.class_indices[number]),
                        category_name=self.model.class_names[int(found.class_indices[number])],
                        segmentation=outlines,
                        score=float(found.scores[number]),
                        shift_amount=shift,
                        full_shape=shape,
                    )
                )
        self._object_prediction_list_per_image = [told]


def answer_with_sahi(
    model: Predictor, picture: NDArray[np.uint8], *, tile_px: int, overlap_px: int
) -> Detections:
    """Return what SAHI makes of a picture, uint8 (H, W, 3): instances of slices alone, as it merges them.

    Args:
        model: Asked about each slice; its own threshold decides.
        picture: The picture.
        tile_px: Side of a slice.
        overlap_px: Shared by neighbours.
    """
    share = overlap_px / tile_px
    told = get_sliced_prediction(
        picture,
        _Around(model=model, confidence_threshold=float(np.min(model.score_threshold))),
        slice_height=tile_px,
        slice_width=tile_px,
        overlap_height_ratio=share,
        overlap_width_ratio=share,
        perform_standard_pred=False,
        verbose=0,
    ).object_prediction_list
    height, width = picture.shape[:2]
    masks = [one.mask.bool_mask for one in told]
    return Detections(
        height,
        width,
        np.array([one.bbox.to_xyxy() for one in told], np.float32).reshape(-1, 4),
        np.array([one.score.value for one in told], np.float32),
        np.array([one.category.id for one in told], np.int64),
        tuple(encode_masks(np.stack(masks))) if masks else (),
    )
