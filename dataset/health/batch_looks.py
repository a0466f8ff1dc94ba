"""A batch is held against the data, class by class: which pictures are looked at, and what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataset.health.instance_looks import LOOK_FEATURES, PictureLooks, measure_picture
from dataset.health.look_changes import MIN_GROUPS, LookChange, find_look_changes
from dataset.labelled_pictures import LabelledInstance
from dataset.problems import DataProblem, Severity
from maskloop.errors import PictureError
from maskloop.settings.check_settings import Rule

CODE: Final = "class-looks-otherwise"
_GROUPS_OF_A_CLASS: Final = 40
_MOST_PICTURES: Final = 240
_EXAMPLES: Final = 3

ReadPixels = Callable[[str], NDArray[np.uint8]]


@dataclass(frozen=True)
class SeenPicture:
    """A picture of the data or of the batch.

    Attributes:
        name: The file name it came with.
        file: Where it lies, as text: a Path for each of 100,000 pictures costs as much as an ingest.
        group: Pictures of one group count as one.
        instances: Its labels.
    """

    name: str
    file: str
    group: str
    instances: tuple[LabelledInstance, ...]


@dataclass(frozen=True)
class ShownInstance:
    """An instance of a class to look at."""

    picture: SeenPicture
    label: int


@dataclass(frozen=True)
class OtherLook:
    """A class that looks otherwise in the batch.

    Attributes:
        class_name: The class.
        change: What changed most.
        old: Instances in the data.
        new: Instances in the batch.
    """

    class_name: str
    change: LookChange
    old: tuple[ShownInstance, ...]
    new: tuple[ShownInstance, ...]

    def tell(self, rule: Rule) -> DataProblem:
        """Return it as a problem: an error that blocks the batch, or a warning."""
        share = (1.0 + abs(self.change.effect)) / 2.0
        feature = LOOK_FEATURES[self.change.feature].name
        more = "larger" if self.change.effect > 0 else "smaller"
        message = (
            f"{self.class_name!r} looks otherwise in this batch than in the data, and the rest of the "
            f"pictures does not: its {feature} is {more} than in the data in {share:.0%} of the comparisons "
            f"({self.change.num_new} groups of pictures with {self.change.num_old})"
        )
        hint = (
            "compare its objects, old beside new, on the report's page. If the name means other objects now, "
            "give these a class of their own, or mend the labels"
        )
        if rule == "block":
            hint += '; if all is right, set data.check_policy.look = "warn" and ingest again'
        severity: Severity = "error" if rule == "block" else "warning"
        example = self.new[0].picture.name if self.new else ""
        return DataProblem(severity, CODE, self.class_name, message, hint, example=example)


def compare_batch(
    old: Sequence[SeenPicture], new: Sequence[SeenPicture], class_names: Sequence[str], read: ReadPixels
) -> tuple[OtherLook, ...]:
    """Return the classes that look otherwise in a batch.

    At most 240 pictures of each side are read, so that the time does not grow with the data. One that cannot
    be read is left out.

    Args:
        old: The data.
        new: The batch, without what the data hold already.
        class_names: In the order of class indices.
        read: Returns a picture's pixels, uint8 (H, W, 3). Raises OSError or PictureError.
    """
    num_classes = len(class_names)
    chosen, batch = _choose(old, num_classes), _choose(new, num_classes)
    if not _classes_of_enough_groups(chosen) & _classes_of_enough_groups(batch):
        return ()
    before, after = list(_measure(chosen, read)), list(_measure(batch, read))
    changes = find_look_changes([looks for _, looks in before], [looks for _, looks in after], num_classes)
    return tuple(
        OtherLook(
            class_names[change.class_index],
            change,
            tuple(_choose_examples(before, change.class_index)),
            tuple(_choose_examples(after, change.class_index)),
        )
        for change in changes
    )


def _choose(pictures: Sequence[SeenPicture], num_classes: int) -> list[SeenPicture]:
    """Choose pictures that show every class in enough groups, the rarest first; always the same ones."""
    by_class: list[list[int]] = [[] for _ in range(num_classes)]
    for place, picture in enumerate(pictures):
        for index in {one.class_index for one in picture.instances if not one.is_crowd}:
            by_class[index].append(place)
    chosen: dict[int, None] = {}
    for places in sorted((one for one in by_class if one), key=len):
        groups = {pictures[place].group for place in places if place in chosen}
        for place in np.random.default_rng(0).permutation(places).tolist():
            if len(groups) >= _GROUPS_OF_A_CLASS or len(chosen) >= _MOST_PICTURES:
                break
            if pictures[place].group not in groups:
                groups.add(pictures[place].group)
                chosen[place] = None
    return [pictures[place] for place in chosen]


def _classes_of_enough_groups(pictures: Sequence[SeenPicture]) -> set[int]:
    groups: dict[int, set[str]] = {}
    for picture in pictures:
        for one in picture.instances:
            groups.setdefault(one.class_index, set()).add(picture.group)
    return {index for index, found in groups.items() if len(found) >= MIN_GROUPS}


def _measure(pictures: Sequence[SeenPicture], read: ReadPixels) -> Iterator[tuple[SeenPicture, PictureLooks]]:
    for picture in pictures:
        try:
            pixels = read(picture.file)
        except (OSError, PictureError):
            continue
        yield picture, measure_picture(pixels, picture.instances, picture.group)


def _choose_examples(
    side: Sequence[tuple[SeenPicture, PictureLooks]], class_index: int
) -> Iterator[ShownInstance]:
    found = [(picture, looks) for picture, looks in side if class_index in looks.shown]
    for picture, looks in found[:_EXAMPLES]:
        yield ShownInstance(picture, looks.shown[class_index])
