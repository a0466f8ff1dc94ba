"""Real photographs with two sources each: micrographs of two kinds, and car parts in two cameras' colours.

The data sets stay where they are (see `benchmarks.real`); what is written here, smaller and recoloured, lies
below ``runs``, which git ignores. Which picture plays which part follows from its file name alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.labelling.pictures import NEW, OLD, Pictures, join_pictures, read_batch, take_batch
from benchmarks.real.__main__ import find_data
from dataset.labelled_pictures import LabelledPicture, Split
from maskloop.digest import digest_value
from maskloop.masks import Rle, decode_masks, encode_masks
from maskloop.settings.workspace_settings import Settings

NUCLEI_WINDOW_PX: Final = 128
MIN_NUCLEUS_PX: Final = 12
MAX_NUCLEI_SIDE_PX: Final = 360
CARPARTS_SIDE_PX: Final = 160
Recolour = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
Shrink = Callable[[Image.Image, Sequence[dict[str, Any]]], tuple[Image.Image, list[Any]]]
"""Takes a picture and its annotations; returns a smaller one and a segmentation for each, or None."""
Listing = tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]
"""Images, annotations and categories of a COCO file."""


def draw_nuclei(root: Path, settings: Settings) -> Pictures:
    """Fluorescence is the old source, stained tissue the new one, of which there are 107 pictures in all.

    200 fluorescence pictures are the champion's and 30 validate it. Production is 126 of fluorescence and 60
    stained; 40 of fluorescence and 47 stained are held out. Of each picture the middle 128 px are taken;
    those longer than 360 px are left out, because they show nuclei at another scale.
    """
    small = [
        _select(_read("nuclei", f"instances_fluo_{name}"), _is_small) for name in ("train", "val", "test")
    ]
    train, val, test = small
    stained = _merge(*[_read("nuclei", f"instances_stained_{name}") for name in ("adapt", "test")])
    more = _merge(_part(train, 200, len(train[0])), _part(val, 30, len(val[0])))
    batches = _Batches(root, "nuclei", settings, shrink=cut_the_middle)
    return join_pictures(
        root,
        [
            *batches.take("own", _part(train, 0, 200), OLD, "train"),
            *batches.take("val", _part(val, 0, 30), OLD, "val"),
        ],
        [
            *batches.take("pool-old", more, OLD, "train"),
            *batches.take("pool-new", _part(stained, 0, 60), NEW, "train"),
        ],
        [
            *batches.take("test-old", _part(test, 0, 40), OLD, "test"),
            *batches.take("test-new", _part(stained, 60, 107), NEW, "test"),
        ],
    )


def draw_carparts(root: Path, settings: Settings) -> Pictures:
    """Car parts in the colours they have, and in those of `see_in_other_colours`.

    Of the published training pictures 220 are the champion's and 30 validate it; production is 80 others as
    they are and 70 in other colours. The 100 published test pictures are held out, in both colours.
    """
    train = _merge(_read("carparts", "coarse_train"), _read("carparts", "coarse_val"))
    test = _read("carparts", "coarse_test")
    batches = _Batches(root, "carparts", settings, shrink=shrink_all)
    return join_pictures(
        root,
        [
            *batches.take("own", _part(train, 0, 220), OLD, "train"),
            *batches.take("val", _part(train, 220, 250), OLD, "val"),
        ],
        [
            *batches.take("pool-old", _part(train, 250, 330), OLD, "train"),
            *batches.take("pool-new", _part(train, 330, 400), NEW, "train", see_in_other_colours),
        ],
        [
            *batches.take("test-old", test, OLD, "test"),
            *batches.take("test-new", test, NEW, "test", see_in_other_colours),
        ],
    )


def see_in_other_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, uint8 (H, W, 3), as a camera of other white balance, gamma and saturation would.

    No augmentation of a training does this: `jitter_colours` scales channels, but bends and mixes none.
    """
    seen = pixels / 255.0
    grey = seen.mean(axis=2, keepdims=True)
    pale = grey + 0.25 * (seen - grey)
    bent = pale**2.2 * np.array((0.45, 0.75, 1.0)) + np.array((0.0, 0.02, 0.10))
    recoloured: NDArray[np.uint8] = np.rint(bent.clip(0.0, 1.0) * 255.0).astype(np.uint8)
    return recoloured


