"""Pictures of a batch to look at: masks as they were read and, where they were mended, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.bends.mending import Mended, MendedExample
from dataset.coco.validation import UsablePicture, ValidationReport
from dataset.health.batch_looks import OtherLook, ShownInstance
from dataset.labelled_pictures import LabelledInstance
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.problems import DataProblem, by_kind
from dataset.raw.conversion import PictureConversion
from evaluation.instances import GroundTruth
from evaluation.overlays import draw_truth, encode_jpeg
from maskloop.errors import PictureError
from maskloop.masks import Rle, areas_px, boxes_xyxy, decode_masks, encode_masks
from maskloop.pages.embedded_pictures import embed_jpeg

_MOST_PICTURES: Final = 12
_PICTURES_OF_A_KIND: Final = 2
_LONG_SIDE_PX: Final = 480
_MARGIN_PX: Final = 4


def draw_examples(
    found: ValidationReport,
    mended: Mended,
    images_dir: Path,
    max_mpx: float,
    conversion: PictureConversion,
) -> Iterator[dict[str, str]]:
    """Draw some pictures with a warning or an error that can be seen.

    Args:
        found: What was found in the batch.
        mended: What was mended in it. The smallest mended mask of a picture is drawn enlarged.
        images_dir: The folder of its pictures.
        max_mpx: Pictures larger than this are not decoded.
        conversion: How values that are no 8-bit RGB become it.

    Returns:
        The ``caption`` and ``url`` of each.
    """
    chosen = list(_choose_examples(found))[:_MOST_PICTURES]
    if not chosen:
        return
    examples = {(one.code, one.before.found.name): one for one in mended.examples}
    with SandboxedDecoder(DecodingLimits(max_mpx=max_mpx), conversion) as decoder:
        for problem, picture in chosen:
            try:
                pixels = decoder.open((images_dir / picture.found.path).read_bytes()).pixels
            except (OSError, PictureError):  # it changed or disappeared since it was read
                continue
            caption = f"{problem.code}: {picture.found.name}"
            example = examples.get((problem.code, picture.found.name))
            if example is None:
                yield _draw(pixels, picture.instances, found.class_names, caption)
                continue
            window = _around_smallest_change(example, picture)
            for one, when in ((example.before, "before"), (picture, "mended")):
                instances = _cut_out(one.instances, window)
                yield _draw(pixels[window], instances, found.class_names, f"{caption}, {when}")


def draw_looks(
    looks: Sequence[OtherLook], max_mpx: float, conversion: PictureConversion
) -> Iterator[dict[str, Any]]:
    """Draw instances of the classes that look otherwise, those of the data and those of the batch.

    Args:
        looks: The classes.
        max_mpx: Pictures larger than this are not decoded.
        conversion: How values that are no 8-bit RGB become it.

    Returns:
        The ``class_name`` of each, and two ``sides`` with ``title`` and ``pictures``, each of these with
        ``caption`` and ``url``.
    """
    if not looks:
        return
    with SandboxedDecoder(DecodingLimits(max_mpx=max_mpx), conversion) as decoder:
        for look in looks:
            sides = [
                {"title": title, "pictures": list(_draw_shown(shown, look, decoder))}
                for title, shown in (("In the data", look.old), ("In this batch", look.new))
            ]
            yield {"class_name": look.class_name, "sides": sides}


def _draw_shown(
    shown: Sequence[ShownInstance], look: OtherLook, decoder: SandboxedDecoder
) -> Iterator[dict[str, Any]]:
    for one in shown:
        try:
            pixels = decoder.open(Path(one.picture.file).read_bytes()).pixels
        except (OSError, PictureError):  # it changed or disappeared since it was read
            continue
        instance = one.picture.instances[one.label]
        window = _around(instance.mask, pixels.shape[0], pixels.shape[1])
        cut = _cut_out((instance,), window)
        yield _draw(pixels[window], cut, (look.class_name,) * (instance.class_index + 1), one.picture.name)


def _choose_examples(found: ValidationReport) -> Iterator[tuple[DataProblem, UsablePicture]]:
    by_name = {picture.found.name: picture for picture in found.usable}
    for kind in by_kind(found.all_problems):
        if kind.severity == "info":
            continue
        alike = [one for one in found.all_problems if one.code == kind.code]
        names = dict.fromkeys(one.shown_in for one in alike if one.shown_in in by_name)
        for name in list(names)[:_PICTURES_OF_A_KIND]:
            yield kind, by_name[name]


def _around_smallest_change(example: MendedExample, after: UsablePicture) -> tuple[slice, slice]:
    """Return rows and columns around the smallest mask that the mend changed, with as much again beside it.

    Masks of a photograph that was turned since they were drawn are not found again: any changed one counts.
    """
    before, kept = example.before, set(after.instances)
    every = [one.mask for one in before.instances if one not in kept]
    changed = [mask for mask in every if mask in example.bent] or every
    height_px, width_px = before.found.height_px, before.found.width_px
    if not changed:
        return slice(0, height_px), slice(0, width_px)
    return _around(changed[int(areas_px(changed).argmin())], height_px, width_px)


def _around(mask: Rle, height_px: int, width_px: int) -> tuple[slice, slice]:
    left, top, right, bottom = boxes_xyxy([mask])[0].astype(int).tolist()
    margin = _MARGIN_PX + max(right - left, bottom - top) // 2
    rows = slice(max(0, top - margin), min(height_px, bottom + margin))
    return rows, slice(max(0, left - margin), min(width_px, right + margin))


def _cut_out(
    instances: tuple[LabelledInstance, ...], window: tuple[slice, slice]
) -> tuple[LabelledInstance, ...]:
    rows, columns = window
    cut = []
    boxes = boxes_xyxy([one.mask for one in instances])
    for one, (left, top, right, bottom) in zip(instances, boxes, strict=True):
        is_beside = right <= columns.start or left >= columns.stop or bottom <= rows.start or top >= rows.stop
        if not is_beside and (pixels := decode_masks([one.mask])[0][window]).any():
            cut.append(LabelledInstance(one.class_index, encode_masks(pixels[None])[0], one.is_crowd))
    return tuple(cut)


def _draw(
    pixels: NDArray[np.uint8],
    instances: tuple[LabelledInstance, ...],
    class_names: tuple[str, ...],
    caption: str,
) -> dict[str, Any]:
    height_px, width_px = pixels.shape[:2]
    truth = GroundTruth(
        picture_id=caption,
        source="",
        height_px=height_px,
        width_px=width_px,
        class_indices=np.array([one.class_index for one in instances], dtype=np.int64),
        masks=tuple(one.mask for one in instances),
        is_crowd=np.array([one.is_crowd for one in instances], dtype=bool),
    )
    drawn = draw_truth(pixels, truth, class_names, long_side_px=_LONG_SIDE_PX)
    return {"caption": caption, "url": embed_jpeg(encode_jpeg(drawn))}
