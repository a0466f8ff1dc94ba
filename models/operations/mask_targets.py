"""What the mask head should have drawn, from masks cut to their boxes.

torchvision resizes every mask with its picture, as a dense array, and takes RoIAlign's mean of it in each
cell. A mask is zero outside its box, and RoIAlign's samples lie on a grid, so the same numbers come out of
two matrix products with the crop alone: one along the columns, one along the rows. Resizing (nearest pixel)
only says which pixel of the crop a sample reads. What this needs does not grow with the picture, nor with the
number of instances but for their crops.

Shape suffixes: M instances, K regions, S cells along a side of a target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.operations.crops import MaskCrop
from models.operations.crowds import CROWD_AREA, sum_crowds

_CELLS_AT_ONCE: Final = 2**20


def make_target(
    crops: Sequence[MaskCrop],
    labels: NDArray[np.int64],
    *,
    height_px: int,
    width_px: int,
    crowds: Sequence[MaskCrop] = (),
) -> dict[str, Tensor]:
    """Return one picture's instances as the network learns from them.

    Args:
        crops: Of the M masks.
        labels: int64 (M,), from 1.
        height_px: Of the picture.
        width_px: Of the picture.
        crowds: Regions that teach nothing.

    Returns:
        ``boxes`` float32 (M, 4), x0, y0, x1, y1 in px, and ``labels`` int64 (M,), as torchvision wants them;
        ``crop_boxes`` int64 (M, 4), the same boxes, which stay as they are when the picture is resized;
        ``crop_pixels`` uint8, the crops' pixels row by row, one crop after the other; ``size_px`` int64 (2,),
        height and width. With crowd regions also ``crowd_area``; see `models.operations.crowds.sum_crowds`.
    """
    boxes = torch.tensor([crop.box_xyxy for crop in crops], dtype=torch.int64).reshape(-1, 4)
    pixels = np.concatenate([np.zeros(0, np.uint8), *(crop.pixels.ravel() for crop in crops)], dtype=np.uint8)
    target = {
        "boxes": boxes.float(),
        "labels": torch.from_numpy(labels),
        "crop_boxes": boxes,
        "crop_pixels": torch.from_numpy(pixels),
        "size_px": torch.tensor([height_px, width_px]),
    }
    if crowds:
        target[CROWD_AREA] = sum_crowds(crowds, height_px=height_px, width_px=width_px)
    return target


def read_crops(target: Mapping[str, Tensor]) -> list[MaskCrop]:
    """Return the crops, bool (H, W), that `make_target` was given, for people to look at."""
    boxes, pixels = target["crop_boxes"].tolist(), target["crop_pixels"].numpy().astype(bool)
    sizes = [(bottom - top, right - left) for left, top, right, bottom in boxes]
    ends = np.cumsum([height * width for height, width in sizes])
    parts = np.split(pixels, ends[:-1]) if sizes else []
    return [
        MaskCrop(left, top, part.reshape(size))
        for (left, top, _, _), part, size in zip(boxes, parts, sizes, strict=True)
    ]


def to_dense_masks(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the target as torchvision wants it: ``boxes``, ``labels`` and ``masks`` uint8 (M, H, W)."""
    height, width = target["size_px"].tolist()
    masks = target["crop_pixels"].new_zeros(len(target["labels"]), height, width)
    boxes = target["crop_boxes"].tolist()
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
    crops = torch.split(target["crop_pixels"], areas)
    for mask, crop, (left, top, right, bottom) in zip(masks, crops, boxes, strict=True):
        mask[top:bottom, left:right] = crop.view(bottom - top, right - left)
    return {"boxes": target["boxes"], "labels": target["labels"], "masks": masks}


@dataclass(frozen=True)
class Crops:
    """The crops of all pictures of a batch.

    Attributes:
        pixels: uint8, one crop after the other.
        boxes: int64 (M, 4), x0, y0, x1, y1 in px of the pictures as they came.
        firsts: int64 (M,), where each crop starts among the pixels.
    """

    pixels: Tensor
    boxes: Tensor
    firsts: Tensor

    @classmethod
    def of(cls, targets: Sequence[dict[str, Tensor]]) -> Crops:
        """Gather each picture's ``crop_boxes``, int64 (M, 4), and ``crop_pixels``; see `make_target`."""
        boxes = torch.cat([target["crop_boxes"] for target in targets])
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        pixels = torch.cat([target["crop_pixels"] for target in targets])
        return cls(pixels, boxes, areas.cumsum(0) - areas)


@dataclass(frozen=True)
class _Axis:
    """One direction of K regions: where each lies, and where its crop does.

    Attributes:
        low: (K,), where the regions start, in px of the resized pictures.
        bin_px: (K,), how long a target's cell is.
        samples: (K,), how many samples RoIAlign takes along a cell.
        length: (K,), of the resized pictures, px.
        original: (K,), of the pictures as they came, px.
        first: int64 (K,), where the crops start, in px of the pictures as they came.
        cells: int64 (K,), of the crops.
    """

    low: Tensor
    bin_px: Tensor
    samples: Tensor
    length: Tensor
    original: Tensor
    first: Tensor
    cells: Tensor

    def __getitem__(self, some: Tensor) -> _Axis:
        return _Axis(**{name: value[some] for name, value in vars(self).items()})


