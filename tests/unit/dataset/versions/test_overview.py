from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset.labelled_pictures import DatasetVersion, LabelledInstance, LabelledPicture, Split
from dataset.raw.conversion import PictureConversion
from dataset.versions.overview import describe_version
from maskloop.masks import encode_masks

(MASK,) = encode_masks(np.ones((1, 2, 2), dtype=bool))


def picture(
    number: int, source: str, split: Split, *classes: int, crowds: int = 0, size: tuple[int, int] = (4, 3)
) -> LabelledPicture:
    instances = (
        tuple(LabelledInstance(index, MASK) for index in classes)
        + (LabelledInstance(0, MASK, is_crowd=True),) * crowds
    )
    digest = f"{number:064x}"
    return LabelledPicture(
        digest, digest, "x.png", *size, source, digest, split, "data-v1", "human", instances
    )


def version(*pictures: LabelledPicture) -> DatasetVersion:
    return DatasetVersion("data-v3", "f" * 64, "m", "c", ("bolt", "nut"), pictures, Path())


def test_a_version_is_counted_by_split_source_class_and_size() -> None:
    found = describe_version(
        version(
            picture(1, "belt 1", "train", 0, 0, 1),
            picture(2, "belt 1", "train", 0),
            picture(3, "belt 1", "test", 1),
            picture(4, "belt 2", "val", 1, 1, size=(8, 6)),
            picture(5, "belt 2", "train"),
        )
    )
    assert found.everything.pictures == {"train": 3, "val": 1, "test": 1}
    assert found.everything.instances == {"train": 4, "val": 2, "test": 1}
    bolt, nut = found.by_class
    assert (bolt.name, bolt.pictures, bolt.instances) == (
        "bolt",
        {"train": 2, "val": 0, "test": 0},
        {"train": 3, "val": 0, "test": 0},
    )
    assert (nut.num_pictures, nut.num_instances) == (3, 4)
    assert [(one.name, one.num_pictures, one.num_instances) for one in found.by_source] == [
        ("belt 1", 3, 5),
        ("belt 2", 2, 2),
    ]
    assert found.sizes == ((4, 3, 4), (8, 6, 1))
    assert found.num_without_labels == 1


def test_a_stated_conversion_of_the_pictures_is_told() -> None:
    twelve = replace(version(), conversion=PictureConversion((0.0, 4096.0)))
    assert (describe_version(version()).conversion, describe_version(twelve).conversion) == (
        "",
        "values 0 to 4096",
    )


def test_pictures_with_mended_masks_are_counted() -> None:
    mended = replace(picture(1, "belt", "train", 1), mended=("masks-one-pixel-short",))
    assert describe_version(version(mended, picture(2, "belt", "train", 1))).num_mended == 1


def test_crowd_regions_are_counted_apart_from_instances() -> None:
    found = describe_version(version(picture(1, "belt", "train", 1, crowds=2)))
    assert (found.everything.num_instances, found.num_crowds) == (1, 2)
    assert found.by_class[0].num_instances == 0


def test_an_empty_version_is_counted_too() -> None:
    found = describe_version(version())
    assert (found.everything.num_pictures, found.by_source, found.sizes) == (0, (), ())
    assert [one.num_instances for one in found.by_class] == [0, 0]
