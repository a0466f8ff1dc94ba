"""How many labels in several parts are several objects: ``python -m benchmarks.health.parts``.

The published car parts outline some wheels of one car together, each by a polygon of its own: an annotation
with several polygons is what should be listed. Nuclei and the drawn parts are each outlined by themselves, so
whatever is listed there is one object. Figures are printed as JSON.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.health.photographs import PUBLISHED
from benchmarks.provenance import describe_run
from benchmarks.real.__main__ import find_data
from dataset.health.several_parts import find_several_parts
from dataset.labelled_pictures import LabelledInstance, LabelledPicture
from dataset.synthetic.parts import CLASS_NAMES
from dataset.synthetic.scene import photograph_scene
from maskloop.masks import encode_masks, rle_from_coco

FIRST: Final = 100
_DRAWN: Final = 1000
_SEEDS: Final = (0, 1)
"""Limits were chosen on the pictures of the first."""
_DRAWN_SIDE_PX: Final = 128
Polygons = dict[tuple[str, int], int]


def main() -> None:
    """Measure and print."""
    figures: dict[str, Any] = dict(describe_run())
    for name, published in PUBLISHED.items():
        files = (*published.checked, *published.other, *published.stained)
        figures[name] = measure_files(
            [find_data() / name / "annotations" / f"{published.prefix}{file}.json" for file in files]
        )
    for seed in _SEEDS:
        figures[f"drawn, seed {seed}"] = measure(draw_pictures(seed), CLASS_NAMES, {})
    print(json.dumps(figures, indent=1))


def measure_files(files: Sequence[Path]) -> dict[str, Any]:
    """Look through the pictures of some COCO files."""
    pictures: list[LabelledPicture] = []
    polygons: Polygons = {}
    names: list[str] = []
    for file in files:
        published = json.loads(file.read_text())
        names = [category["name"] for category in published["categories"]]
        places = {category["id"]: place for place, category in enumerate(published["categories"])}
        for image in published["images"]:
            of_image = [one for one in published["annotations"] if one["image_id"] == image["id"]]
            outlines = [one["segmentation"] for one in of_image]
            size, name = (image["height"], image["width"]), image["file_name"]
            instances = tuple(
                LabelledInstance(places[one["category_id"]], rle_from_coco(outline, *size))
                for one, outline in zip(of_image, outlines, strict=True)
            )
            pictures.append(_as_picture(name, *size, instances))
            polygons |= {
                (name, label): len(outline)
                for label, outline in enumerate(outlines)
                if isinstance(outline, list)
            }
    return measure(pictures, names, polygons)


def measure(
    pictures: Sequence[LabelledPicture], class_names: Sequence[str], polygons: Polygons
) -> dict[str, Any]:
    """Count what is listed, and what of it has several polygons."""
    start = time.process_time()
    found = find_several_parts(pictures, len(class_names))
    seconds = round(time.process_time() - start, 2)
    wanted = {place for place, number in polygons.items() if number > 1}

    def describe(number: int) -> dict[str, Any]:
        first = found[:number]
        names = Counter(class_names[one.picture.instances[one.label].class_index] for one in first)
        right = sum((one.picture.digest, one.label) in wanted for one in first)
        return {"number": len(first), "of several polygons": right, "by class": dict(names)}

    return {
        "pictures": len(pictures),
        "instances": sum(len(picture.instances) for picture in pictures),
        "of several polygons": len(wanted),
        "listed": describe(len(found)),
        f"first {FIRST}": describe(FIRST),
        "CPU s": seconds,
    }


def draw_pictures(seed: int) -> list[LabelledPicture]:
    """Draw the demo's pictures, whose parts lie over one another."""
    scenes = (photograph_scene(seed, number, side_px=_DRAWN_SIDE_PX, shift=None) for number in range(_DRAWN))
    return [
        _as_picture(
            f"{number:06}",
            _DRAWN_SIDE_PX,
            _DRAWN_SIDE_PX,
            tuple(map(LabelledInstance, scene.class_indices, encode_masks(scene.masks))),
        )
        for number, scene in enumerate(scenes)
    ]


def _as_picture(
    name: str, height_px: int, width_px: int, instances: tuple[LabelledInstance, ...]
) -> LabelledPicture:
    return LabelledPicture(
        name, name, name, width_px, height_px, "here", name, "train", "data-v1", "human", instances
    )


if __name__ == "__main__":
    main()
