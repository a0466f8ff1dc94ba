"""Which training pictures a retraining draws more often: those on which models were seen to fail."""

from __future__ import annotations

from pathlib import Path

from dataset.labelled_pictures import DatasetVersion
from flows.rollouts.slices import kept_pictures
from flows.workspace.wiring import App


def weigh_hard_examples(app: App, version: DatasetVersion) -> dict[str, float]:
    """Return `hard_example_weight` for each training picture that a person corrected or a rollout failed on.

    Pictures of a slice count once they are labelled. Validation and test pictures are never trained on, so
    what the champion does badly there has no part in this.
    """
    weight = app.settings.training.sampling.hard_example_weight
    if weight == 1.0:
        return {}
    failed_on = kept_pictures(app)
    return {
        picture.digest: weight
        for picture in version.by_split["train"]
        if picture.label_origin == "corrected" or {picture.digest, Path(picture.name).stem} & failed_on
    }
