"""Pictures of what the model saw, for people who have to decide.

Detections are filled and outlined in their class's colour, with name and score; annotated instances have an
outline of black and white dashes. So a missed instance is dashes without colour, a false one colour without
dashes.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evaluation.instances import Detections, GroundTruth, IouTable
from maskloop.masks import decode_masks

Picture = NDArray[np.uint8]
"""uint8 (H, W, 3), RGB."""

_LEAST_LONG_SIDE_PX: Final = 512
_FILL_OPACITY: Final = 0.35
_DASH_PX: Final = 7
_DASH_COLOURS: Final = ((255, 255, 255), (20, 20, 20))
_MOST_LABELS: Final = 40
_FONT_SIZE_PX: Final = 13
_CAPTION_HEIGHT_PX: Final = 22
_GAP_PX: Final = 6
_PAPER: Final = (250, 250, 250)
_INK: Final = (30, 30, 30)
_GOLDEN_RATIO: Final = 0.618034


def draw_overlay(
    picture: Picture,
    detections: Detections,
    truth: GroundTruth | None,
    class_names: Sequence[str],
) -> Picture:
    """Draw detections, and annotations if given, over a picture.

    Pictures with a long side below 512 px are enlarged by a whole number, so that text stays legible; more
    than 40 detections are not labelled.

    Returns:
        uint8 (k·H, k·W, 3), k whole and 1 or more.

    Raises:
        ValueError: if picture, detections and truth are not of one size.
    """
    sizes = {picture.shape[:2], (detections.height_px, detections.width_px)}
    if len(sizes | ({(truth.height_px, truth.width_px)} if truth else set())) > 1:
        raise ValueError(f"picture, detections and annotations differ in size: {sorted(sizes)}")
    factor = max(1, -(-_LEAST_LONG_SIDE_PX // max(picture.shape[:2])))
    canvas = _enlarge_picture(picture, factor).astype(np.float32)
    colours = [class_colour(index) for index in detections.class_indices.tolist()]
    for rle, colour in reversed(list(zip(detections.masks, colours, strict=True))):
        large = _enlarge_mask(decode_masks([rle])[0], factor)
        canvas[large] += _FILL_OPACITY * (np.array(colour, dtype=np.float32) - canvas[large])
        canvas[outline(large)] = colour
    if truth is not None:
        _draw_truth(canvas, truth, factor)
    drawn = canvas.astype(np.uint8)
    if len(detections) > _MOST_LABELS:
        return drawn
    return _label(drawn, detections, colours, class_names, factor)


def class_colour(class_index: int) -> tuple[int, int, int]:
    """Return a class's colour: hues a golden ratio apart, so that neighbours differ and none moves later."""
    hue = (0.02 + class_index * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def outline(mask_HW: NDArray[np.bool_], *, width_px: int = 2) -> NDArray[np.bool_]:
    """Return the pixels of a mask that lie within ``width_px`` of its edge, bool (H, W)."""
    inside = mask_HW
    for _ in range(width_px):
        padded = np.pad(inside, 1)
        inside = (
            padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )
    return mask_HW & ~inside


def montage(pictures: Sequence[Picture], captions: Sequence[str], *, columns: int) -> Picture:
    """Lay pictures out in a grid, each in a cell as large as the largest, its caption below.

    Raises:
        ValueError: if there are no pictures, not as many captions, or ``columns`` is below 1.
    """
    if not pictures or len(pictures) != len(captions) or columns < 1:
        raise ValueError(f"{len(pictures)} pictures, {len(captions)} captions, {columns} columns")
    columns = min(columns, len(pictures))
    cell_height = max(picture.shape[0] for picture in pictures) + _CAPTION_HEIGHT_PX + _GAP_PX
    cell_width = max(picture.shape[1] for picture in pictures) + _GAP_PX
    num_rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP_PX, num_rows * cell_height + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font()
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = _GAP_PX + column * cell_width, _GAP_PX + row * cell_height
        sheet.paste(Image.fromarray(picture), (left, top))
        text = _shorten(caption, cell_width - _GAP_PX)
        draw.text((left + 2, top + picture.shape[0] + 3), text, fill=_INK, font=font)
    return np.asarray(sheet)


def encode_png(picture: Picture) -> bytes:
    """Return the picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Examples:
    """Picture ids worth a look, each group best first; no picture is in two groups."""

    best: tuple[str, ...]
    median: tuple[str, ...]
    worst: tuple[str, ...]


def choose_examples(table: IouTable, *, each: int = 1) -> Examples:
    """Choose the ``each`` best, median and worst pictures of a table.

    A picture's quality is its summed IoU over its instances and false positives together. Pictures with
    neither say nothing and are left out; with fewer than ``3 * each`` others, the best and then the worst
    are filled first.
    """
    ranked = [table.picture_ids[row] for row in np.argsort(-_quality(table), kind="stable")]
    ranked = ranked[: int(np.isfinite(_quality(table)).sum())]
    best = ranked[:each]
    worst = ranked[each:][-each:] if each else []
    between = ranked[len(best) : len(ranked) - len(worst)]
    start = max(0, (len(between) - each) // 2)
    return Examples(tuple(best), tuple(between[start : start + each]), tuple(worst))


def choose_regressions(candidate: IouTable, champion: IouTable, *, count: int = 3) -> tuple[str, ...]:
    """Return the pictures on which the candidate is worse than the champion, largest loss first.

    Raises:
        ValueError: if the two tables are not of the same pictures.
    """
    if candidate.picture_ids != champion.picture_ids:
        raise ValueError("candidate and champion were not measured on the same pictures")
    loss = np.nan_to_num(_quality(champion)) - np.nan_to_num(_quality(candidate))
    order = np.argsort(-loss, kind="stable")[:count]
    return tuple(champion.picture_ids[row] for row in order if loss[row] > 0)


def _quality(table: IouTable) -> NDArray[np.float64]:
    """Return each picture's quality, float64 (P,), 0..1; NaN for a picture with nothing in it."""
    count = (table.num_instances + table.num_false_positives).sum(axis=1)
    quality = np.full(len(count), np.nan)
    np.divide(table.iou_sum.sum(axis=1), count, out=quality, where=count > 0)
    return quality


def _draw_truth(canvas: NDArray[np.float32], truth: GroundTruth, factor: int) -> None:
    """Draw every instance's edge in dashes, told apart by their angle as seen from the edge's centre."""
    for rle in truth.masks:
        rows, columns = np.nonzero(outline(_enlarge_mask(decode_masks([rle])[0], factor)))
        if not rows.size:
            continue
        down, right = rows - rows.mean(), columns - columns.mean()
        along = np.arctan2(down, right) * np.hypot(down, right).mean()
        is_dark = (along // _DASH_PX % 2).astype(np.int64)
        canvas[rows, columns] = np.array(_DASH_COLOURS)[is_dark]


def _label(
    canvas: Picture,
    detections: Detections,
    colours: Sequence[tuple[int, int, int]],
    class_names: Sequence[str],
    factor: int,
) -> Picture:
    """Write name and score at the top left of each box, worst first so that the best stay readable."""
    image = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(image), _font()
    for index in reversed(range(len(detections))):
        text = f"{class_names[int(detections.class_indices[index])]} {detections.scores[index]:.2f}"
        width = int(draw.textlength(text, font=font)) + 5
        height = _FONT_SIZE_PX + 3
        left, top = (round(float(edge) * factor) for edge in detections.boxes_xyxy[index, :2])
        left = min(max(0, left), max(0, image.width - width))
        top = min(max(0, top - height), image.height - height)
        draw.rectangle((left, top, left + width, top + height), fill=colours[index])
        draw.text((left + 3, top + 1), text, fill=_readable_on(colours[index]), font=font)
    return np.asarray(image)


def _readable_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, by the luma of ITU-R BT.601."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else (255, 255, 255)


def _enlarge_picture(picture: Picture, factor: int) -> Picture:
    height, width = picture.shape[:2]
    image = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _enlarge_mask(mask_HW: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Enlarge with a smooth edge, so that a small mask does not look like stairs."""
    height, width = mask_HW.shape
    image = Image.fromarray(mask_HW.astype(np.uint8) * 255)
    large = image.resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(large) >= 128


def _shorten(text: str, width_px: int) -> str:
    font = _font()
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "…") > width_px:
        text = text[:-1]
    return text + "…"


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE_PX)
