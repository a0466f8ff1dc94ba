"""Four metal parts as height fields, and the light that falls on them.

A part is drawn on a square stage at twice the picture's resolution. Coordinates u, v are in picture px from
its centre, turned with the part; heights are in picture px too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.synthetic.draw import Draw, blurred

Floats = NDArray[np.float64]
OVERSAMPLING: Final = 2
CLASS_NAMES: Final = ("bolt", "nut", "washer", "gear")
_METALS: Final = {
    "steel": (158, 163, 170),
    "zinc": (186, 188, 184),
    "brass": (190, 152, 82),
    "bronze": (160, 114, 80),
    "oxide": (84, 84, 92),
    "chromate": (188, 176, 118),
}
_USUAL_METALS: Final = {
    "bolt": ("steel", "zinc", "chromate", "oxide"),
    "nut": ("steel", "zinc", "brass"),
    "washer": ("steel", "zinc", "brass", "chromate"),
    "gear": ("steel", "bronze", "oxide", "brass"),
}


@dataclass(frozen=True)
class Part:
    """One part as drawn: its stage (2 side, 2 side), and where it stands.

    Attributes:
        class_index: Into `CLASS_NAMES`.
        covered: bool (S, S), S the stage's side at twice the picture's resolution.
        colour: float64 (S, S, 3), 0..255, lit.
        height_px: How tall it stands over the belt; its shadow falls as far.
    """

    class_index: int
    covered: NDArray[np.bool_]
    colour: Floats
    height_px: float


def draw_part(draw: Draw, class_index: int, light: tuple[float, float, float]) -> Part:
    """Draw one part of a random size, turn and metal under a light from direction ``light`` (x, y, z)."""
    name = CLASS_NAMES[class_index]
    size_px = draw.uniform(*_SIZES_PX[name])
    u, v = _turned_grid(size_px, draw.uniform(0.0, 2.0 * math.pi))
    covered, relief = _SHAPES[name](draw, u, v, size_px)
    relief = relief + _rounded_edge(covered) * draw.uniform(1.0, 1.6)
    metal = _METALS[draw.choice(_USUAL_METALS[name])]
    height_px = size_px * _HEIGHT_SHARES[name] + 1.0
    return Part(class_index, covered, _lit(draw, relief, metal, u, v, light), height_px)


def _turned_grid(size_px: float, angle: float) -> tuple[Floats, Floats]:
    side = 2 * (int(size_px * 0.5) + 4) * OVERSAMPLING
    line = (np.arange(side, dtype=np.float64) + 0.5 - side / 2) / OVERSAMPLING
    x, y = line[np.newaxis, :], line[:, np.newaxis]
    cosine, sine = math.cos(angle), math.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _rounded_edge(covered: NDArray[np.bool_]) -> Floats:
    soft = blurred(covered.astype(np.float64), 4)
    return np.clip(soft * 2.0 - 1.0, 0.0, 1.0) * 1.6


def _bolt(draw: Draw, u: Floats, v: Floats, size_px: float) -> tuple[NDArray[np.bool_], Floats]:
    head_long, head_half = size_px * draw.uniform(0.18, 0.22), size_px * draw.uniform(0.185, 0.215)
    shank_half = head_half * draw.uniform(0.54, 0.62)
    along = u + size_px / 2
    head = (along > 0) & (along < head_long) & (np.abs(v) < head_half)
    tip = np.clip((size_px - along) * 1.0 + shank_half * 0.55, 0.0, shank_half)
    shank = (along >= head_long) & (along < size_px) & (np.abs(v) < tip)
    pitch = max(2.2, size_px * 0.055)
    phase = (along + v * 0.22) / pitch
    saw = np.abs(phase - np.floor(phase) - 0.5) * 2.0
    threaded = along > head_long + (size_px - head_long) * draw.uniform(0.0, 0.35)
    round_shank = np.sqrt(np.clip(shank_half * shank_half - v * v, 0.0, None))
    facets = head_half * 1.1 - np.clip(np.abs(v) - head_half * 0.5, 0.0, None) * 1.1
    flange = np.clip(1.2 - np.abs(along - head_long + 0.8), 0.0, 1.0) * 0.8
    relief = np.where(head, facets + flange, round_shank * 0.9 + np.where(threaded, saw * 0.9, 0.0))
    return head | shank, relief


def _nut(draw: Draw, u: Floats, v: Floats, size_px: float) -> tuple[NDArray[np.bool_], Floats]:
    flat = size_px * 0.5 * 0.88
    radius = np.sqrt(u * u + v * v)
    hexagon = np.maximum(np.abs(u), np.abs(u) * 0.5 + np.abs(v) * 0.8660254037844386)
    hole = flat * draw.uniform(0.46, 0.54)
    covered = (hexagon < flat) & (radius > hole)
    chamfer = np.clip(radius - flat * 0.9, 0.0, None) * 0.9
    countersink = np.clip(hole + 2.2 - radius, 0.0, None) * 0.9
    return covered, 3.0 - chamfer - countersink


def _washer(draw: Draw, u: Floats, v: Floats, size_px: float) -> tuple[NDArray[np.bool_], Floats]:
    outer = size_px * 0.5
    radius = np.sqrt(u * u + v * v)
    inner = outer * draw.uniform(0.4, 0.52)
    covered = (radius < outer) & (radius > inner)
    split = draw.uniform() < 0.25
    if split:  # a spring washer
        covered &= ~((u > 0) & (np.abs(v + u * 0.3) < size_px * 0.025))
    grooves = radius * 1.3
    ripple = np.abs(grooves - np.floor(grooves) - 0.5) * draw.uniform(0.1, 0.35)
    return covered, ripple + (np.clip(radius - inner, 0.0, outer) * 0.16 if split else 0.0)


def _gear(draw: Draw, u: Floats, v: Floats, size_px: float) -> tuple[NDArray[np.bool_], Floats]:
    tip, num_teeth = size_px * 0.5, draw.integer(8, 12)
    root = tip * draw.uniform(0.79, 0.84)
    radius = np.sqrt(u * u + v * v)
    tooth_half = math.pi * root / num_teeth * 0.56
    covered = radius < root
    for tooth in range(num_teeth):
        angle = 2.0 * math.pi * tooth / num_teeth
        along = u * math.cos(angle) + v * math.sin(angle)
        across = np.abs(v * math.cos(angle) - u * math.sin(angle))
        narrowing = 1.0 - 0.45 * np.clip((along - root) / (tip - root), 0.0, 1.0)
        covered = covered | ((along > 0) & (radius < tip) & (across < tooth_half * narrowing))
    bore = tip * draw.uniform(0.16, 0.26)
    covered &= radius > bore
    covered &= ~((u > 0) & (u < bore * 1.5) & (np.abs(v) < bore * 0.35))
    hub = np.clip((bore * 2.0 - radius) * 1.5, 0.0, 2.0)
    rim = np.clip((radius - root * 0.78) * 1.2, 0.0, 1.8)
    if size_px > 42.0 and draw.uniform() < 0.5:
        covered &= ~_spoke_holes(u, v, (bore * 2.0 + root * 0.78) / 2, (root * 0.78 - bore * 2.0) * 0.36)
    return covered, hub + rim


def _spoke_holes(u: Floats, v: Floats, distance: float, radius: float) -> NDArray[np.bool_]:
    holes = np.zeros(np.broadcast(u, v).shape, dtype=bool)
    for hole in range(5):
        x = distance * math.cos(2.0 * math.pi * hole / 5 + 0.3)
        y = distance * math.sin(2.0 * math.pi * hole / 5 + 0.3)
        holes |= (u - x) * (u - x) + (v - y) * (v - y) < radius * radius
    return holes


def _lit(
    draw: Draw, relief: Floats, metal: tuple[int, int, int], u: Floats, v: Floats, light: tuple[float, ...]
) -> Floats:
    side = relief.shape[0]
    scratches = draw.noise(side, 1) if draw.uniform() < 0.5 else draw.noise(1, side)
    texture = (draw.noise(side, side) - 0.5) * 0.16 + (scratches - 0.5) * 0.22
    soft = blurred(relief, 1)
    slope_x = (np.roll(soft, -1, axis=1) - np.roll(soft, 1, axis=1)) * (OVERSAMPLING / 2) + texture * 0.5
    slope_y = (np.roll(soft, -1, axis=0) - np.roll(soft, 1, axis=0)) * (OVERSAMPLING / 2) + texture * 0.5
    length = np.sqrt(slope_x * slope_x + slope_y * slope_y + 1.0)
    normal_x, normal_y, normal_z = -slope_x / length, -slope_y / length, 1.0 / length
    facing = normal_x * light[0] + normal_y * light[1] + normal_z * light[2]
    mirror_z = 2.0 * facing * normal_z - light[2]
    glint = np.clip(mirror_z, 0.0, 1.0)
    for _ in range(4):
        glint = glint * glint
    sky = np.clip(0.5 - normal_y * 0.7 - normal_x * 0.35, 0.0, 1.0)
    stains = np.clip(draw.clouds(side, side, 14) - draw.uniform(0.5, 0.9), 0.0, 1.0)
    shade = (0.2 + 0.62 * np.clip(facing, 0.0, 1.0) + 0.38 * (sky - 0.5)) * (1.0 + texture)
    shade = shade * (1.0 - 0.8 * stains)
    tint = np.array(metal, dtype=np.float64) * draw.uniform(0.88, 1.12)
    brown = np.array((60.0, 22.0, -10.0)) * stains[:, :, np.newaxis]
    return shade[:, :, np.newaxis] * tint * 1.18 + glint[:, :, np.newaxis] * 120.0 + brown


_SIZES_PX: Final = {"bolt": (46.0, 62.0), "nut": (32.0, 42.0), "washer": (32.0, 46.0), "gear": (40.0, 60.0)}
_HEIGHT_SHARES: Final = {"bolt": 0.1, "nut": 0.16, "washer": 0.03, "gear": 0.09}
"""How tall a part is for its size: a nut throws a long shadow, a washer hardly any."""
_Shape = Callable[[Draw, Floats, Floats, float], tuple[NDArray[np.bool_], Floats]]
_SHAPES: Final[dict[str, _Shape]] = {"bolt": _bolt, "nut": _nut, "washer": _washer, "gear": _gear}
