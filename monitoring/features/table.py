"""The table of all features, and how a picture is measured by it.

A new feature is a row beside its function in `pictures`, `answers`, `class_masks` or `class_insides`, or a
file of rows named here. Stored samples and baselines name their features: a baseline made before a feature
existed is compared without it, and one that is not measured any more is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.instances import Detections
from monitoring.features.answered_picture import AnsweredPicture
from monitoring.features.answers import ANSWER_FEATURES, CLASS_FEATURES
from monitoring.features.class_insides import INSIDE_FEATURES
from monitoring.features.class_masks import MASK_FEATURES
from monitoring.features.feature import Feature, FeatureTable
from monitoring.features.observation import Observation, Pause, finite_embedding, go_on
from monitoring.features.pictures import PICTURE_FEATURES

FEATURES: Final = FeatureTable(
    (*PICTURE_FEATURES, *ANSWER_FEATURES), (*CLASS_FEATURES, *MASK_FEATURES, *INSIDE_FEATURES)
)

EMBEDDING: Final = Feature(
    "embedding",
    "embedding",
    "answer",
    unit="",
    falls="embedding changed",
    rises="embedding changed",
    measure=None,
    lower="looks more familiar to the model",
    higher="looks less familiar to the model",
)
"""Compared as a whole, not as a number; it is a signal beside those of the table."""


def observe(
    picture: NDArray[np.uint8],
    detections: Detections,
    class_names: Sequence[str],
    embedding: NDArray[np.float32] | Sequence[float] | None = None,
    *,
    table: FeatureTable = FEATURES,
    pause: Pause = go_on,
) -> Observation:
    """Measure a picture together with what the model found in it.

    Args:
        picture: uint8 (H, W, 3), RGB.
        detections: What the model found.
        class_names: What a class index counts into.
        embedding: float32 (E,), or None.
        table: What is measured.
        pause: Is called before each feature, which take up to a few milliseconds for 512 x 512 px.

    Raises:
        PictureError: if it is not such a picture.
    """
    features = table.measure(AnsweredPicture(picture, detections), class_names, pause=pause)
    return Observation(features, finite_embedding(embedding))
