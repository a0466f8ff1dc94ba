"""What came with a batch, what was kept of it, and what was not and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataset.coco.validation import ValidationReport
from dataset.labelled_pictures import LabelledInstance
from maskloop.wording import count


@dataclass(frozen=True)
class ClassBalance:
    """What is kept of one class.

    Attributes:
        name: The class.
        instances: Annotations kept as single objects.
        crowds: Annotations kept as crowd regions: neither learned as objects nor judged.
    """

    name: str
    instances: int
    crowds: int


@dataclass(frozen=True)
class Balance:
    """The books of one batch: what is kept and what is not add up to what came.

    Attributes:
        num_annotations: Entries of ``annotations``.
        num_annotations_kept: Those that are in the data now.
        annotations_not_kept: Reason to number; with those that are kept they make ``num_annotations``.
        num_pictures: Entries of ``images``.
        num_pictures_kept: Those whose picture is in the data now.
        pictures_not_kept: Reason to number; with those that are kept they make ``num_pictures``.
        num_without_annotations: Kept pictures of which the batch has no annotation.
        num_new: Kept pictures that the data did not hold.
        num_relabelled: Kept pictures that the data held with other instances.
        num_groups: Groups of pictures that no version held before; pictures of one group share a split.
        largest_group: Pictures in the largest of them.
        classes: What is kept of each class.
    """

    num_annotations: int
    num_annotations_kept: int
    annotations_not_kept: Mapping[str, int]
    num_pictures: int
    num_pictures_kept: int
    pictures_not_kept: Mapping[str, int]
    num_without_annotations: int
    num_new: int
    num_relabelled: int
    num_groups: int
    largest_group: int
    classes: tuple[ClassBalance, ...]

    @property
    def num_crowds(self) -> int:
        """Kept annotations that are crowd regions."""
        return sum(each.crowds for each in self.classes)

    def sentence(self) -> str:
        """Say it in one line."""
        parts = [
            _told(
                count(self.num_annotations, "annotation"),
                self.num_annotations_kept,
                self.annotations_not_kept,
            )
        ]
        if self.num_crowds:
            parts[0] += f", {self.num_crowds} of the kept ones as crowd regions"
        pictures = _told(count(self.num_pictures, "picture"), self.num_pictures_kept, self.pictures_not_kept)
        known = self.num_pictures_kept - self.num_new
        details = [
            f"{self.num_new} new" if known and self.num_new else "",
            f"{self.num_relabelled} relabelled" if self.num_relabelled else "",
            f"{known - self.num_relabelled} in the data as they are" if known > self.num_relabelled else "",
            f"{self.num_without_annotations} without annotations" if self.num_without_annotations else "",
        ]
        parts.append(", ".join(filter(None, (pictures, *details))))
        if self.largest_group > 1:
            parts.append(f"{count(self.num_groups, 'group')} (the largest: {self.largest_group} pictures)")
        return "; ".join(parts)

    def counts(self) -> dict[str, int]:
        """Return the numbers alone, by name, as the ledger keeps them."""
        return {
            "annotations": self.num_annotations,
            "annotations kept": self.num_annotations_kept,
            **{f"annotations {reason}": number for reason, number in self.annotations_not_kept.items()},
            "crowd regions kept": self.num_crowds,
            "pictures": self.num_pictures,
            "pictures kept": self.num_pictures_kept,
            **{f"pictures {reason}": number for reason, number in self.pictures_not_kept.items()},
            "pictures without annotations": self.num_without_annotations,
            "groups": self.num_groups,
            "largest group": self.largest_group,
        }


@dataclass(frozen=True)
class Fates:
    """What a plan does with the usable pictures of a batch.

    Attributes:
        num_new: Pictures the data did not hold.
        num_relabelled: Pictures that get other instances.
        num_known_objects: Annotations left out because the data hold the same object.
        group_sizes: Pictures in each group that no version held before.
    """

    num_new: int = 0
    num_relabelled: int = 0
    num_known_objects: int = 0
    group_sizes: tuple[int, ...] = ()


def draw_balance(report: ValidationReport, fates: Fates) -> Balance:
    """Draw up the books of a batch.

    Args:
        report: What was found in it, with the number of annotations and pictures that came.
        fates: What the plan does with the usable pictures.
    """
    instances = [instance for picture in report.usable for instance in picture.instances]
    num_kept = len(instances) - fates.num_known_objects
    reasons = {
        "without a picture": report.num_orphans,
        "drawn twice": report.num_repeats,
        "of pictures listed again": report.num_of_copies,
        "of objects the data have": fates.num_known_objects,
    }
    reasons["left out with their picture"] = report.num_annotations - num_kept - sum(reasons.values())
    return Balance(
        num_annotations=report.num_annotations,
        num_annotations_kept=num_kept,
        annotations_not_kept=_present(reasons),
        num_pictures=report.num_pictures,
        num_pictures_kept=len(report.usable),
        pictures_not_kept=_present(
            {
                "listed again": report.num_copies,
                "left out": report.num_pictures - len(report.usable) - report.num_copies,
            }
        ),
        num_without_annotations=sum(not picture.instances for picture in report.usable),
        num_new=fates.num_new,
        num_relabelled=fates.num_relabelled,
        num_groups=len(fates.group_sizes),
        largest_group=max(fates.group_sizes, default=0),
        classes=_classes(instances, report.class_names),
    )


def _classes(instances: Sequence[LabelledInstance], class_names: Sequence[str]) -> tuple[ClassBalance, ...]:
    numbers = Counter((instance.class_index, instance.is_crowd) for instance in instances)
    return tuple(
        ClassBalance(name, numbers[(index, False)], numbers[(index, True)])
        for index, name in enumerate(class_names)
    )


def _present(numbers: Mapping[str, int]) -> dict[str, int]:
    return {reason: number for reason, number in numbers.items() if number}


def _told(what: str, kept: int, not_kept: Mapping[str, int]) -> str:
    """Say how many of something are kept, and why the others are not."""
    if not not_kept:
        return f"{what}, all kept"
    reasons = ", ".join(f"{number} {reason}" for reason, number in not_kept.items())
    return f"{what}: {kept} kept, {reasons}"
