"""Which of the annotations that came back become labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import combinations

from scipy.optimize import linear_sum_assignment

from dataset.labelled_pictures import LabelOrigin
from dataset.labelling.drawings import digest_labels
from dataset.labelling.port import Annotation, DrawnInstance
from maskloop.digest import digest_value
from maskloop.masks import mask_iou
from maskloop.settings.labelling_settings import LabellingSettings


@dataclass(frozen=True)
class Settled:
    """The annotation of a picture that becomes its labels.

    Attributes:
        picture_digest: The picture.
        annotation: The one that counts.
        origin: Who made the labels.
        agreement: By class, mask IoU of the annotators; empty for one annotator.
    """

    picture_digest: str
    annotation: Annotation
    origin: LabelOrigin
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class LeftOut:
    """A picture without an annotation that counts.

    Attributes:
        picture_digest: The picture.
        reason: Why none counts.
        agreement: By class, mask IoU of the annotators; empty for one annotator.
    """

    picture_digest: str
    reason: str
    agreement: Mapping[str, float] = field(default_factory=dict)


def settle(
    picture_digest: str,
    annotations: Sequence[Annotation],
    class_names: AbstractSet[str],
    settings: LabellingSettings,
) -> Settled | LeftOut:
    """Choose the annotation that counts: one marked as ground truth, else the newest, if annotators agree.

    Args:
        picture_digest: The picture.
        annotations: All that were submitted.
        class_names: The classes of the data.
        settings: The rule for several annotators.
    """
    usable = [one for one in annotations if not _find_trouble(one, class_names)]
    if not usable:
        return LeftOut(picture_digest, _find_trouble(annotations[-1], class_names))
    newest: dict[str, Annotation] = {}
    for one in sorted(usable, key=lambda one: (one.at, one.annotation_id)):
        newest.pop(one.annotator or one.annotation_id, None)
        newest[one.annotator or one.annotation_id] = one
    by_person = list(newest.values())
    agreement = measure_agreement([one.instances for one in by_person]) if len(by_person) > 1 else {}
    marked = [one for one in by_person if one.is_ground_truth]
    chosen = (marked or by_person)[-1]
    least = min(agreement.items(), key=lambda item: item[1], default=None)
    is_disputed = least is not None and least[1] < settings.min_agreement
    if least and is_disputed and not marked and settings.two_annotators == "agree-or-skip":
        reason = f"annotators disagree about {least[0]}: IoU {least[1]:.2f}, below {settings.min_agreement:g}"
        return LeftOut(picture_digest, reason, agreement)
    origin: LabelOrigin = "model-reviewed" if chosen.is_unchanged else "corrected"
    return Settled(picture_digest, chosen, origin, agreement)


def measure_agreement(drawn: Sequence[Sequence[DrawnInstance]]) -> dict[str, float]:
    """Return by class how well annotators agree, 0..1: the mean of all pairs of them.

    Of two annotators it is the sum of the mask IoU of the objects matched best, divided by the number of
    objects of the one who drew more, so that an object only one of them drew counts 0. Crowds are left out.
    """
    pairs = list(combinations(drawn, 2))
    names = sorted({one.class_name for instances in drawn for one in instances if not one.is_crowd})
    return {name: sum(_agree(some, others, name) for some, others in pairs) / len(pairs) for name in names}


def _agree(some: Sequence[DrawnInstance], others: Sequence[DrawnInstance], class_name: str) -> float:
    mine, theirs = (
        [one.mask for one in each if one.class_name == class_name and not one.is_crowd]
        for each in (some, others)
    )
    if not mine and not theirs:
        return 1.0
    if len({(one.height_px, one.width_px) for one in (*mine, *theirs)}) > 1:
        return 0.0
    iou_NM = mask_iou(mine, theirs)
    matched = linear_sum_assignment(iou_NM, maximize=True)
    return float(iou_NM[matched].sum()) / max(len(mine), len(theirs))


def limit_accepted(
    settled: Sequence[Settled], *, num_drawn: int, num_accepted: int, percent: float
) -> tuple[list[Settled], list[LeftOut]]:
    """Leave out model answers that were accepted without a change, beyond a share; the oldest come first.

    Args:
        settled: Pictures whose labels are to be taken.
        num_drawn: Other labels of the request in the data that people drew or changed.
        num_accepted: Other labels of the request in the data that were accepted.
        percent: Largest share of accepted ones in all labels of the request.
    """
    accepted = sorted(
        (one for one in settled if one.origin == "model-reviewed"),
        key=lambda one: (one.annotation.at, one.picture_digest),
    )
    num_drawn += len(settled) - len(accepted)
    room = len(accepted)
    if percent < 100.0:
        room = max(0, int(num_drawn * percent / (100.0 - percent) + 1e-9) - num_accepted)
    reason = f"accepted as the model drew them, beyond {percent:g} % (labelling.max_accepted_percent)"
    beyond = {one.picture_digest: LeftOut(one.picture_digest, reason) for one in accepted[room:]}
    return [one for one in settled if one.picture_digest not in beyond], list(beyond.values())


def digest_annotations(annotations: Sequence[Annotation], *rules: object) -> str:
    """Return a digest of everything that decides what is taken."""
    listed = [
        [
            *(one.task_id, one.annotation_id, one.annotator, one.at, one.is_ground_truth, one.is_unchanged),
            *(one.trouble, list(one.size_hw or ()), digest_labels(one.instances)),
        ]
        for one in annotations
    ]
    return digest_value([sorted(listed, key=lambda one: one[:2]), *map(str, rules)])


def _find_trouble(annotation: Annotation, class_names: AbstractSet[str]) -> str:
    if annotation.trouble:
        return annotation.trouble
    unknown = sorted({one.class_name for one in annotation.instances} - class_names)
    return f"the data have no class {', '.join(unknown)}" if unknown else ""
