"""A data version with every kind of object, as files in a folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from maskloop.digest import digest_bytes
from maskloop.masks import encode_masks
from tests.fakes.label_scene import CLASSES, SCENE, scene_png

_ORIENTATION, _TURNED_RIGHT = 0x0112, 6


def scene_instances() -> tuple[LabelledInstance, ...]:
    """The ring, the two squares, the dot, the crowd and the edge."""
    return tuple(
        LabelledInstance(CLASSES.index(one.class_name), encode_masks(one.mask[None])[0], one.is_crowd)
        for one in SCENE
    )


def photo_instances() -> tuple[LabelledInstance, ...]:
    """One object on the upright photograph of 60 x 90 px, and an arch with a hole in it."""
    masks = np.zeros((2, 90, 60), dtype=bool)
    masks[0, 70:88, 10:30] = True
    masks[1, 5:40, 20:60] = True
    masks[1, 20:30, 30:45] = False
    return tuple(LabelledInstance(number, rle) for number, rle in enumerate(encode_masks(masks)))


def turned_jpeg() -> bytes:
    """A photograph stored as 90 x 60 px, which EXIF turns to 60 x 90."""
    pixels = np.random.default_rng(5).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED_RIGHT
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", exif=exif)
    return written.getvalue()


def stored(
    root: Path,
    data: bytes,
    name: str,
    size_hw: tuple[int, int] = (80, 100),
    instances: Sequence[LabelledInstance] = (),
    split: Split = "train",
) -> LabelledPicture:
    """Write a picture below a version's folder."""
    digest = digest_bytes(data)
    file = f"images/{digest[:2]}/{digest}{Path(name).suffix}"
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_bytes(data)
    height, width = size_hw
    return LabelledPicture(
        digest, file, name, width, height, "line 1", digest, split, "data-v1", "human", tuple(instances)
    )


def drawn_version(root: Path) -> DatasetVersion:
    """The scene, a picture without objects, and a turned photograph, in two splits."""
    pictures = [
        stored(root, scene_png(), "scene.png", instances=scene_instances()),
        stored(root, scene_png(1), "empty.png"),
        stored(root, turned_jpeg(), "photo.jpg", (90, 60), photo_instances(), "val"),
    ]
    return version_of(root, pictures)


def version_of(root: Path, pictures: Sequence[LabelledPicture]) -> DatasetVersion:
    """A version of these pictures."""
    ordered = tuple(sorted(pictures, key=lambda picture: picture.digest))
    return DatasetVersion("data-v3", "f" * 64, "m", "c", CLASSES, ordered, root)
