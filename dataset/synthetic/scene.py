"""The conveyor belt, parts lying on it and over each other, and the camera above.

Everything is float64 at twice the picture's resolution until the camera rounds to uint8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.synthetic.draw import Draw, blurred
from dataset.synthetic.parts import CLASS_NAMES, OVERSAMPLING, Floats, Part, draw_part

_PLACING_ATTEMPTS: Final = 20
_MIN_INSIDE_SHARE: Final = 0.7
_MIN_UNHIDDEN_SHARE: Final = 0.75
_MIN_VISIBLE_SHARE: Final = 0.65
_RUBBER: Final = ((64, 66, 68), (72, 72, 70), (58, 62, 66))
_NEW_BELT: Final = ((40, 116, 92), (46, 108, 84))
_PAINTS: Final = ((178, 40, 36), (36, 84, 176), (126, 70, 40), (58, 60, 64))


@dataclass(frozen=True)
class Scene:
    """A photographed scene.

    Attributes:
        pixels: uint8 (side, side, 3), RGB.
        class_indices: Of each part, from 0, bottom part first.
        masks: bool (N, side, side), only what is visible of each part; they never overlap.
    """

    pixels: NDArray[np.uint8]
    class_indices: tuple[int, ...]
    masks: NDArray[np.bool_]


def photograph_scene(seed: int, index: int, *, side_px: int, shift: str | None) -> Scene:
    """Lay up to 5 parts on the belt and take the picture. The same arguments give the same bytes, anywhere.

    Shifts change the look only: the parts and where they lie are those of the unshifted scene.
    """
    draw, look = Draw(seed, index, 1), Draw(seed, index, 2)
    light = choose_light(draw)
    canvas = draw_belt(Draw(seed, index, 3), side_px * OVERSAMPLING, new=shift == "new_background")
    classes: list[int] = []
    needed_px: list[float] = []  # of each part laid so far, how much must stay visible
    masks = np.zeros((0, side_px, side_px), dtype=bool)
    for _ in range(draw.integer(2, 5)):
        class_index = draw.integer(0, len(CLASS_NAMES) - 1)
        part = draw_part(draw, class_index, light)
        if shift == "new_object_look":
            part = _repainted(part, look)
        placed = _place(draw, part, masks, needed_px, side_px)
        if placed is None:
            continue
        stage_at, masks = placed
        classes.append(class_index)
        needed_px.append(_needed_px(part, int(masks[-1].sum())))
        put_part(canvas, part, stage_at, light)
    pixels = expose(Draw(seed, index, 4), canvas, shift)
    return Scene(pixels, tuple(classes), masks)


def choose_light(draw: Draw) -> tuple[float, float, float]:
    """Return the direction the light comes from, x, y, z, of length 1."""
    x, y, z = draw.uniform(-0.6, -0.25), draw.uniform(-0.65, -0.35), 0.8
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def draw_belt(draw: Draw, side: int, *, new: bool) -> Floats:
    """Draw the empty belt, float64 (side, side, 3), 0..255; ``new`` is the one of another look."""
    shade = 0.92 + 0.22 * (draw.clouds(side, side, 96) - 0.5) + 0.16 * (draw.clouds(side, side, 20) - 0.5)
    shade = shade + 0.22 * (blurred(draw.noise(side, side)) - 0.5)
    rows = np.arange(side) + draw.integer(0, 40)
    if new:
        checks = ((rows[:, np.newaxis] // 14 + (np.arange(side) + draw.integer(0, 40)) // 14) % 2) * 0.22
        shade = shade + checks - 0.1
    else:
        shade = (
            shade + 0.14 * (draw.noise(side, 1) - 0.5) + np.where(rows % 12 < 2, -0.09, 0.0)[:, np.newaxis]
        )
    for _ in range(draw.integer(1, 4)):
        _scratch(draw, shade)
    stains = np.clip(draw.clouds(side, side, 40) * 2.4 - 1.6, 0.0, 1.0)
    shade = shade * (1.0 - 0.4 * stains)
    dust = np.where(draw.noise(side, side) > 0.9985, 0.7, 0.0)
    shade = shade + blurred(dust, 1)
    tint = np.array(draw.choice(_NEW_BELT if new else _RUBBER), dtype=np.float64)
    return shade[:, :, np.newaxis] * tint * draw.uniform(0.85, 1.2)


def _scratch(draw: Draw, shade: Floats) -> None:
    side = shade.shape[0]
    x, y = draw.uniform(0, side), draw.uniform(0, side)
    slope, strength = draw.uniform(-0.25, 0.25), draw.uniform(0.06, 0.2)
    for step in range(draw.integer(20, side)):
        row, column = int(y + step * slope), int(x + step)
        if 0 <= row < side and 0 <= column < side:
            shade[row, column] += strength


def _repainted(part: Part, look: Draw) -> Part:
    paint = np.array(
        look.choice(((178, 40, 36), (36, 84, 176), (126, 70, 40), (58, 60, 64))), dtype=np.float64
    )
    grey = (part.colour[:, :, 0] + part.colour[:, :, 1] + part.colour[:, :, 2]) / 420.0
    side = part.covered.shape[0]
    flakes = np.where(look.clouds(side, side, 5) > 0.78, 0.45, 1.0)
    return Part(part.class_index, part.covered, (grey * flakes)[:, :, np.newaxis] * paint, part.height_px)


def _place(
    draw: Draw, part: Part, masks_NHW: NDArray[np.bool_], needed_px: list[float], side_px: int
) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
    """Find a place where enough of every part stays visible; return it with everybody's visible masks."""
    half = part.covered.shape[0] // OVERSAMPLING // 2
    for _ in range(_PLACING_ATTEMPTS):
        top, left = (draw.integer(4, side_px - 5) - half for _ in range(2))
        mask = mask_of(part, (top, left), side_px)
        left_over = masks_NHW & ~mask
        kept_px = [int(each.sum()) for each in left_over]
        if int(mask.sum()) >= _full_px(part) * _MIN_INSIDE_SHARE and all(
            kept >= needed for kept, needed in zip(kept_px, needed_px, strict=True)
        ):
            return (top, left), np.concatenate((left_over, mask[np.newaxis]))
    return None


