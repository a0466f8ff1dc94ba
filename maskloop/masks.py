"""Masks as COCO run-length encodings, behind the one check in front of pycocotools.

pycocotools trusts its input: a run-length code that does not add up makes it loop for ever while holding
the interpreter lock, and NaN in a polygon ends the process. Nothing but this module imports it, and every
mask is checked here before it gets there.

Shape suffixes: N masks, M other masks, H height in px, W width in px.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from maskloop.errors import MaskError

MAX_SIDE_PX: Final = 32_768
MAX_AREA_PX: Final = 100_000_000
MAX_COORDINATE_PX: Final = 65_536.0
MAX_VERTICES: Final = 200_000
MAX_PERIMETER_PX: Final = 20_000_000.0
_MAX_CHARACTERS_PER_NUMBER: Final = 6
_MAX_AT_ONCE: Final = 255  # pycocotools 2.0.11 puts the number of masks into a uint8 where it counts pixels
_FIRST_CHARACTER: Final = 48


class Rle(msgspec.Struct, frozen=True, gc=False):
    """One binary mask, compressed the way COCO does it (column-major runs, first run is background).

    Build it with `encode_masks`, `rle_from_coco` or `Rle.checked`; those guarantee that the runs add up.
    """

    height_px: int
    width_px: int
    counts: bytes

    @classmethod
    def checked(cls, height_px: int, width_px: int, counts: bytes | str) -> Rle:
        """Build from compressed counts of unknown origin. Raises MaskError if they do not fit the size."""
        _check_size(height_px, width_px)
        data = counts.encode("ascii", "replace") if isinstance(counts, str) else bytes(counts)
        _check_runs(_decode_counts(data), height_px, width_px)
        return cls(height_px, width_px, data)

    def to_coco(self) -> dict[str, Any]:
        """Return ``{"size": [h, w], "counts": str}``, ready for JSON."""
        return {"size": [self.height_px, self.width_px], "counts": self.counts.decode("ascii")}


def encode_masks(masks_NHW: NDArray[Any]) -> tuple[Rle, ...]:
    """Encode N masks (bool or 0/1 integers, shape (N, H, W)).

    Raises:
        MaskError: if the array is not three-dimensional or too large.
    """
    if masks_NHW.ndim != 3:
        raise MaskError(f"masks must have the shape (N, H, W), not {masks_NHW.shape}")
    num_masks, height, width = masks_NHW.shape
    _check_size(height, width)
    if num_masks == 0:
        return ()
    fortran = np.asfortranarray((masks_NHW != 0).transpose(1, 2, 0).astype(np.uint8))
    return tuple(Rle(height, width, bytes(rle["counts"])) for rle in _native().encode(fortran))


def decode_masks(rles: Sequence[Rle], *, height_px: int = 0, width_px: int = 0) -> NDArray[np.bool_]:
    """Decode masks of one common size into a bool array of shape (N, H, W).

    ``height_px`` and ``width_px`` give the shape of the result when there are no masks.

    Raises:
        MaskError: if the sizes differ.
    """
    if not rles:
        return np.zeros((0, height_px, width_px), dtype=bool)
    _check_common_size(rles)
    height, width = rles[0].height_px, rles[0].width_px
    masks_NHW = np.empty((len(rles), height, width), dtype=bool)
    for mask_HW, rle in zip(masks_NHW, rles, strict=True):
        runs = _decode_counts(rle.counts)
        mask_HW[:] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    return masks_NHW


def crop_mask(rle: Rle) -> tuple[int, int, NDArray[np.bool_]]:
    """Decode a mask's tight box alone: large pictures hold small masks.

    Returns:
        The box's left and top in px, and its pixels, bool (h, w); (0, 0) in size if the mask is empty.
    """
    left, top, right, bottom = (int(side) for side in boxes_xyxy([rle])[0])
    runs = _decode_counts(rle.counts)
    ends = np.clip(np.cumsum(runs) - left * rle.height_px, 0, (right - left) * rle.height_px)
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(ends, prepend=0))
    return left, top, columns.reshape(right - left, rle.height_px).T[top:bottom]


def place_mask(
    pixels_hw: NDArray[np.bool_], *, left_px: int, top_px: int, height_px: int, width_px: int
) -> Rle:
    """Put a small mask, bool (h, w), into an empty one of a picture's size: what `crop_mask` takes apart.

    Raises:
        MaskError: if the picture's size is impossible, or the small mask does not lie inside it.
    """
    return place_masks([(left_px, top_px, pixels_hw)], height_px=height_px, width_px=width_px)[0]


def place_masks(
    parts: Iterable[tuple[int, int, NDArray[np.bool_]]], *, height_px: int, width_px: int
) -> tuple[Rle, ...]:
    """Put small masks into empty ones of one picture's size, whose other pixels are never looked at.

    Args:
        parts: Left and top in px and pixels, bool (h, w), of each; taken one by one, so they may be made
            while they are asked for.
        height_px: Of the picture.
        width_px: Of the picture.

    Raises:
        MaskError: if the picture's size is impossible, or a small mask does not lie inside it.
    """
    _check_size(height_px, width_px)
    changes = [_changes(*part, height_px, width_px) for part in parts]
    return tuple(
        Rle(height_px, width_px, counts) for counts in _encode_changes(changes, height_px * width_px)
    )


def _changes(
    left_px: int, top_px: int, pixels_hw: NDArray[np.bool_], height_px: int, width_px: int
) -> NDArray[np.int64]:
    """Return where the picture's pixels, column by column, differ from the one before, in order."""
    height, width = pixels_hw.shape
    if min(left_px, top_px) < 0 or top_px + height > height_px or left_px + width > width_px:
        raise MaskError("the mask does not lie inside the picture")
    framed = np.zeros((height + 2, width), dtype=bool)
    framed[1:-1] = pixels_hw
    rows, columns = np.divmod(np.flatnonzero(framed[1:] != framed[:-1]), max(1, width))
    changes: NDArray[np.int64] = np.sort((left_px + columns) * height_px + (top_px + rows))
    if height == height_px:  # a run may go on from the end of a column to the start of the next
        changes, times = np.unique(changes, return_counts=True)
        changes = changes[times == 1]
    at_the_end = len(changes) > 0 and changes[-1] == height_px * width_px
    return changes[:-1] if at_the_end else changes


