"""Which training pictures a retraining draws more often: those on which models were seen to fail."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path

from dataset.labelled_pictures import DatasetVersion


def weigh_hard_examples(
    version: DatasetVersion, failed_on: AbstractSet[str], weight: float
) -> dict[str, float]:
    """Return the weight of each training picture that a person corrected or a rollout failed on.

    Pictures of a slice count once they are labelled. Validation and test pictures are never trained on, so
    the champion's errors on them are ignored.

    Args:
        version: With the training pictures.
        failed_on: sha256 of the pictures that rollouts failed on; see `flows.rollouts.slices.kept_pictures`.
        weight: How many times as often as others such a picture is drawn.
    """
    if weight == 1.0:
        return {}
    return {
        picture.digest: weight
        for picture in version.by_split["train"]
        if picture.label_origin == "corrected" or {picture.digest, Path(picture.name).stem} & failed_on
    }
