"""Cheap views of a picture: what a model finds in all of them is certain, what it finds in some is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.orientation import orient_boxes, orient_mask
from evaluation.instances import Detections

_MIRRORED: Final = 2
"""The EXIF orientation that exchanges left and right, and is its own inverse."""


@dataclass(frozen=True)
class View:
    """A change of a picture that should not change what is found in it.

    Attributes:
        name: As people read it.
        gain: Pixel values are multiplied by it; what exceeds 255 becomes 255.
        is_mirrored: Left and right are exchanged.
    """

    name: str
    gain: float = 1.0
    is_mirrored: bool = False

    def show(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a picture, uint8 (H, W, 3), in this view."""
        shown = pixels[:, ::-1] if self.is_mirrored else pixels
        if self.gain != 1.0:
            shown = np.clip(np.rint(shown * self.gain), 0.0, 255.0).astype(np.uint8)
        return np.ascontiguousarray(shown)

    def bring_back(self, found: Detections) -> Detections:
        """Return what was found in this view in the coordinates of the picture."""
        if not self.is_mirrored:
            return found
        return Detections(
            found.height_px,
            found.width_px,
            orient_boxes(found.boxes_xyxy, _MIRRORED, found.height_px, found.width_px),
            found.scores,
            found.class_indices,
            tuple(orient_mask(mask, _MIRRORED) for mask in found.masks),
        )


VIEWS: Final = (
    View("as it is"),
    View("mirrored", is_mirrored=True),
    View("darker", 0.8),
    View("lighter", 1.25),
)
"""The first one is the picture itself, whose answer is also drawn and handed to the labelling tool."""


def choose_views(*, may_mirror: bool) -> tuple[View, ...]:
    """Return the views, without the mirrored one where a mirror image is of another class."""
    return tuple(view for view in VIEWS if may_mirror or not view.is_mirrored)