def areas_px(rles: Sequence[Rle]) -> NDArray[np.int64]:
    """Return each mask's number of pixels, int64 (N,)."""
    areas = np.zeros(len(rles), dtype=np.int64)
    for start in range(0, len(rles), _MAX_AT_ONCE):
        block = slice(start, start + _MAX_AT_ONCE)
        areas[block] = _native().area([_to_native(rle) for rle in rles[block]])
    return areas


def unite_masks(rles: Sequence[Rle]) -> Rle:
    """Return the pixels that any of one or more masks covers. Raises MaskError if their sizes differ."""
    _check_common_size(rles)
    first = rles[0]
    if len(rles) == 1:
        return first
    return Rle(first.height_px, first.width_px, bytes(_native().merge([*map(_to_native, rles)])["counts"]))


def boxes_xyxy(rles: Sequence[Rle]) -> NDArray[np.float64]:
    """Return each mask's tight box, float64 (N, 4), x0, y0, x1, y1 in px; zeros where it is empty."""
    boxes = np.zeros((len(rles), 4), dtype=np.float64)
    for start in range(0, len(rles), _MAX_AT_ONCE):  # in blocks, so that memory stays small
        block = slice(start, start + _MAX_AT_ONCE)
        boxes[block] = _native().toBbox([_to_native(rle) for rle in rles[block]]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def mask_iou(
    rles_N: Sequence[Rle], rles_M: Sequence[Rle], is_crowd_M: Sequence[bool] | None = None
) -> NDArray[np.float64]:
    """Return intersection over union, float64 (N, M), in 0..1.

    For a crowd column the union is the first mask's own area, as COCO's evaluation has it.

    Raises:
        MaskError: if the masks are not all of one size.
    """
    if not rles_N or not rles_M:
        return np.zeros((len(rles_N), len(rles_M)), dtype=np.float64)
    _check_common_size([*rles_N, *rles_M])
    crowd = [int(flag) for flag in is_crowd_M] if is_crowd_M is not None else [0] * len(rles_M)
    iou = _native().iou([_to_native(rle) for rle in rles_N], [_to_native(rle) for rle in rles_M], crowd)
    return np.asarray(iou, dtype=np.float64).reshape(len(rles_N), len(rles_M))


def rle_from_coco(segmentation: Any, height_px: int, width_px: int) -> Rle:
    """Turn any COCO segmentation (polygons, uncompressed or compressed RLE) into one checked mask.

    Args:
        segmentation: A list of polygons ``[[x0, y0, x1, y1, …], …]`` in px, or ``{"size": [h, w],
            "counts": str | bytes | list[int]}``.
        height_px: The picture's height; an RLE of another size is refused.
        width_px: The picture's width.

    Raises:
        MaskError: with the reason, for anything native code should not see.
    """
    _check_size(height_px, width_px)
    if isinstance(segmentation, dict):
        return _rle_from_dict(segmentation, height_px, width_px)
    if isinstance(segmentation, list | tuple):
        return _rle_from_polygons(segmentation, height_px, width_px)
    raise MaskError(f"a segmentation is a list of polygons or an RLE, not {type(segmentation).__name__}")


def _rle_from_dict(segmentation: dict[str, Any], height_px: int, width_px: int) -> Rle:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or [*size] != [height_px, width_px]:
        raise MaskError(f"the RLE's size {size} is not the picture's [{height_px}, {width_px}]")
    if isinstance(counts, str | bytes):
        return Rle.checked(height_px, width_px, counts)
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise MaskError("an RLE's counts are text or a list of whole numbers")
    _check_runs(counts, height_px, width_px)
    native = _native().frPyObjects({"size": [height_px, width_px], "counts": counts}, height_px, width_px)
    return Rle(height_px, width_px, bytes(native["counts"]))


def _rle_from_polygons(polygons: Iterable[Any], height_px: int, width_px: int) -> Rle:
    checked = [_checked_polygon(polygon) for polygon in polygons]
    if not checked:
        raise MaskError("the list of polygons is empty")
    if (num_points := sum(map(len, checked)) // 2) > MAX_VERTICES:
        raise MaskError(f"an outline has {num_points} points; at most {MAX_VERTICES} are accepted")
    if sum(map(_perimeter_px, checked)) > MAX_PERIMETER_PX:
        raise MaskError("an outline is absurdly long")
    parts = _native().frPyObjects(checked, height_px, width_px)
    merged = _native().merge(parts) if len(parts) > 1 else parts[0]
    return Rle(height_px, width_px, bytes(merged["counts"]))


def _checked_polygon(polygon: Any) -> list[float]:
    if not isinstance(polygon, list | tuple):
        raise MaskError("a polygon is a list of numbers x0, y0, x1, y1, …")
    if len(polygon) < 6 or len(polygon) % 2:
        raise MaskError(
            f"a polygon needs three points or more, as pairs; this one has {len(polygon)} numbers"
        )
    if not all(type(number) in (int, float) for number in polygon):
        raise MaskError("a polygon holds something that is not a number")
    if not all(abs(number) <= MAX_COORDINATE_PX for number in polygon):  # false for NaN too
        raise MaskError("a polygon holds a coordinate that is not finite or far outside any picture")
    return [float(number) for number in polygon]


def _perimeter_px(polygon: Sequence[float]) -> float:
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    return float(np.abs(np.diff(points, axis=0, append=points[:1])).sum())


def _check_size(height_px: Any, width_px: Any) -> None:
    for side in (height_px, width_px):
        if type(side) is not int and not isinstance(side, np.integer):
            raise MaskError(f"a mask's size must be whole numbers, not {side!r}")
        if not 1 <= side <= MAX_SIDE_PX:
            raise MaskError(f"a mask's sides must be 1 to {MAX_SIDE_PX} px, not {side}")
    if height_px * width_px > MAX_AREA_PX:
        raise MaskError(f"a mask of {width_px} x {height_px} px is too large")


def _check_common_size(rles: Sequence[Rle]) -> None:
    sizes = {(rle.height_px, rle.width_px) for rle in rles}
    if len(sizes) > 1:
        raise MaskError(f"masks of different sizes cannot be compared: {sorted(sizes)}")


def _check_runs(runs: Sequence[int] | NDArray[np.int64], height_px: int, width_px: int) -> None:
    area = height_px * width_px
    if not 1 <= len(runs) <= area + 1:
        raise MaskError(f"an RLE of {len(runs)} runs does not describe {area} pixels")
    if np.min(runs) < 0 or np.max(runs) > area or np.sum(runs) != area:
        raise MaskError(f"an RLE's runs do not add up to its {area} pixels")


def _decode_counts(counts: bytes) -> NDArray[np.int64]:
    """Read COCO's compressed counts: 5 bits a character, lowest first, bit 5 set where the number goes on.

    The last character's bit 4 is the sign, and from the fourth number on each is the difference to the one
    two before it.
    """
    bits = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if np.any((bits < 0) | (bits > 63)):
        raise MaskError("an RLE's text holds a character that does not belong there")
    ends = np.flatnonzero((bits & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1 if len(ends) else np.zeros(0, dtype=np.int64)
    if lengths.sum() != len(bits) or np.any(lengths > _MAX_CHARACTERS_PER_NUMBER):
        raise MaskError("an RLE's text ends in the middle of a number, or a number is too long")
    if not len(bits):
        return bits
    shifts = 5 * (np.arange(len(bits)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((bits & 31) << shifts, starts)
    runs -= np.where(bits[ends] & 16, 1 << (5 * lengths), 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs


def _encode_changes(changes: Sequence[NDArray[np.int64]], area_px: int) -> list[bytes]:
    """Write masks, each given by where its runs end except the last, as `_decode_counts` reads them."""
    if not changes:
        return []
    lengths = np.array([len(each) + 1 for each in changes])
    firsts = np.cumsum(lengths) - lengths
    ends = np.concatenate([part for each in changes for part in (each, [area_px])])
    runs = np.diff(ends, prepend=0)
    runs[firsts] = ends[firsts]
    late = np.flatnonzero(np.arange(len(runs)) - np.repeat(firsts, lengths) > 2)
    numbers = runs.copy()
    numbers[late] -= runs[late - 2]
    return _write_numbers(numbers, lengths)


def _write_numbers(numbers: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[bytes]:
    """Write numbers with as few characters as each can have, and cut the text after ``lengths`` of them."""
    limits = 1 << (5 * np.arange(1, _MAX_CHARACTERS_PER_NUMBER) - 1)
    sizes = 1 + np.searchsorted(limits, np.where(numbers < 0, ~numbers, numbers), side="right")
    stops = np.cumsum(sizes)
    shifts = 5 * (np.arange(stops[-1]) - np.repeat(stops - sizes, sizes))
    bits = (np.repeat(numbers, sizes) >> shifts) & 31 | 32
    bits[stops - 1] &= 31
    text = (bits + _FIRST_CHARACTER).astype(np.uint8).tobytes()
    cuts = [0, *stops[np.cumsum(lengths) - 1].tolist()]
    return [text[start:stop] for start, stop in pairwise(cuts)]


def _to_native(rle: Rle) -> dict[str, Any]:
    return {"size": [rle.height_px, rle.width_px], "counts": rle.counts}


@cache
def _native() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from pycocotools import mask

    return mask
