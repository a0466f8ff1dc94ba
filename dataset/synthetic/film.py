"""A film of the conveyor belt: parts at rest, parts that move beside them, and the truth of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.synthetic.draw import Draw
from dataset.synthetic.parts import CLASS_NAMES, OVERSAMPLING, Part, draw_part
from dataset.synthetic.scene import choose_light, draw_belt, expose, mask_of, put_part

_MARGIN_PX: Final = 40
"""From the border of the picture to the centre of a part at rest."""


@dataclass(frozen=True)
class FilmFrame:
    """One frame.

    Attributes:
        pixels: uint8 (side, side, 3), RGB.
        numbers: Of each part that is seen, from 1; a part keeps its number through the film.
        class_indices: Of the same parts, from 0.
        masks: bool (N, side, side), only what is visible of each; they never overlap.
        at_rest: Which of them do not move.
    """

    pixels: NDArray[np.uint8]
    numbers: tuple[int, ...]
    class_indices: tuple[int, ...]
    masks: NDArray[np.bool_]
    at_rest: tuple[bool, ...]


@dataclass(frozen=True)
class _Placed:
    part: Part
    top_px: int
    left_px: int
    step_px: int

    def at(self, frame: int) -> tuple[int, int]:
        return self.top_px, self.left_px + self.step_px * frame


def shoot_film(seed: int, *, num_frames: int, side_px: int = 256) -> Iterator[FilmFrame]:
    """Yield the frames of a film: three parts at rest, and three that move from left to right or back.

    Moving parts pass beside those at rest and over the edges of some. The same arguments give the same bytes.

    Args:
        seed: Of everything.
        num_frames: How many.
        side_px: Of each frame.
    """
    draw = Draw(seed, 0, 11)
    light = choose_light(draw)
    belt = draw_belt(Draw(seed, 0, 13), side_px * OVERSAMPLING, new=False)
    parts = [*_lay_parts(draw, light, side_px)]
    still = belt.copy()
    for one in parts:
        if not one.step_px:
            put_part(still, one.part, one.at(0), light)
    for frame in range(num_frames):
        canvas = still.copy()
        masks: list[NDArray[np.bool_]] = []
        for one in parts:
            if one.step_px:
                put_part(canvas, one.part, one.at(frame), light)
            mask = mask_of(one.part, one.at(frame), side_px)
            masks = [each & ~mask for each in masks] + [mask]
        seen = [place for place, mask in enumerate(masks) if mask.any()]
        yield FilmFrame(
            expose(Draw(seed, 0, 14), canvas, None, grain_draw=Draw(seed, frame, 15)),
            tuple(place + 1 for place in seen),
            tuple(parts[place].part.class_index for place in seen),
            np.stack([masks[place] for place in seen])
            if seen
            else np.zeros((0, side_px, side_px), dtype=bool),
            tuple(not parts[place].step_px for place in seen),
        )


def _lay_parts(draw: Draw, light: tuple[float, float, float], side_px: int) -> Iterator[_Placed]:
    """Yield the parts at rest, then those that will move over them, one in each of three rows."""
    rows = [round(side_px * share) for share in (0.2, 0.5, 0.8)]
    for row in rows:
        part = draw_part(draw, draw.integer(0, len(CLASS_NAMES) - 1), light)
        half = part.covered.shape[0] // OVERSAMPLING // 2
        yield _Placed(part, row - half, draw.integer(_MARGIN_PX, side_px - _MARGIN_PX) - half, 0)
    for row, step_px in zip(rows, (2, -3, 1), strict=True):
        part = draw_part(draw, draw.integer(0, len(CLASS_NAMES) - 1), light)
        half = part.covered.shape[0] // OVERSAMPLING // 2
        top = row - half + draw.choice((-36, 36))
        start = draw.integer(10, 40) if step_px > 0 else side_px - draw.integer(10, 40)
        yield _Placed(part, top, start - half, step_px)
