"""How well the anchors fit the boxes of a data set, and which would fit better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
from maskloop.errors import DataError
from maskloop.settings.model_settings import ModelSettings
from models.ports import Trainer
from models.training.anchor_fit import (
    AnchorRecall,
    AnchorShapes,
    SeenBoxes,
    fit_anchors,
    measure_recall,
    see_boxes,
)


@dataclass(frozen=True)
class FittedAnchors:
    """Anchors, and how many boxes they reach: of all training boxes, and of the small ones alone."""

    shapes: AnchorShapes
    of_all: AnchorRecall
    of_small: AnchorRecall

    def row(self, name: str) -> dict[str, Any]:
        """Lay the figures out as a table's row."""
        figures: dict[str, Any] = {"anchors": name}
        for boxes, recall in (("boxes", self.of_all), ("small boxes", self.of_small)):
            figures[boxes] = recall.num_boxes
            figures |= {f"{boxes}, IoU 0.5": recall.at_50, f"{boxes}, IoU 0.7": recall.at_70}
        figures["mean IoU"] = None if self.of_all.mean_iou is None else f"{self.of_all.mean_iou:.3f}"
        return {key: _in_percent(value) for key, value in figures.items()}

    def as_settings(self) -> str:
        """Return the lines for the [model] section of `maskloop.toml`."""
        sizes, ratios = ([*map(list, self.shapes.sizes_px)], list(self.shapes.aspect_ratios))
        return f"anchor_sizes_px = {sizes}\nanchor_aspect_ratios = {ratios}"


@dataclass(frozen=True)
class AnchorReport:
    """The present anchors and the fitted ones, on the training pictures of a data version."""

    tag: str
    num_pictures: int
    present: FittedAnchors
    fitted: FittedAnchors

    def what_is_lost(self) -> tuple[str, ...]:
        """Name the boxes of which the fitted anchors reach fewer with IoU 0.7 than the present ones."""
        pairs = {
            "boxes": (self.present.of_all.at_70, self.fitted.of_all.at_70),
            "small boxes": (self.present.of_small.at_70, self.fitted.of_small.at_70),
        }
        return tuple(name for name, (now, then) in pairs.items() if (now or 0.0) > (then or 0.0))


def report_anchors(
    data: DatasetStore, settings: ModelSettings, trainer: Trainer, tag: str = ""
) -> AnchorReport:
    """Fit anchors to a version's training boxes and hold the present ones against them.

    Args:
        data: The data versions.
        settings: Name the present anchors.
        trainer: Knows where anchors lie.
        tag: A data version; empty takes the current one.

    Raises:
        DataError: if there is no data version yet, or none of its training pictures has an instance.
        NotFoundError: if there is none of that tag.
        ConfigurationError: if the anchors in the settings do not fit the backbone.
    """
    version = data.open(tag) if tag else data.current()
    if version is None:
        raise DataError("there are no boxes yet to fit anchors to", hint="run `maskloop ingest` first")
    return compare_anchors(version, settings, trainer)


def compare_anchors(version: DatasetVersion, settings: ModelSettings, trainer: Trainer) -> AnchorReport:
    """Measure the anchors of the settings and the fitted ones. Raises as `report_anchors` does."""
    scene = _Scene.of(version, settings, trainer)
    if not len(scene.boxes):
        raise DataError("no training picture has an instance to fit anchors to", where=version.tag)
    fitted = fit_anchors(scene.boxes, scene.present, scene.strides_px)
    num_pictures = len(version.by_split["train"])
    return AnchorReport(version.tag, num_pictures, scene.measure(scene.present), scene.measure(fitted))


def measure_present_anchors(
    version: DatasetVersion, settings: ModelSettings, trainer: Trainer
) -> dict[str, float]:
    """Return, as metrics, which share of the training boxes the anchors of the settings reach, 0..1.

    Raises:
        ConfigurationError: if the anchors in the settings do not fit the backbone.
    """
    scene = _Scene.of(version, settings, trainer)
    measured = scene.measure(scene.present)
    shares = {
        "train/anchors/reach_iou_50": measured.of_all.at_50,
        "train/anchors/reach_iou_70": measured.of_all.at_70,
        "train/anchors/reach_small_iou_50": measured.of_small.at_50,
        "train/anchors/reach_small_iou_70": measured.of_small.at_70,
    }
    return {name: share for name, share in shares.items() if share is not None}


@dataclass(frozen=True)
class _Scene:
    """A version's training boxes as the network sees them, and where its anchors lie."""

    boxes: SeenBoxes
    present: AnchorShapes
    strides_px: tuple[int, ...]

    @classmethod
    def of(cls, version: DatasetVersion, settings: ModelSettings, trainer: Trainer) -> _Scene:
        present, strides_px = trainer.present_anchors(settings)
        pictures = version.by_split["train"]
        boxes = see_boxes(pictures, min_size_px=settings.min_size_px, max_size_px=settings.max_size_px)
        return cls(boxes, present, strides_px)

    def measure(self, shapes: AnchorShapes) -> FittedAnchors:
        boxes = self.boxes
        of_all, of_small = (
            measure_recall(some, shapes, self.strides_px) for some in (boxes, boxes[boxes.is_small()])
        )
        return FittedAnchors(shapes, of_all, of_small)


def _in_percent(value: Any) -> Any:
    return f"{100 * value:.1f} %" if isinstance(value, float) else "" if value is None else value
