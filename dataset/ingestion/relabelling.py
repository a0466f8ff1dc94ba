"""What happens to the labels of pictures that are in the data already: replaced, or joined by new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from dataset.labelled_pictures import LabelledInstance, LabelledPicture, LabelOrigin
from dataset.problems import DataProblem
from maskloop.masks import mask_iou
from maskloop.wording import count

Relabelling = Literal["ask", "replace", "add"]
SAME_OBJECT_IOU: Final = 0.8
"""Two masks of one class that overlap so far are one object, drawn twice."""

_LEAST_CERTAIN: Final[tuple[LabelOrigin, ...]] = ("model-reviewed", "corrected", "human")
"""What a picture with labels of two origins counts as: the first of them here."""
_STILL_THERE: Final = "the old labels are in the version before; `maskloop data diff` names the pictures"


@dataclass(frozen=True)
class ClassChange:
    """What a relabelling does to one class; crowd regions are not counted.

    Attributes:
        name: The class.
        before: Its instances in the relabelled pictures so far.
        after: Its instances in them from now on.
        pictures_without: Names of pictures that had the class and have it no more.
        pictures_without_crowd: Names of pictures that have fewer crowd regions of the class from now on, and
            no object in place of the missing ones.
    """

    name: str
    before: int
    after: int
    pictures_without: tuple[str, ...]
    pictures_without_crowd: tuple[str, ...] = ()


def compare_labels(
    pictures: Sequence[LabelledPicture],
    instances: Mapping[str, Sequence[LabelledInstance]],
    class_names: Sequence[str],
) -> tuple[ClassChange, ...]:
    """Say what becomes of each class in pictures that get other instances, by digest."""
    before = {picture.digest: _per_class(picture.instances) for picture in pictures}
    after = {picture.digest: _per_class(instances[picture.digest]) for picture in pictures}
    return tuple(
        ClassChange(
            name,
            sum(counts[index] for counts in before.values()),
            sum(counts[index] for counts in after.values()),
            tuple(
                picture.name
                for picture in pictures
                if before[picture.digest][index] and not after[picture.digest][index]
            ),
            tuple(
                picture.name
                for picture in pictures
                if _lacks_crowds(picture, instances[picture.digest], index)
            ),
        )
        for index, name in enumerate(class_names)
    )


def judge_relabelling(changes: Sequence[ClassChange], rule: Relabelling) -> tuple[DataProblem, ...]:
    """Refuse a relabelling that takes a class from pictures that had it, unless somebody agreed to it."""
    return (*_taken_away(changes, rule), *_fewer(changes), *_without_crowds(changes))


def judge_undone_mends(
    pictures: Sequence[LabelledPicture], bends: Collection[str], rule: Relabelling
) -> tuple[DataProblem, ...]:
    """Refuse new labels that bring back a bend which was mended in a picture, unless somebody agreed to it.

    Args:
        pictures: As they are so far, those that get other instances which are not mended.
        bends: Codes of the bends found in the batch.
        rule: What the caller said; labels that are added leave the mended ones as they are.
    """
    undone = [one.name for one in pictures if any(code in bends for code in one.mended)]
    if not undone or rule == "add":
        return ()
    message = f"the masks of {count(len(undone), 'picture')} were mended; the new ones are bent the same way"
    if rule == "replace":
        agreed = DataProblem("warning", "mend-undone", "/annotations", message, _STILL_THERE)
        return (replace(agreed, example=undone[0]),)
    hint = "mend these too with --mend, or agree to the bent masks with --replace"
    return (DataProblem("error", "mend-undone", "/annotations", message, hint, example=undone[0]),)


def join_instances(
    known: Sequence[LabelledInstance], new: Sequence[LabelledInstance]
) -> tuple[tuple[LabelledInstance, ...], int, bool]:
    """Add new instances to known ones of a picture, each object once.

    Returns:
        The instances, the known ones as they were; how many of the new ones were there already; whether one
        of the others lies on a known object of another class.
    """
    iou_NM = mask_iou([one.mask for one in new], [one.mask for one in known])
    joined, num_known, contradicts = list(known), 0, False
    for row, one in enumerate(new):
        on_it = [known[column] for column in (iou_NM[row] >= SAME_OBJECT_IOU).nonzero()[0]]
        if any((other.class_index, other.is_crowd) == (one.class_index, one.is_crowd) for other in on_it):
            num_known += 1
            continue
        contradicts |= any(other.class_index != one.class_index for other in on_it)
        joined.append(one)
    return tuple(joined), num_known, contradicts


def with_both_histories(known: LabelledPicture, new: LabelledPicture) -> LabelledPicture:
    """Return the picture with the less certain label origin of both, and every bend undone in either.

    Who labelled it first stays; instances that were added name their own origin.
    """
    label_origin = min(known.label_origin, new.label_origin, key=_LEAST_CERTAIN.index)
    mended = tuple(dict.fromkeys((*known.mended, *new.mended)))
    return replace(new, label_origin=label_origin, mended=mended, origin=known.origin or new.origin)


def _taken_away(changes: Sequence[ClassChange], rule: Relabelling) -> tuple[DataProblem, ...]:
    lost = [change for change in changes if change.pictures_without]
    if not lost:
        return ()
    told = ", ".join(
        f"{change.name!r} from {count(len(change.pictures_without), 'picture')} that had it "
        f"({change.before} instances become {change.after})"
        for change in lost
    )
    message = f"the new labels take {told}"
    if rule == "replace":
        agreed = DataProblem("warning", "class-taken-away", "/annotations", message, _STILL_THERE)
        return (replace(agreed, example=_first(lost)),)
    hint = "keep the old labels and add the new ones with --add, or agree to their loss with --replace"
    return (DataProblem("error", "class-taken-away", "/annotations", message, hint, example=_first(lost)),)


def _fewer(changes: Sequence[ClassChange]) -> tuple[DataProblem, ...]:
    fewer = [change for change in changes if change.after < change.before and not change.pictures_without]
    if not fewer:
        return ()
    told = ", ".join(f"{change.name!r} {change.before} to {change.after}" for change in fewer)
    message = f"pictures that are in the data already have fewer instances now: {told}"
    return (DataProblem("warning", "fewer-instances", "/annotations", message, _STILL_THERE),)


def _without_crowds(changes: Sequence[ClassChange]) -> tuple[DataProblem, ...]:
    """Warn that what a tool without crowd regions left out is gone: its pixels become background."""
    names = [name for change in changes for name in change.pictures_without_crowd]
    if not names:
        return ()
    told = ", ".join(repr(change.name) for change in changes if change.pictures_without_crowd)
    where = count(len(set(names)), "picture")
    message = f"crowd regions of {told} are gone from {where}: what they covered is learned as background"
    hint = "if the tool has no crowd regions, outline the objects in it, or take the new labels with --add; "
    gone = DataProblem("warning", "crowd-regions-gone", "/annotations", message, hint + _STILL_THERE)
    return (replace(gone, example=names[0]),)


def _lacks_crowds(known: LabelledPicture, new: Sequence[LabelledInstance], class_index: int) -> bool:
    """Tell whether a picture has fewer crowd regions of a class than before, and no object in their place."""
    own = [one for one in new if one.class_index == class_index]
    objects = {one.mask for one in own if not one.is_crowd}
    crowds = [one.mask for one in known.instances if one.is_crowd and one.class_index == class_index]
    return sum(mask not in objects for mask in crowds) > sum(one.is_crowd for one in own)


def _first(changes: Sequence[ClassChange]) -> str:
    return changes[0].pictures_without[0]


def _per_class(instances: Sequence[LabelledInstance]) -> Counter[int]:
    return Counter(instance.class_index for instance in instances if not instance.is_crowd)
