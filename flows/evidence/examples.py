"""Pictures where a reviewer would rather look than read: what was lost, what was gained, best and worst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from evaluation.overlays import Artist, choose_examples, choose_regressions, picture_quality
from flows.evidence.evaluate import ModelOnPictures, load_picture
from models.loading.ground_truth import ground_truth

NUM_COMPARED = 3
NUM_WITH_PANELS = 4
PANEL_PX = 480
"""Long side of a panel: three of them beside each other fill a page, one alone fills a phone."""


@dataclass(frozen=True)
class DrawnExample:
    """One test picture as annotated and as each model saw it.

    Attributes:
        caption: Why it is shown, and how good the answers are.
        picture: uint8 (H, W, 3), the answers beside each other in the picture's own size.
        panels: Titles and uint8 (H, W, 3), small: annotations, champion, candidate. Only for the most telling
            pictures.
    """

    caption: str
    picture: np.ndarray
    panels: tuple[tuple[str, np.ndarray], ...]


def draw_examples(
    version: DatasetVersion,
    candidate: ModelOnPictures,
    champion: ModelOnPictures | None,
    artist: Artist,
    *,
    max_mpx: float,
) -> list[DrawnExample]:
    """Draw the most telling test pictures, the worst regressions first."""
    by_digest = {picture.digest: picture for picture in version.by_split["test"]}
    drawn: list[DrawnExample] = []
    for caption, digest in choose_pictures(candidate, champion):
        picture = by_digest[digest]
        easel = _Easel(artist, version, picture, load_picture(version.path(picture), max_mpx))
        large = easel.draw_sheet(candidate, champion)
        small = easel.draw_panels(candidate, champion) if len(drawn) < NUM_WITH_PANELS else ()
        figures = _quality_in_words(candidate, champion, digest)
        drawn.append(DrawnExample(f"{caption}, {picture.name}: {figures}", large, tuple(small)))
    return drawn


def choose_pictures(candidate: ModelOnPictures, champion: ModelOnPictures | None) -> list[tuple[str, str]]:
    """Choose captions and picture digests: largest losses against the champion, worst, gains, best."""
    new = candidate.evaluation.iou
    examples = choose_examples(new)
    chosen: dict[str, str] = {}
    if champion is not None:
        old = champion.evaluation.iou
        chosen |= dict.fromkeys(choose_regressions(new, old, count=NUM_COMPARED), "lost most")
    for digest in examples.worst:
        chosen.setdefault(digest, "worst")
    if champion is not None:
        for digest in choose_regressions(old, new, count=NUM_COMPARED):
            chosen.setdefault(digest, "gained most")
    for caption in ("median", "best"):
        for digest in getattr(examples, caption):
            chosen.setdefault(digest, caption)
    return [(caption, digest) for digest, caption in chosen.items()]


@dataclass(frozen=True)
class _Easel:
    """One test picture, to be drawn as annotated and as models see it."""

    artist: Artist
    version: DatasetVersion
    picture: LabelledPicture
    image: np.ndarray

    def draw_sheet(self, candidate: ModelOnPictures, champion: ModelOnPictures | None) -> np.ndarray:
        after = self._draw(candidate, None)
        if champion is None:
            return after
        return self.artist.montage([self._draw(champion, None), after], ["champion", "candidate"], columns=2)

    def draw_panels(
        self, candidate: ModelOnPictures, champion: ModelOnPictures | None
    ) -> Iterator[tuple[str, np.ndarray]]:
        names, truth = self.version.class_names, ground_truth(self.picture)
        yield "annotated", self.artist.draw_truth(self.image, truth, names, long_side_px=PANEL_PX)
        if champion is not None:
            yield "champion", self._draw(champion, PANEL_PX)
        yield "candidate", self._draw(candidate, PANEL_PX)

    def _draw(self, model: ModelOnPictures, long_side_px: int | None) -> np.ndarray:
        found = model.predictions[self.picture.digest].detections
        confident = found.select(found.reach(model.evaluation.iou.score_threshold))
        truth, names = ground_truth(self.picture), self.version.class_names
        return self.artist.draw_overlay(self.image, confident, truth, names, long_side_px=long_side_px)


def _quality_in_words(candidate: ModelOnPictures, champion: ModelOnPictures | None, digest: str) -> str:
    def quality_of(model: ModelOnPictures) -> str:
        table = model.evaluation.iou
        quality = picture_quality(table)[table.picture_ids.index(digest)]
        return "found nothing, rightly" if np.isnan(quality) else f"{quality:.2f}"

    before = f"champion {quality_of(champion)}, " if champion else ""
    return f"{before}candidate {quality_of(candidate)}"