class _Batches:
    """Writes batches below a folder, once."""

    def __init__(self, root: Path, name: str, settings: Settings, *, shrink: Shrink) -> None:
        self._root, self._images = root, find_data() / name / "images"
        self._settings, self._shrink = settings, shrink

    def take(
        self, name: str, listing: Listing, source: str, split: Split, recolour: Recolour | None = None
    ) -> list[LabelledPicture]:
        if not (self._root / name / "instances.json").exists():
            annotations = self._write(self._root / "drawn" / name, listing, recolour)
            take_batch(self._root / name, annotations, self._settings)
        return read_batch(self._root, name, source, split)

    def _write(self, folder: Path, listing: Listing, recolour: Recolour | None) -> Path:
        images, annotations, categories = listing
        (folder / "images").mkdir(parents=True, exist_ok=True)
        written: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
        for image in images:
            own = [each for each in annotations if each["image_id"] == image["id"]]
            picture, outlines = self._shrink(
                Image.open(self._images / image["file_name"]).convert("RGB"), own
            )
            if recolour:
                picture = Image.fromarray(recolour(np.asarray(picture)))
            name = f"{Path(image['file_name']).stem}.png"
            picture.save(folder / "images" / name)
            record = {"id": image["id"], "file_name": name, "width": picture.width, "height": picture.height}
            written["images"].append(record)
            written["annotations"] += [
                {name: each[name] for name in ("id", "image_id", "category_id")} | {"segmentation": outline}
                for each, outline in zip(own, outlines, strict=True)
                if outline is not None
            ]
        file = folder / "annotations.json"
        file.write_text(json.dumps({**written, "categories": categories}))
        return file


def cut_the_middle(
    picture: Image.Image, annotations: Sequence[dict[str, Any]]
) -> tuple[Image.Image, list[Any]]:
    """Return the middle of a picture, as it is, and what lies of each mask in it."""
    left_px, top_px = ((side_px - NUCLEI_WINDOW_PX) // 2 for side_px in picture.size)
    right_px, bottom_px = left_px + NUCLEI_WINDOW_PX, top_px + NUCLEI_WINDOW_PX
    outlines: list[Any] = []
    for each in annotations:
        rle = Rle.checked(picture.height, picture.width, each["segmentation"]["counts"])
        mask_1HW = decode_masks([rle])[:, top_px:bottom_px, left_px:right_px]
        kept = mask_1HW.sum() >= MIN_NUCLEUS_PX
        outlines.append(encode_masks(mask_1HW)[0].to_coco() if kept else None)
    return picture.crop((left_px, top_px, right_px, bottom_px)), outlines


def shrink_all(picture: Image.Image, annotations: Sequence[dict[str, Any]]) -> tuple[Image.Image, list[Any]]:
    """Return a whole picture, smaller, with its polygons."""
    scale = CARPARTS_SIDE_PX / max(picture.size)
    width_px, height_px = (max(1, round(side_px * scale)) for side_px in picture.size)
    outlines = [
        [[value * scale for value in polygon] for polygon in each["segmentation"]] for each in annotations
    ]
    return picture.resize((width_px, height_px), Image.Resampling.LANCZOS), [*outlines]


def _read(folder: str, name: str) -> Listing:
    content = json.loads((find_data() / folder / "annotations" / f"{name}.json").read_text())
    return content["images"], content["annotations"], content["categories"]


def _merge(*listings: Listing) -> Listing:
    """Put listings of the same categories together, with ids of their own."""
    images, annotations = [], []
    for number, (some, outlines, _) in enumerate(listings):
        images += [{**each, "id": f"{number}-{each['id']}"} for each in some]
        annotations += [
            {**each, "id": f"{number}-{each['id']}", "image_id": f"{number}-{each['image_id']}"}
            for each in outlines
        ]
    return images, annotations, listings[0][2]


def _part(listing: Listing, first: int, last: int) -> Listing:
    """Return the pictures from ``first`` to before ``last`` in an order that follows from their names."""
    ordered = sorted(listing[0], key=lambda image: digest_value(image["file_name"]))
    return _keep(listing, ordered[first:last])


def _select(listing: Listing, wanted: Callable[[dict[str, Any]], bool]) -> Listing:
    return _keep(listing, [image for image in listing[0] if wanted(image)])


def _keep(listing: Listing, images: Sequence[dict[str, Any]]) -> Listing:
    ids = {image["id"] for image in images}
    return [*images], [each for each in listing[1] if each["image_id"] in ids], listing[2]


def _is_small(image: dict[str, Any]) -> bool:
    return bool(max(image["width"], image["height"]) <= MAX_NUCLEI_SIDE_PX)
