"""The pictures that carry an alarm, each beside the most similar of the champion's own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.pages.embedded_pictures import embed_picture
from monitoring.selection.carriers import Carrier

_MAX_SIDE_PX: Final = 176
_MAX_BYTES: Final = 12_000
"""Of one picture: fifty pairs take at most 1.6 MB of the page."""


@dataclass(frozen=True, eq=False)
class CarrierPicture:
    """A sample that carries an alarm, and its pictures.

    Attributes:
        carrier: The sample's part.
        pixels: uint8 (H, W, 3); None if the picture is not kept any more, or cannot be read.
        nearest: The nearest of the champion's own, uint8 (H, W, 3); likewise.
    """

    carrier: Carrier
    pixels: NDArray[np.uint8] | None
    nearest: NDArray[np.uint8] | None


@dataclass(frozen=True)
class ShownPair:
    """One entry of the gallery.

    Attributes:
        carrier: The sample's part.
        picture: A data URL; empty without a picture.
        nearest: The same.
        no_nearest: Why there is none; empty if there is one.
    """

    carrier: Carrier
    picture: str
    nearest: str
    no_nearest: str


def show_pairs(pictures: Sequence[CarrierPicture]) -> list[ShownPair]:
    """Return the entries in their order."""
    return [
        ShownPair(one.carrier, _embed(one.pixels), _embed(one.nearest), _tell_missing(one))
        for one in pictures
    ]


def _embed(pixels: NDArray[np.uint8] | None) -> str:
    return "" if pixels is None else embed_picture(pixels, max_side_px=_MAX_SIDE_PX, max_bytes=_MAX_BYTES)


def _tell_missing(one: CarrierPicture) -> str:
    if one.nearest is not None:
        return ""
    return "not kept any more" if one.carrier.nearest else "unknown"
