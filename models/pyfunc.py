"""The loader MLflow's ``pyfunc`` calls by name; needs no MLflow itself.

A row of the input is a picture's file, a row of the output its instances as JSON, or what was wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset.decoding import decode_picture
from maskloop.errors import PictureError
from maskloop.settings import DataSettings
from models.predict import Prediction, Predictor

if TYPE_CHECKING:
    import pandas as pd


class PicturesToInstances:
    """A model with MLflow's ``predict``."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Find the instances in each picture; a bad picture costs its own row only.

        Args:
            model_input: A column ``image`` of JPEG, PNG or WebP files, as bytes or base64 text.
            params: ``min_score``: leave out detections with a lower score.

        Returns:
            One row for each row: ``instances``, JSON text of a list of ``class_name``, ``score``,
            ``box_xyxy`` (px) and ``segmentation`` (COCO RLE); and ``error``, text, empty if all went well.
        """
        import pandas as pd

        min_score = (params or {}).get("min_score")
        rows = [self._answer(image, min_score) for image in model_input["image"]]
        return pd.DataFrame(rows, columns=["instances", "error"], index=model_input.index)

    def _answer(self, image: Any, min_score: float | None) -> tuple[str, str]:
        try:
            pixels = decode_picture(_to_bytes(image), max_mpx=DataSettings().max_picture_mpx)
            prediction = self._predictor.predict([pixels], min_score=min_score)[0]
        except PictureError as error:
            return "[]", str(error)
        return json.dumps(describe_instances(prediction, self._predictor.class_names)), ""


def describe_instances(prediction: Prediction, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return a prediction's instances as plain data, ready for JSON."""
    found = prediction.detections
    return [
        {
            "class_name": class_names[class_index],
            "score": score,
            "box_xyxy": box,
            "segmentation": mask.to_coco(),
        }
        for class_index, score, box, mask in zip(
            found.class_indices.tolist(),
            found.scores.tolist(),
            found.boxes_xyxy.tolist(),
            found.masks,
            strict=True,
        )
    ]


def _to_bytes(image: Any) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if not isinstance(image, str):
        raise PictureError(f"a picture is bytes or base64 text, not {type(image).__name__}")
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("the picture's text is not base64") from error


def _load_pyfunc(data_path: str) -> PicturesToInstances:
    """Load the artifact in a folder; the name is MLflow's."""
    return PicturesToInstances(Predictor.load(Path(data_path)))
