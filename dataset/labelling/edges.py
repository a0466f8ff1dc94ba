"""Outlines along the edges of pixels, which COCO and Label Studio draw as exactly the same pixels."""

from __future__ import annotations

import numpy as np

from maskloop.masks import Rle, crop_mask

Corner = tuple[int, int]


def trace_edges(mask: Rle) -> list[Corner] | None:
    """Return the corners of a mask's outline, (x, y) in px; None for a mask with holes or several parts.

    Pixels that touch at a corner only are parts of their own.
    """
    left, top, pixels_hw = crop_mask(mask)
    if not pixels_hw.any():
        return None
    framed = np.pad(pixels_hw, 1)
    steps: dict[Corner, list[Corner]] = {}
    for (dy, dx), start, end in (
        ((-1, 0), (0, 0), (1, 0)),  # each edge has the mask on its right
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    ):
        beside = np.roll(framed, (-dy, -dx), axis=(0, 1))
        for y, x in np.argwhere(framed & ~beside).tolist():
            steps.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    if any(len(ends) > 1 for ends in steps.values()):
        return None
    first = next(iter(steps))
    outline, at = [first], steps.pop(first)[0]
    while at != first:
        outline.append(at)
        at = steps.pop(at)[0]
    if steps:
        return None
    corners = [
        here
        for before, here, after in zip(
            outline[-1:] + outline[:-1], outline, outline[1:] + outline[:1], strict=True
        )
        if (here[0] - before[0]) * (after[1] - here[1]) != (here[1] - before[1]) * (after[0] - here[0])
    ]
    return [(x - 1 + left, y - 1 + top) for x, y in corners]
