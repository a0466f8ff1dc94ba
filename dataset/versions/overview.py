"""What a data version holds, counted for people: by split, source, class and size. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from dataset.labelled_pictures import SPLITS, DatasetVersion, Split
from dataset.raw.conversion import DEFAULT_CONVERSION

_Key = TypeVar("_Key", str, int)


@dataclass(frozen=True)
class Counts:
    """Counts of one class, one source, or everything, by split.

    Attributes:
        name: Of the class or source; empty for everything.
        pictures: Pictures with at least one of its instances; for a source and everything, all its pictures.
        instances: Annotated instances without crowd regions.
    """

    name: str
    pictures: dict[Split, int]
    instances: dict[Split, int]

    @property
    def num_pictures(self) -> int:
        """In all splits."""
        return sum(self.pictures.values())

    @property
    def num_instances(self) -> int:
        """In all splits."""
        return sum(self.instances.values())


@dataclass(frozen=True)
class Overview:
    """Counts of one data version.

    Attributes:
        tag: Of the version.
        everything: All pictures.
        by_source: Largest first.
        by_class: In the order of the label schema.
        sizes: Width and height in px and the number of pictures so large, most frequent first.
        num_without_labels: Pictures nothing is annotated in.
        num_crowds: Crowd regions, see the glossary.
        conversion: How values that are no 8-bit RGB became it, if that was stated.
        num_mended: Pictures in whose masks `maskloop ingest --mend` undid what a tool's export had done.
    """

    tag: str
    everything: Counts
    by_source: tuple[Counts, ...]
    by_class: tuple[Counts, ...]
    sizes: tuple[tuple[int, int, int], ...]
    num_without_labels: int
    num_crowds: int
    num_mended: int = 0
    conversion: str = ""


def describe_version(version: DatasetVersion) -> Overview:
    """Count what a data version holds."""
    names = range(len(version.class_names))
    pictures_of_class: Counter[tuple[int, Split]] = Counter()
    instances_of_class: Counter[tuple[int, Split]] = Counter()
    pictures: Counter[tuple[str, Split]] = Counter()
    instances: Counter[tuple[str, Split]] = Counter()
    for picture in version.pictures:
        found = [instance.class_index for instance in picture.instances if not instance.is_crowd]
        pictures[picture.source, picture.split] += 1
        instances[picture.source, picture.split] += len(found)
        pictures_of_class.update((index, picture.split) for index in set(found))
        instances_of_class.update((index, picture.split) for index in found)
    sources = sorted({picture.source for picture in version.pictures})
    by_source = [_counts(source, source, pictures, instances) for source in sources]
    sizes = Counter((picture.width_px, picture.height_px) for picture in version.pictures)
    return Overview(
        tag=version.tag,
        everything=Counts(
            "",
            {split: sum(one.pictures[split] for one in by_source) for split in SPLITS},
            {split: sum(one.instances[split] for one in by_source) for split in SPLITS},
        ),
        by_source=tuple(sorted(by_source, key=lambda one: -one.num_pictures)),
        by_class=tuple(
            _counts(version.class_names[index], index, pictures_of_class, instances_of_class)
            for index in names
        ),
        sizes=tuple((*size, number) for size, number in sizes.most_common()),
        num_without_labels=sum(not picture.instances for picture in version.pictures),
        num_crowds=sum(one.is_crowd for picture in version.pictures for one in picture.instances),
        num_mended=sum(bool(picture.mended) for picture in version.pictures),
        conversion=version.conversion.sentence() if version.conversion != DEFAULT_CONVERSION else "",
    )


def _counts(
    name: str, key: _Key, pictures: Counter[tuple[_Key, Split]], instances: Counter[tuple[_Key, Split]]
) -> Counts:
    return Counts(
        name,
        {split: pictures[key, split] for split in SPLITS},
        {split: instances[key, split] for split in SPLITS},
    )
