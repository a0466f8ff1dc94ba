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

from dataset.pictures.decoding import open_picture
from maskloop.errors import PictureError
from maskloop.settings.workspace_settings import DataSettings
from models.answering.instance_json import list_instances
from models.answering.predictor import TorchPredictor

if TYPE_CHECKING:
    import pandas as pd


class PicturesToInstances:
    """A model with MLflow's ``predict``."""

    def __init__(self, predictor: TorchPredictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Find the instances in each picture; a bad picture costs its own row only.

        Args:
            model_input: A column ``image`` of picture files (see `dataset.pictures.decoding`), as bytes or
                base64 text.
            params: ``min_score``: leave out instances with a lower score. Default: the model's own threshold.

        Returns:
            One row for each row: ``instances``, JSON text of a list of ``class_name``, ``score``,
            ``box_xyxy`` (px) and ``segmentation`` (COCO RLE), both in the picture as its file stores it,
            before any EXIF orientation; and ``error``, text, empty if all went well.
        """
        import pandas as pd

        min_score = (params or {}).get("min_score")
        rows = [self._answer(image, min_score) for image in model_input["image"]]
        return pd.DataFrame(rows, columns=["instances", "error"], index=model_input.index)

    def _answer(self, image: Any, min_score: float | None) -> tuple[str, str]:
        try:
            picture = open_picture(
                _to_bytes(image),
                max_mpx=DataSettings().max_picture_mpx,
                conversion=self._predictor.conversion,
            )
            (prediction,) = self._predictor.predict([picture.pixels], min_score=min_score)
        except PictureError as error:
            return "[]", str(error)
        told = list_instances(
            prediction.detections,
            self._predictor.class_names,
            orientation=picture.orientation,
            threshold=self._predictor.score_threshold if min_score is None else min_score,
        )
        return json.dumps([one.to_json() for one in told]), ""


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
    return PicturesToInstances(TorchPredictor.load(Path(data_path)))
