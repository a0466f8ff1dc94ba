"""The port between `maskloop data export` and a format: what is written, and what a writer makes of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dataset.labelled_pictures import LabelledPicture, Split

_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]+")
_LONGEST_STEM: Final = 80
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)


@dataclass(frozen=True)
class ExportedPicture:
    """One picture of an export.

    Attributes:
        name: Its file's name there; no other picture has it, nor one with another ending.
        labelled: The picture with its instances, in the frame of the upright picture.
    """

    name: str
    labelled: LabelledPicture

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def split(self) -> Split:
        """Train, val or test."""
        return self.labelled.split


@dataclass(frozen=True)
class ExportedVersion:
    """What is exported.

    Attributes:
        tag: Of the data version.
        class_names: In the order of `LabelledInstance.class_index`.
        pictures: Sorted by digest; at least one.
    """

    tag: str
    class_names: tuple[str, ...]
    pictures: tuple[ExportedPicture, ...]

    def by_split(self) -> dict[Split, list[ExportedPicture]]:
        """Return the pictures of each split that has some, train first."""
        splits: tuple[Split, ...] = ("train", "val", "test")
        found = {split: [each for each in self.pictures if each.split == split] for split in splits}
        return {split: pictures for split, pictures in found.items() if pictures}


@dataclass(frozen=True)
class LabelWriter:
    """One format.

    Attributes:
        key: What ``--format`` calls it.
        format: What people call it.
        reader: The key of maskloop's reader of the same format, see `dataset.readers.table`.
        place: Where a picture's file goes, relative to the export.
        write: Writes the labels below an empty folder. Returns what is to be read to have them all: files or
            folders, relative to that folder.
    """

    key: str
    format: str
    reader: str
    place: Callable[[ExportedPicture], str]
    write: Callable[[ExportedVersion, Path], tuple[str, ...]]


def name_pictures(pictures: Iterable[LabelledPicture]) -> tuple[ExportedPicture, ...]:
    """Give every picture a name like the one it came with, that no other has and that every system takes.

    Two with the same name, but for capitals or the ending, get the beginning of their digests. The order of
    the pictures does not count.
    """
    ordered = sorted(pictures, key=lambda picture: picture.digest)
    stems = [_safe_stem(picture.name) for picture in ordered]
    alike = Counter(stem.casefold() for stem in stems)
    told = [
        stem if alike[stem.casefold()] == 1 else f"{stem}-{picture.digest[:12]}"
        for stem, picture in zip(stems, ordered, strict=True)
    ]
    again = Counter(stem.casefold() for stem in told)
    return tuple(
        ExportedPicture(
            (stem if again[stem.casefold()] == 1 else picture.digest) + PurePosixPath(picture.file).suffix,
            picture,
        )
        for stem, picture in zip(told, ordered, strict=True)
    )


def write_json(path: Path, content: Any) -> None:
    """Write JSON without blanks, with the folders it needs; the same content gives the same bytes."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    write_label_text(path, text)


def write_label_text(path: Path, text: str) -> None:
    """Write text as UTF-8 with a line break at its end, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def remarks_of(picture: LabelledPicture) -> Mapping[str, str]:
    """Return what most formats can carry as free text: digest, split, source and group."""
    return {
        "digest": picture.digest,
        "split": picture.split,
        "source": picture.source,
        "group": picture.group,
    }


def _safe_stem(name: str) -> str:
    """Return a file name's stem with letters, digits, ``.``, ``_`` and ``-`` alone.

    >>> _safe_stem("../line 1/a#2.PNG"), _safe_stem(".hidden.png"), _safe_stem("con.jpg")
    ('a_2', 'hidden', '_con')
    """
    own = PurePosixPath(name.replace("\\", "/")).name
    stem = (
        _NOT_IN_NAMES.sub("_", PurePosixPath(own).stem).strip(".-")[:_LONGEST_STEM].rstrip(".-") or "picture"
    )
    return f"_{stem}" if stem.casefold().split(".")[0] in _DEVICES else stem
