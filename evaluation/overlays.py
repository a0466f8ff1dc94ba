"""Pictures of what the model saw, for people who have to decide.

Detections are filled and outlined in their class's colour, with name and score; annotated instances have an
outline of black and white dashes. So a missed instance is dashes without colour, a false one colour without
dashes. Annotations drawn alone look like detections, with their names.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evaluation.instances import Detections, GroundTruth, IouTable
from maskloop.masks import boxes_xyxy, decode_masks
from maskloop.pages.class_colours import class_colour

Pixels = NDArray[np.uint8]
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


class Artist(Protocol):
    """Draws what models and people see in pictures: this module, or a fake."""

    def draw_overlay(
        self,
        picture: Pixels,
        detections: Detections,
        truth: GroundTruth | None,
        class_names: Sequence[str],
        *,
        long_side_px: int | None = None,
    ) -> Pixels:
        """See `draw_overlay`."""
        ...

    def draw_truth(
        self,
        picture: Pixels,
        truth: GroundTruth,
        class_names: Sequence[str],
        *,
        long_side_px: int | None = None,
    ) -> Pixels:
        """See `draw_truth`."""
        ...

    def montage(self, pictures: Sequence[Pixels], captions: Sequence[str], *, columns: int) -> Pixels:
        """See `montage`."""
        ...


def draw_overlay(
    picture: Pixels,
    detections: Detections,
    truth: GroundTruth | None,
    class_names: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    long_side_px: int | None = None,
) -> Pixels:
    """Draw detections, and annotations if given, over a picture.

    More than 40 detections are not labelled.

    Args:
        picture: uint8 (H, W, 3).
        detections: Of the picture's size.
        truth: Likewise.
        class_names: What class indices count into.
        labels: Of each detection; None: class and score.
        long_side_px: The result's; None enlarges pictures whose long side is below 512 px by a whole number,
            so that text stays legible, and leaves others as they are.

    Returns:
        uint8 (H', W', 3).

    Raises:
        ValueError: if picture, detections and truth are not of one size.
    """
    sizes = {picture.shape[:2], (detections.height_px, detections.width_px)}
    if len(sizes | ({(truth.height_px, truth.width_px)} if truth else set())) > 1:
        raise ValueError(f"picture, detections and annotations differ in size: {sorted(sizes)}")
    if labels is None:
        scored = zip(detections.class_indices.tolist(), detections.scores.tolist(), strict=True)
        labels = [f"{class_names[index]} {score:.2f}" for index, score in scored]
    return _draw(picture, detections, labels, truth, _scale(picture, long_side_px))


def draw_truth(
    picture: Pixels, truth: GroundTruth, class_names: Sequence[str], *, long_side_px: int | None = None
) -> Pixels:
    """Draw annotations alone. See `draw_overlay`.

    Raises:
        ValueError: if picture and truth are not of one size.
    """
    if picture.shape[:2] != (truth.height_px, truth.width_px):
        raise ValueError(f"picture {picture.shape[:2]}, annotations {(truth.height_px, truth.width_px)}")
    instances = Detections(
        truth.height_px,
        truth.width_px,
        boxes_xyxy(truth.masks).astype(np.float32),
        np.ones(len(truth.masks), dtype=np.float32),
        truth.class_indices,
        truth.masks,
    )
    crowds = zip(truth.class_indices.tolist(), truth.is_crowd.tolist(), strict=True)
    labels = [f"{class_names[index]}{' (crowd)' if is_crowd else ''}" for index, is_crowd in crowds]
    return _draw(picture, instances, labels, None, _scale(picture, long_side_px))


def outline(mask_HW: NDArray[np.bool_], *, width_px: int = 2) -> NDArray[np.bool_]:
    """Return the pixels of a mask that lie within ``width_px`` of its edge, bool (H, W)."""
    inside = mask_HW
    for _ in range(width_px):
        padded = np.pad(inside, 1)
        inside = (
            padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )
    return mask_HW & ~inside


def montage(pictures: Sequence[Pixels], captions: Sequence[str], *, columns: int) -> Pixels:
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


def encode_png(picture: Pixels) -> bytes:
    """Return the picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_jpeg(picture: Pixels) -> bytes:
    """Return the picture as the bytes of a JPEG file: for pages, a tenth of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=85)
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
    ranked = [table.picture_ids[row] for row in np.argsort(-picture_quality(table), kind="stable")]
    ranked = ranked[: int(np.isfinite(picture_quality(table)).sum())]
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
    loss = np.nan_to_num(picture_quality(champion)) - np.nan_to_num(picture_quality(candidate))
    order = np.argsort(-loss, kind="stable")[:count]
    return tuple(champion.picture_ids[row] for row in order if loss[row] > 0)


def picture_quality(table: IouTable) -> NDArray[np.float64]:
    """Return each picture's quality, float64 (P,), 0..1; NaN for a picture with nothing in it."""
    count = (table.num_instances + table.num_false_positives).sum(axis=1)
    quality = np.full(len(count), np.nan)
    np.divide(table.iou_sum.sum(axis=1), count, out=quality, where=count > 0)
    return quality