def cut_mask_targets(
    crops: Crops,
    instance_K: Tensor,
    regions_K4: Tensor,
    *,
    original_K2: Tensor,
    resized_K2: Tensor,
    side: int,
) -> Tensor:
    """Return (K, S, S), 0..1: each region's share of its instance's mask, as torchvision computes it.

    Equal to its ``project_masks_on_boxes`` (RoIAlign with ``aligned=False`` and as many samples as a cell has
    pixels) on masks that its transform resized, up to rounding. The host waits for the device once.

    Args:
        crops: Of the whole batch.
        instance_K: int64 (K,), which of the crops belongs to each region.
        regions_K4: float (K, 4), x0, y0, x1, y1 in px of the resized pictures.
        original_K2: Height and width of each region's picture as it came, px.
        resized_K2: The same after resizing.
        side: S.
    """
    if not len(instance_K):
        return regions_K4.new_zeros(0, side, side)
    boxes_K4, first_K = crops.boxes[instance_K], crops.firsts[instance_K]
    rows, columns = (
        _axis(regions_K4, boxes_K4, original_K2, resized_K2, direction, side) for direction in (1, 0)
    )
    order_K = torch.maximum(rows.cells, columns.cells).argsort()
    sizes = torch.stack([rows.cells, columns.cells, rows.samples.long(), columns.samples.long()], dim=1)
    parts = []
    for start, stop, (height, width, along_rows, along_columns) in _alike(sizes[order_K].tolist()):
        some = order_K[start:stop]
        pixels = _pad(crops.pixels, first_K[some], rows.cells[some], columns.cells[some], height, width)
        row_weights = _weights(rows[some], side, along_rows, height)
        column_weights = _weights(columns[some], side, along_columns, width)
        with torch.autocast(pixels.device.type, enabled=False):
            parts.append(row_weights @ pixels.to(row_weights.dtype) @ column_weights.transpose(1, 2))
    return torch.cat(parts)[order_K.argsort()]


def _axis(
    regions_K4: Tensor, boxes_K4: Tensor, original_K2: Tensor, resized_K2: Tensor, direction: int, side: int
) -> _Axis:
    """Look along x (direction 0) or y (1)."""
    low, high = regions_K4[:, direction], regions_K4[:, direction + 2]
    bin_px = (high - low).clamp(min=1.0) / side
    first = boxes_K4[:, direction]
    return _Axis(
        low=low,
        bin_px=bin_px,
        samples=bin_px.ceil(),
        length=resized_K2[:, 1 - direction],
        original=original_K2[:, 1 - direction],
        first=first,
        cells=boxes_K4[:, direction + 2] - first,
    )


def _alike(sizes: list[list[int]]) -> Iterator[tuple[int, int, list[int]]]:
    """Cut crops in ascending order into runs of similar size: start, stop and the largest of each number."""
    start, largest = 0, sizes[0]
    for at, own in enumerate(sizes):
        grown = [max(pair) for pair in zip(largest, own, strict=True)]
        if at > start and (at + 1 - start) * grown[0] * grown[1] > _CELLS_AT_ONCE:
            yield start, at, largest
            start, grown = at, own
        largest = grown
    yield start, len(sizes), largest


def _pad(
    pixels: Tensor, first_K: Tensor, height_K: Tensor, width_K: Tensor, height: int, width: int
) -> Tensor:
    """Return uint8 (K, height, width): each crop, then zeros below and to the right."""
    row, column = torch.arange(height, device=pixels.device), torch.arange(width, device=pixels.device)
    in_row = row[:, None] < height_K[:, None, None]
    is_inside = in_row & (column < width_K[:, None, None])
    at = first_K[:, None, None] + row[:, None] * width_K[:, None, None] + column
    return pixels[at.mul_(is_inside)] * is_inside


def _weights(axis: _Axis, bins: int, most_samples: int, most_cells: int) -> Tensor:
    """Return (K, S, most_cells): how much each pixel of a crop's line counts in each cell of a target."""
    device, dtype = axis.low.device, axis.low.dtype
    bin_px, samples = axis.bin_px[:, None, None], axis.samples[:, None, None]
    last = axis.length[:, None, None].to(dtype) - 1.0
    bin_, nth = torch.arange(bins, device=device)[:, None], torch.arange(most_samples, device=device)
    at = axis.low[:, None, None] + bin_ * bin_px + (nth + 0.5) * bin_px / samples
    weight = ((nth < samples) & (at >= -1.0) & (at <= last + 1.0)) / samples
    at = torch.minimum(at.clamp(min=0.0), last)
    below = at.floor()
    share = at - below
    weights = at.new_zeros(len(at), bins, most_cells + 1)  # the last one takes what lies outside the crop
    corners = ((below, 1.0 - share), (torch.minimum(below + 1.0, last), share))
    for cell, part in corners:
        weights.scatter_add_(2, _read_pixel(cell, axis, most_cells), part * weight)
    return weights[:, :, :most_cells]


def _read_pixel(cell: Tensor, axis: _Axis, most_cells: int) -> Tensor:
    """Return int64, the crop's pixel that a pixel of the resized mask was copied from; most_cells if none.

    In float32, as ``interpolate(mode="nearest")`` computes it.
    """
    scale = axis.original.float() / axis.length.float()
    pixel = torch.minimum((cell.float() * scale[:, None, None]).long(), axis.original[:, None, None] - 1)
    own = pixel - axis.first[:, None, None]
    is_outside = (own < 0) | (own >= axis.cells[:, None, None])
    return own.masked_fill(is_outside, most_cells)
