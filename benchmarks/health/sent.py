"""Labelled instances in pictures that production sends: ``python -m benchmarks.health.sent [--quick]``.

On real photographs: which instances are found in parts of their picture, as they are and after what may
happen to them on their way, and how many are found in other photographs, where all that is found is wrong or
a copy in the published data. The same is measured for a comparison of looks that is told where to look: the
grey cells of an instance's box, as whole pictures are compared. On drawn pictures: CPU time as the number of
samples grows. Figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.health.photographs import PUBLISHED
from benchmarks.provenance import describe_run
from benchmarks.real.__main__ import find_data
from dataset.health.copies import MIN_AREA_PX, KnownInstances, Place
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.pictures.decoding import encode_png
from dataset.pictures.looks import MIN_CORRELATION, grey_cells, standardised
from dataset.pictures.sandbox import DecodingLimits, SandboxedDecoder
from dataset.synthetic.scene import photograph_scene
from maskloop.masks import areas_px, boxes_xyxy, encode_masks, rle_from_coco

SIZES: Final = (10_000, 100_000)
_NUM_DRAWN: Final = 500
_SIDE_PX: Final = 128
_SHARE: Final = 0.7
"""Of a picture's width and height that a part of it has."""
_ROWS_AT_ONCE: Final = 500
Pixels = NDArray[np.uint8]
Labelled = tuple[LabelledPicture, Pixels]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health.sent", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures, a first look")
    is_quick = parser.parse_args().quick
    figures: dict[str, Any] = dict(describe_run())
    for name in PUBLISHED:
        figures[name] = measure_photographs(open_published(name, 40 if is_quick else None))
    figures["drawn"] = [measure_time(number // 100 if is_quick else number) for number in SIZES]
    print(json.dumps(figures, indent=1))


def open_published(name: str, limit: int | None) -> list[Labelled]:
    """Read the photographs of a data set with their published labels."""
    published, data, opened = PUBLISHED[name], find_data() / name, []
    for file in (*published.checked, *published.other, *published.stained):
        labels = json.loads((data / "annotations" / f"{published.prefix}{file}.json").read_text())
        outlines = defaultdict(list)
        for one in labels["annotations"]:
            outlines[one["image_id"]].append((one["category_id"], one["segmentation"]))
        for image in labels["images"]:
            pixels = _read(data / "images" / image["file_name"])
            height, width = pixels.shape[:2]
            instances = tuple(
                LabelledInstance(class_index, rle_from_coco(outline, height, width))
                for class_index, outline in outlines[image["id"]]
            )
            opened.append((describe(f"{file}/{image['file_name']}", width, height, instances), pixels))
    return opened[:limit]


def describe(
    name: str, width_px: int, height_px: int, instances: tuple[LabelledInstance, ...]
) -> LabelledPicture:
    """Return a labelled picture that is known by its name."""
    return LabelledPicture(
        name, name, name, width_px, height_px, "here", name, "train", "data-v1", "human", instances
    )


def measure_photographs(opened: Sequence[Labelled]) -> dict[str, Any]:
    """Look for all instances in parts of all pictures, and in all other pictures."""
    known = KnownInstances()
    start = time.process_time()
    for picture, pixels in opened:
        known.add(picture, pixels)
    num_large = sum(len(_large(picture)) for picture, _ in opened)
    figures: dict[str, Any] = {
        "pictures": len(opened),
        "instances": sum(len(picture.instances) for picture, _ in opened),
        f"of {MIN_AREA_PX} px or more": num_large,
        "looked for": len(known),
        "to learn them, CPU s": round(time.process_time() - start, 1),
    }
    start = time.process_time()
    figures["found in other photographs"] = find_elsewhere(known, opened)
    figures["to look, CPU s"] = round(time.process_time() - start, 1)
    figures["found in a part"] = {
        change: find_in_parts(known, opened, apply) for change, apply in CHANGES.items()
    }
    figures["by their looks"] = compare_looks(opened)
    return figures


def find_elsewhere(known: KnownInstances, opened: Sequence[Labelled]) -> dict[str, Any]:
    """Count the instances that are found in other pictures than their own."""
    found: dict[tuple[str, int], str] = {}
    for picture, pixels in opened:
        for sighting in known.find_in(pixels):
            if sighting.place.picture.digest != picture.digest:
                found[sighting.place.picture.digest, sighting.place.label] = picture.digest
    pairs = sorted({(one, other) for (one, _), other in found.items()})
    return {"instances": len(found), "pairs of pictures": len(pairs), "first": pairs[:6]}


def find_in_parts(
    known: KnownInstances, opened: Sequence[Labelled], change: Callable[[Pixels], Pixels]
) -> dict[str, int]:
    """Count the instances that lie wholly in the middle of their pictures, and those that are found there."""
    num_within = num_found = 0
    for picture, pixels in opened:
        height, width = pixels.shape[:2]
        top, left = round(height * (1 - _SHARE) / 2), round(width * (1 - _SHARE) / 2)
        bottom, right = top + round(height * _SHARE), left + round(width * _SHARE)
        boxes = boxes_xyxy([one.mask for one in picture.instances])
        is_within = (boxes >= (left, top, left, top)).all(axis=1)
        is_within &= (boxes <= (right, bottom, right, bottom)).all(axis=1)
        within = set(np.flatnonzero(is_within).tolist()) & set(_large(picture))
        sightings = known.find_in(change(pixels[top:bottom, left:right]))
        found = {one.place.label for one in sightings if one.place.picture.digest == picture.digest}
        num_within, num_found = num_within + len(within), num_found + len(found & within)
    return {"within": num_within, "found": num_found}


def compare_looks(opened: Sequence[Labelled]) -> dict[str, Any]:
    """Compare the grey cells of instances' boxes, as whole pictures are compared.

    Returns:
        How many correlate with a copy saved again in the same place, and how many with the box of an instance
        of another picture, which is no copy.
    """
    places = [Place(picture, label) for picture, _ in opened for label in _large(picture)]
    cells = {"as it is": list(_cells(opened, lambda pixels: pixels))}
    for change in ("as JPEG, quality 75", "scaled to 90 %"):
        cells[change] = list(_cells(opened, CHANGES[change]))
    rows = {change: standardised(each) for change, each in cells.items()}
    own, names = rows["as it is"], np.unique([one.picture.digest for one in places], return_inverse=True)[1]
    figures: dict[str, Any] = {"instances": len(places)}
    for limit in (MIN_CORRELATION, 0.99):
        has_alike = np.zeros(len(own), dtype=bool)
        for first in range(0, len(own), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            is_alike = own[some] @ own.T >= limit
            has_alike[some] = (is_alike & (names[some, np.newaxis] != names)).any(axis=1)
        figures[f"correlation {limit}"] = {
            "found in another picture, which is wrong": int(has_alike.sum()),
            **{
                f"its copy found, {change}": int(((own * each).sum(axis=1) >= limit).sum())
                for change, each in rows.items()
                if change != "as it is"
            },
        }
    return figures


def measure_time(num_samples: int) -> dict[str, Any]:
    """Time the search for drawn instances in many samples, decoded in a child as those of production are."""
    known, files = KnownInstances(), []
    for number in range(2 * _NUM_DRAWN):
        scene = photograph_scene(0, number, side_px=_SIDE_PX, shift=None)
        if number < _NUM_DRAWN:
            instances = tuple(map(LabelledInstance, scene.class_indices, encode_masks(scene.masks)))
            known.add(describe(f"{number:06}", _SIDE_PX, _SIDE_PX, instances), scene.pixels)
        else:
            files.append(encode_png(scene.pixels))
    start, num_found = os.times(), 0
    with SandboxedDecoder(DecodingLimits(max_mpx=1.0)) as decoder:
        for number in range(num_samples):
            pixels = decoder.open(files[number % len(files)]).pixels
            num_found += sum(1 for _ in known.find_in(pixels))
    stop = os.times()  # the child has ended, so its time is known
    return {
        "samples": num_samples,
        "looked for": len(known),
        "found": num_found,
        "CPU s": round(stop.user + stop.system - start.user - start.system, 1),
        "CPU s of the child": round(
            stop.children_user + stop.children_system - start.children_user - start.children_system, 1
        ),
    }


def _cells(opened: Sequence[Labelled], change: Callable[[Pixels], Pixels]) -> Iterator[bytes]:
    for picture, pixels in opened:
        changed = change(pixels)
        scale = changed.shape[0] / pixels.shape[0]
        boxes = np.rint(boxes_xyxy([one.mask for one in picture.instances]) * scale).astype(int)
        for label in _large(picture):
            left, top, right, bottom = boxes[label].tolist()
            yield grey_cells(changed[top:bottom, left:right])


def _large(picture: LabelledPicture) -> list[int]:
    areas = areas_px([one.mask for one in picture.instances])
    return np.flatnonzero(areas >= MIN_AREA_PX).tolist()


def _read(file: Path) -> Pixels:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def _paste(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    canvas = np.random.default_rng(0).integers(0, 256, (height + 90, width + 70, 3), dtype=np.uint8)
    canvas[31 : 31 + height, 43 : 43 + width] = pixels
    return canvas


def _save_again(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    with Image.open(buffer) as image:
        return np.array(image)


def _scale(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    size = (round(0.9 * width), round(0.9 * height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


CHANGES: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    "as it is": lambda pixels: pixels,
    "pasted into noise": _paste,
    "as JPEG, quality 95": lambda pixels: _save_again(pixels, 95),
    "as JPEG, quality 75": lambda pixels: _save_again(pixels, 75),
    "scaled to 90 %": _scale,
}


if __name__ == "__main__":
    main()