def _draw(
    picture: Pixels, instances: Detections, labels: Sequence[str], truth: GroundTruth | None, scale: float
) -> Pixels:
    canvas = _scale_picture(picture, scale).astype(np.float32)
    colours = [class_colour(index) for index in instances.class_indices.tolist()]
    for rle, colour in reversed(list(zip(instances.masks, colours, strict=True))):
        mask = _scale_mask(decode_masks([rle])[0], scale)
        canvas[mask] += _FILL_OPACITY * (np.array(colour, dtype=np.float32) - canvas[mask])
        canvas[outline(mask)] = colour
    if truth is not None:
        _draw_dashes(canvas, truth, scale)
    drawn = canvas.astype(np.uint8)
    if len(instances) > _MOST_LABELS:
        return drawn
    return _label(drawn, instances.boxes_xyxy, colours, labels, scale)


def _scale(picture: Pixels, long_side_px: int | None) -> float:
    long_side = max(picture.shape[:2])
    return long_side_px / long_side if long_side_px else float(max(1, -(-_LEAST_LONG_SIDE_PX // long_side)))


def _draw_dashes(canvas: NDArray[np.float32], truth: GroundTruth, scale: float) -> None:
    """Draw every instance's edge in dashes, told apart by their angle as seen from the edge's centre."""
    for rle in truth.masks:
        rows, columns = np.nonzero(outline(_scale_mask(decode_masks([rle])[0], scale)))
        if not rows.size:
            continue
        down, right = rows - rows.mean(), columns - columns.mean()
        along = np.arctan2(down, right) * np.hypot(down, right).mean()
        is_dark = (along // _DASH_PX % 2).astype(np.int64)
        canvas[rows, columns] = np.array(_DASH_COLOURS)[is_dark]


def _label(
    canvas: Pixels,
    boxes_xyxy: NDArray[np.float32],
    colours: Sequence[tuple[int, int, int]],
    labels: Sequence[str],
    scale: float,
) -> Pixels:
    """Write labels at the top left of each box, worst first so that the best stay readable."""
    image = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(image), _font()
    for index in reversed(range(len(labels))):
        text = _shorten(labels[index], image.width)
        width = int(draw.textlength(text, font=font)) + 5
        height = _FONT_SIZE_PX + 3
        left, top = (round(float(edge) * scale) for edge in boxes_xyxy[index, :2])
        left = min(max(0, left), max(0, image.width - width))
        top = min(max(0, top - height), image.height - height)
        draw.rectangle((left, top, left + width, top + height), fill=colours[index])
        draw.text((left + 3, top + 1), text, fill=_readable_on(colours[index]), font=font)
    return np.asarray(image)


def _readable_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, by the luma of ITU-R BT.601."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else (255, 255, 255)


def _scale_picture(picture: Pixels, scale: float) -> Pixels:
    return np.asarray(_resized(Image.fromarray(picture), scale))


def _scale_mask(mask_HW: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    """Scale with a smooth edge, so that a small mask does not look like stairs."""
    return np.asarray(_resized(Image.fromarray(mask_HW.astype(np.uint8) * 255), scale)) >= 128


def _resized(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _shorten(text: str, width_px: int) -> str:
    font = _font()
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "…") > width_px:
        text = text[:-1]
    return text + "…"


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE_PX)
