"""Dropping, renaming and merging the classes of the data that are already in. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dataset.labelled_pictures import LabelledPicture
from dataset.versions.catalog import Catalog
from maskloop.errors import DataError, NotFoundError


@dataclass(frozen=True)
class ClassChange:
    """A requested change of the label schema, in the present names.

    Attributes:
        drops: Classes that leave, with their instances.
        renames: Pairs of an old and a new name.
        merges: Pairs of a class and the one its instances go to.
    """

    drops: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    merges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ClassPlan:
    """What the data will be after a change.

    Attributes:
        catalog: Of the next version.
        lost: Instances that leave, for each dropped class, also if there are none.
        num_pictures_losing: Pictures that lose an instance.
        num_emptied: Those of them that are left without any, and so teach background alone.
    """

    catalog: Catalog
    lost: Mapping[str, int]
    num_pictures_losing: int
    num_emptied: int

    @property
    def num_lost(self) -> int:
        """Instances that leave, of all classes."""
        return sum(self.lost.values())


def plan_class_change(catalog: Catalog, change: ClassChange) -> ClassPlan:
    """Decide what the next version holds.

    Raises:
        NotFoundError: if a class is named that is none.
        DataError: if the wishes contradict each other, or two classes would have one name.
    """
    became = _new_names(catalog.class_names, change)
    merged = {name for name, _ in change.merges}
    kept = (became[name] for name in catalog.class_names if name not in merged)
    class_names = tuple(name for name in kept if name is not None)
    _check_names(class_names)
    new_names = [became[name] for name in catalog.class_names]
    index_of = {old: None if name is None else class_names.index(name) for old, name in enumerate(new_names)}
    pictures = tuple(_relabelled(picture, index_of) for picture in catalog.pictures)
    counts = Counter(one.class_index for picture in catalog.pictures for one in picture.instances)
    losing = [
        new
        for old, new in zip(catalog.pictures, pictures, strict=True)
        if any(index_of[one.class_index] is None for one in old.instances)
    ]
    return ClassPlan(
        replace(catalog, class_names=class_names, pictures=pictures),
        {name: counts[catalog.class_names.index(name)] for name in change.drops},
        num_pictures_losing=len(losing),
        num_emptied=sum(not picture.instances for picture in losing),
    )


def _new_names(class_names: Sequence[str], change: ClassChange) -> dict[str, str | None]:
    """Map each class to what its instances are called afterwards, or to None if they leave."""
    sources = [*change.drops, *(old for old, _ in change.renames), *(name for name, _ in change.merges)]
    unknown = [name for name in (*sources, *(into for _, into in change.merges)) if name not in class_names]
    if unknown:
        raise NotFoundError(
            f"there is no class {unknown[0]!r} in the data", hint=f"The classes are {', '.join(class_names)}"
        )
    if twice := [name for name, times in Counter(sources).items() if times > 1]:
        raise DataError(f"two things are asked of class {twice[0]!r}", hint="Drop, rename or merge it")
    if same := [old for old, new in change.renames if old == new.strip()]:
        raise DataError(f"class {same[0]!r} has that name already")
    became: dict[str, str | None] = {name: name for name in class_names}
    became |= dict.fromkeys(change.drops)
    became |= {old: new.strip() for old, new in change.renames}
    for name, into in change.merges:
        if into in change.drops or into in dict(change.merges):
            raise DataError(
                f"class {name!r} cannot be merged into {into!r}, which leaves itself",
                hint="Name the class that stays",
            )
    return became | {name: became[into] for name, into in change.merges}


def _check_names(class_names: Sequence[str]) -> None:
    if not class_names:
        raise DataError("no class would be left", hint="Keep at least one")
    for name, times in Counter(class_names).items():
        if not name:
            raise DataError("a class needs a name")
        if times > 1:
            raise DataError(
                f"there would be {times} classes called {name!r}", hint="Merge one into the other"
            )


def _relabelled(picture: LabelledPicture, index_of: Mapping[int, int | None]) -> LabelledPicture:
    instances = []
    for one in picture.instances:
        index = index_of[one.class_index]
        if index is not None:
            instances.append(replace(one, class_index=index))
    return replace(picture, instances=tuple(dict.fromkeys(instances)))
