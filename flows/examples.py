"""Pictures where a reviewer would rather look than read: what was lost, what was gained, best and worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.evaluate import ModelOnPictures, load_picture

if TYPE_CHECKING:
    import numpy as np

    from dataset.samples import DatasetVersion, Picture

NUM_COMPARED = 3


def draw_examples(
    version: DatasetVersion,
    candidate: ModelOnPictures,
    champion: ModelOnPictures | None,
    *,
    score_threshold: float,
    max_mpx: float,
) -> list[tuple[str, np.ndarray]]:
    """Draw the most telling test pictures, annotations dashed; champion and candidate side by side.

    Returns:
        Captions and uint8 (H, W, 3) pictures.
    """
    from evaluation.overlays import montage

    by_digest = {picture.digest: picture for picture in version.by_split["test"]}
    drawn = []
    for caption, digest in choose_pictures(candidate, champion):
        picture = by_digest[digest]
        image = load_picture(version.path(picture), max_mpx)
        after = _draw(image, candidate, picture, version, score_threshold)
        if champion is not None:
            before = _draw(image, champion, picture, version, score_threshold)
            after = montage([before, after], ["champion", "candidate"], columns=2)
        drawn.append((f"{caption}, {picture.name}", after))
    return drawn


def choose_pictures(candidate: ModelOnPictures, champion: ModelOnPictures | None) -> list[tuple[str, str]]:
    """Choose captions and picture digests: largest losses and gains against the champion, worst to best."""
    from evaluation.overlays import choose_examples, choose_regressions

    new = candidate.evaluation.iou
    chosen: dict[str, str] = {}
    if champion is not None:
        old = champion.evaluation.iou
        chosen |= dict.fromkeys(choose_regressions(new, old, count=NUM_COMPARED), "lost most")
        for digest in choose_regressions(old, new, count=NUM_COMPARED):
            chosen.setdefault(digest, "gained most")
    examples = choose_examples(new)
    for caption in ("worst", "median", "best"):
        for digest in getattr(examples, caption):
            chosen.setdefault(digest, caption)
    return [(caption, digest) for digest, caption in chosen.items()]


def _draw(
    image: np.ndarray, model: ModelOnPictures, picture: Picture, version: DatasetVersion, threshold: float
) -> np.ndarray:
    from evaluation.overlays import draw_overlay
    from models.validation import ground_truth

    found = model.predictions[picture.digest].detections
    confident = found.select(found.scores >= threshold)
    return draw_overlay(image, confident, ground_truth(picture), version.class_names)
