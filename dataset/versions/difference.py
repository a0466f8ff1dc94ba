"""What changed from one data version to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from dataset.labelled_pictures import DatasetVersion, LabelledPicture


@dataclass(frozen=True)
class VersionDiff:
    """The way from ``old_tag`` to ``new_tag``.

    Attributes:
        old_tag: Where it starts.
        new_tag: Where it ends.
        added: Pictures only the new version holds.
        removed: Pictures only the old version holds.
        relabelled: Pictures in both whose instances differ, as the new version has them.
        instances_per_class: Class name to (instances in old, instances in new); crowds are not counted.
        crowds_per_class: The same for crowd regions.
    """

    old_tag: str
    new_tag: str
    added: tuple[LabelledPicture, ...]
    removed: tuple[LabelledPicture, ...]
    relabelled: tuple[LabelledPicture, ...]
    instances_per_class: dict[str, tuple[int, int]]
    crowds_per_class: dict[str, tuple[int, int]] = field(default_factory=dict)


def compare_versions(old: DatasetVersion, new: DatasetVersion) -> VersionDiff:
    """Say which pictures and instances changed. Classes are compared by name, not by index."""
    before, after = ({picture.digest: picture for picture in version.pictures} for version in (old, new))
    relabelled = tuple(
        picture
        for digest, picture in after.items()
        if digest in before and _labels(before[digest], old) != _labels(picture, new)
    )
    names = dict.fromkeys((*old.class_names, *new.class_names))
    return VersionDiff(
        old.tag,
        new.tag,
        added=tuple(picture for digest, picture in after.items() if digest not in before),
        removed=tuple(picture for digest, picture in before.items() if digest not in after),
        relabelled=relabelled,
        instances_per_class=_count_both(names, old, new, is_crowd=False),
        crowds_per_class=_count_both(names, old, new, is_crowd=True),
    )


def _labels(picture: LabelledPicture, version: DatasetVersion) -> Counter[tuple[str, bytes, bool]]:
    return Counter(
        (version.class_names[instance.class_index], instance.mask.counts, instance.is_crowd)
        for instance in picture.instances
    )


def _count_both(
    names: Iterable[str], old: DatasetVersion, new: DatasetVersion, *, is_crowd: bool
) -> dict[str, tuple[int, int]]:
    before, after = _counts(old, is_crowd), _counts(new, is_crowd)
    return {name: (before[name], after[name]) for name in names}


def _counts(version: DatasetVersion, is_crowd: bool) -> Counter[str]:
    return Counter(
        version.class_names[instance.class_index]
        for picture in version.pictures
        for instance in picture.instances
        if instance.is_crowd == is_crowd
    )
