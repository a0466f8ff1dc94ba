"""A labelled picture with its instances and its split, and the data version that holds many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from dataset.origin import Origin
from dataset.raw.conversion import DEFAULT_CONVERSION, PictureConversion
from maskloop.masks import Rle

Split = Literal["train", "val", "test"]
LabelOrigin = Literal["human", "corrected", "model-reviewed"]
"""Who made a picture's labels: a person; a person who corrected a model's answer in production; a model or a
tool, and a person has reviewed them."""
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class LabelledInstance:
    """One annotated object.

    Attributes:
        class_index: From 0, into the data set's class names.
        mask: Of the picture's size.
        is_crowd: True for a region of many objects that were not outlined one by one.
        origin: Who drew it, as far as that is known. Two instances that differ in it alone are equal.
    """

    class_index: int
    mask: Rle
    is_crowd: bool = False
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One picture of a data version.

    Attributes:
        digest: sha256 of the file's bytes; the picture's identity everywhere.
        file: Path relative to the version's folder, e.g. ``images/3f…a1.png``.
        name: The file name it came with.
        width_px: Width as decoded (EXIF orientation applied).
        height_px: Height as decoded.
        source: Where it comes from: a camera, a site, a batch.
        group: Pictures of one group are always in one split.
        split: ``train``, ``val`` or ``test``.
        added_in: The tag of the version that first held it.
        label_origin: Who made its labels.
        instances: Its annotated objects.
        mended: Codes of the bends that were undone in its masks when they came in, see `dataset.bends.table`.
        origin: Who labelled it, as far as that is known; its instances may name others.
    """

    digest: str
    file: str
    name: str
    width_px: int
    height_px: int
    source: str
    group: str
    split: Split
    added_in: str
    label_origin: LabelOrigin
    instances: tuple[LabelledInstance, ...]
    mended: tuple[str, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True)
class Catalog:
    """Everything a data version holds: what its `instances.json`, and the files beside it, say.

    Attributes:
        class_names: In the order of `LabelledInstance.class_index`.
        pictures: Sorted by digest.
        difference_hashes: 64-bit hash of each picture's look, by digest.
        conversion: How values that are no 8-bit RGB became it, in every picture.
        files: Digests of the pictures in each of its files; empty if it was never written.
    """

    class_names: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    difference_hashes: Mapping[str, int]
    conversion: PictureConversion = DEFAULT_CONVERSION
    files: tuple[tuple[str, ...], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class DatasetVersion:
    """An immutable, verified data version, lying ready in a folder.

    Attributes:
        tag: ``data-v1``, ``data-v2``, …
        fingerprint: sha256 over classes, pictures, splits and instances; independent of file order.
        dvc_md5: What `data.dvc` pins.
        git_commit: The commit the tag names.
        class_names: The label schema, in the order of ``class_index``.
        pictures: Sorted by digest.
        root: The folder that `LabelledPicture.file` is relative to.
        conversion: How values that are no 8-bit RGB became it, in every picture.
        difference_hashes: 64-bit hash of each picture's look, by digest (`dataset.pictures.looks`).
        catalog_files: Digests of the pictures in each file of its catalog.
    """

    tag: str
    fingerprint: str
    dvc_md5: str
    git_commit: str
    class_names: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    root: Path
    conversion: PictureConversion = DEFAULT_CONVERSION
    difference_hashes: Mapping[str, int] = field(default_factory=dict)
    catalog_files: tuple[tuple[str, ...], ...] = field(default=(), compare=False)

    @property
    def catalog(self) -> Catalog:
        """Everything it holds."""
        return Catalog(
            self.class_names, self.pictures, self.difference_hashes, self.conversion, self.catalog_files
        )

    @cached_property
    def by_split(self) -> dict[Split, tuple[LabelledPicture, ...]]:
        """The pictures of each split."""
        return {split: tuple(p for p in self.pictures if p.split == split) for split in SPLITS}

    def path(self, picture: LabelledPicture) -> Path:
        """Return where a picture's file lies."""
        return self.root / picture.file