def _full_px(part: Part) -> float:
    return int(part.covered.sum()) / (OVERSAMPLING * OVERSAMPLING)


def _needed_px(part: Part, inside_px: int) -> float:
    """Return how much of a part must stay visible, of which ``inside_px`` lie inside the picture."""
    return max(inside_px * _MIN_UNHIDDEN_SHARE, _full_px(part) * _MIN_VISIBLE_SHARE)


def mask_of(part: Part, at_px: tuple[int, int], side_px: int) -> NDArray[np.bool_]:
    """Return the pixels at least half covered by the part, bool (H, W)."""
    mask = np.zeros((side_px, side_px), dtype=bool)
    there, here = _windows(part.covered.shape[0] // OVERSAMPLING, at_px, side_px)
    c = part.covered.astype(np.uint8)
    mask[there] = (c[0::2, 0::2] + c[0::2, 1::2] + c[1::2, 0::2] + c[1::2, 1::2] >= 2)[here]
    return mask


def _windows(stage: int, at: tuple[int, int], side: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a stage at ``at`` lies on a canvas, and which piece of the stage that is."""
    starts = [max(0, start) for start in at]
    stops = [min(side, start + stage) for start in at]
    on_canvas = tuple(slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))
    of_stage = tuple(
        slice(start - offset, max(start, stop) - offset)
        for start, stop, offset in zip(starts, stops, at, strict=True)
    )
    return (on_canvas[0], on_canvas[1]), (of_stage[0], of_stage[1])


def put_part(canvas: Floats, part: Part, at_px: tuple[int, int], light: tuple[float, float, float]) -> None:
    """Darken the canvas by the part's shadow, then paint the part over it."""
    side, stage = canvas.shape[0], part.covered.shape[0]
    at = (at_px[0] * OVERSAMPLING, at_px[1] * OVERSAMPLING)
    padded = np.pad(part.covered.astype(np.float64), 12)
    reach = part.height_px * OVERSAMPLING / light[2]
    cast = (at[0] - 12 - round(light[1] * reach), at[1] - 12 - round(light[0] * reach))
    for corner, strength, softness in ((cast, 0.5, 4), ((at[0] - 12, at[1] - 12), 0.35, 6)):
        there, here = _windows(stage + 24, corner, side)
        canvas[there] *= (1.0 - strength * blurred(padded, softness))[here][:, :, np.newaxis]
    there, here = _windows(stage, at, side)
    covered = part.covered[here]
    canvas[there][covered] = part.colour[here][covered]


def expose(
    draw: Draw, canvas: Floats, shift: str | None, *, grain_draw: Draw | None = None
) -> NDArray[np.uint8]:
    """Return a canvas, float64 (2 H, 2 W, 3), as lamp, lens and sensor show it, uint8 (H, W, 3).

    The grain may have chances of its own.
    """
    side = canvas.shape[0]
    lamp_x, lamp_y = draw.uniform(0.1, 0.5), draw.uniform(0.1, 0.5)
    line = (np.arange(side, dtype=np.float64) + 0.5) / side
    away = (line - lamp_x)[np.newaxis, :] ** 2 + (line - lamp_y)[:, np.newaxis] ** 2
    lit = blurred(canvas, 1) * (1.2 - 0.42 * away)[:, :, np.newaxis] * draw.uniform(0.92, 1.1)
    small = (lit[0::2, 0::2] + lit[0::2, 1::2] + lit[1::2, 0::2] + lit[1::2, 1::2]) * 0.25
    small = small * np.array((1.02, 1.0, 0.97))
    small, noise = _shifted(small, shift)
    grain = [(grain_draw or draw).grain(*small.shape[:2]) for _ in range(3)]
    small = small + np.stack(grain, axis=2) * noise
    return np.floor(np.clip(small, 0.0, 255.0) + 0.5).astype(np.uint8)


def _shifted(picture: Floats, shift: str | None) -> tuple[Floats, float]:
    """Return the picture as the shifted camera sees it, before noise, and the noise's strength."""
    if shift == "new_camera":
        softer = blurred(picture, 1)
        return (softer * 0.66 + 54.0) * np.array((0.72, 0.94, 1.3)), 7.0
    if shift == "darkness":
        return picture * 0.3, 5.0
    if shift == "noise":
        return picture, 32.0
    if shift == "blur":
        return blurred(picture, 9), 2.0
    return picture, 2.5
