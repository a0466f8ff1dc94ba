"""What a check of the data found: each finding with a sentence, each kind of them with a cure. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataset.health.copies import CopiedInstance
from dataset.health.outliers import Outlier
from dataset.health.repeats import LabelledTwice
from dataset.health.sent_again import SentAgain, SentInstances
from dataset.health.several_parts import SeveralParts
from dataset.labelled_pictures import LabelledPicture
from evaluation.instances import Detections
from evaluation.label_errors import LabelError
from maskloop.masks import boxes_xyxy
from maskloop.wording import count
from monitoring.samples.values import Sample

_RELABEL: Final = (
    "Mend the labels of the picture in your labelling tool and take them in again: "
    "`maskloop ingest LABELS --replace`"
)
_RESENT: Final = (
    "Find out who sends it. Trials of the service belong under a source of their own, so that they count "
    "for no camera. Where a camera sees one scene again and again, trust its figures less; "
    "`maskloop label request` passes such pictures over"
)


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        title: Of its part of the page.
        meaning: What such findings are, and how they are ranked.
        cure: What to do about one.
    """

    title: str
    meaning: str
    cure: str


KINDS: Final[Mapping[str, Kind]] = {
    "copied": Kind(
        "The same instance in several splits",
        "The mask and every pixel under it are equal, and the test shows what was trained on.",
        "If the pictures are parts of one photograph, start a new workspace with data.group_pattern set to "
        "what their names have in common, and ingest the batches there: places once given stand",
    ),
    "two-classes": Kind(
        "The same instance with several classes",
        "The mask and every pixel under it are equal, and the labels contradict each other.",
        f"Give both the right class. {_RELABEL}",
    ),
    "twice": Kind(
        "Objects labelled twice",
        "Two masks of one picture cover nearly the same pixels; the score is their IoU.",
        f"Delete one of the two labels. {_RELABEL}",
    ),
    "sent-held-out": Kind(
        "Held-out pictures that production sends too",
        "Production sent the file, or one that looks like it, to a model whose data held the picture. "
        "Production and the test are then no two independent looks at the model.",
        _RESENT,
    ),
    "sent-trained": Kind(
        "Pictures trained on that production sends",
        "Production sent the file, or one that looks like it, to a model that had learned from it: what is "
        "measured on its answer, the estimate of quality among it, is too good.",
        _RESENT,
    ),
    "sent-instance-held-out": Kind(
        "Held-out instances inside what production sends",
        "A held-out instance lies in a picture that production sent, the same to the pixel: a part of the "
        "held-out picture was sent, or pasted into another. Production and the test are then no two "
        "independent looks at the model.",
        _RESENT,
    ),
    "sent-instance-trained": Kind(
        "Instances trained on inside what production sends",
        "An instance that the model learned from lies in a picture that production sent, the same to the "
        "pixel: what is measured on its answer, the estimate of quality among it, is too good.",
        _RESENT,
    ),
    "missing": Kind(
        "Labels that are probably missing",
        "The champion is confident of an object where no label is.",
        f"If there is an object, draw it. {_RELABEL}",
    ),
    "spurious": Kind(
        "Labels of nothing",
        "No detection of the champion supports the label.",
        f"If there is no object, delete the label. {_RELABEL}",
    ),
    "merged": Kind(
        "Several objects under one label",
        "Within one label the champion sees several objects beside each other.",
        f"Draw each object by itself. {_RELABEL}",
    ),
    "split": Kind(
        "One object under several labels",
        "The champion sees one object where several labels lie beside each other.",
        f"Join the labels of one object. {_RELABEL}",
    ),
    "class": Kind(
        "Labels with another class than the champion sees",
        "A confident detection covers the label and names another class.",
        f"If the class is wrong, change it. {_RELABEL}",
    ),
    "border": Kind(
        "Labels with another border than the champion sees",
        "Label and detection are of one class and overlap badly.",
        f"If the border is wrong, draw it again. {_RELABEL}",
    ),
    "several-parts": Kind(
        "Instances in several parts",
        "The mask falls into parts of comparable size, and other instances of the class do not: several "
        "objects in one annotation, or one object behind something without a label. The score is the area of "
        "the second largest part by that of the largest, times the share of the class that is in one part.",
        "If they are several objects, draw each by itself; one object with something in front of it stays. "
        f"{_RELABEL}",
    ),
    "size": Kind(
        "Instances of unusual size",
        "Their share of the picture is far from the median of their class (modified z-score above 3.5).",
        f"Delete specks and slips of the tool; keep rare objects. {_RELABEL}",
    ),
    "aspect": Kind(
        "Instances of unusual shape",
        "Width by height of their box is far from the median of their class (modified z-score above 3.5). "
        "Objects that the picture's edge cuts are left out.",
        f"Draw the label again if it covers several objects or a part of one; keep rare objects. {_RELABEL}",
    ),
}
"""The first seven are facts and need no model, nor do the last three, which are often right."""
FACTS: Final = (
    "copied",
    "two-classes",
    "twice",
    "sent-held-out",
    "sent-trained",
    "sent-instance-held-out",
    "sent-instance-trained",
)


AUDIT_TITLES: Final[Mapping[str, str]] = {
    "large-group": "One group that is too large to be split",
    "alike": "Pictures that look alike, in different splits",
    "torn": "Groups of data.group_pattern in different splits",
    "names": "File names that look like parts of one picture",
    "location": "Stored files that contain a location",
}
"""Of the kinds that `flows.intake.audit` finds, in its order."""
TITLES: Final[Mapping[str, str]] = {**AUDIT_TITLES, **{key: kind.title for key, kind in KINDS.items()}}
"""Of all kinds."""


@dataclass(frozen=True)
class Finding:
    """One finding about one picture.

    Attributes:
        kind: One of `KINDS`.
        score: 0..1; findings of different kinds are not comparable.
        picture: Where to look.
        labels: Positions among the picture's instances.
        detections: Positions among what the champion found in the picture.
        said: What was found, as a sentence.
        sample: Id of the production sample that it is about; empty if it is about none.
    """

    kind: str
    score: float
    picture: LabelledPicture
    labels: tuple[int, ...]
    detections: tuple[int, ...]
    said: str
    sample: str = ""

    def to_json(self, class_names: Sequence[str], found: Detections | None) -> dict[str, Any]:
        """Return it as plain data: labels and detections with their class and box in px."""
        instances = [self.picture.instances[label] for label in self.labels]
        boxes = boxes_xyxy([one.mask for one in instances]).astype(int).tolist()
        told: dict[str, Any] = {
            "kind": self.kind,
            "score": round(self.score, 4),
            "picture": self.picture.name,
            "digest": self.picture.digest,
            "split": self.picture.split,
            "said": self.said,
            "labels": [
                {"position": label, "class": class_names[one.class_index], "box": box}
                for label, one, box in zip(self.labels, instances, boxes, strict=True)
            ],
            "detections": [],
            "sample": self.sample,
        }
        if found is not None:
            told["detections"] = [
                {
                    "class": class_names[found.class_indices[row]],
                    "score": round(float(found.scores[row]), 4),
                    "box": boxes_xyxy([found.masks[row]])[0].astype(int).tolist(),
                }
                for row in self.detections
            ]
        return told


def tell_copies(copies: Sequence[CopiedInstance], class_names: Sequence[str]) -> list[Finding]:
    """Return a finding for each instance in several splits, or with several classes; the score is 1.

    Copies within one split that agree harm nothing and are left out.
    """
    told: list[Finding] = []
    for copy in copies:
        if len(copy.splits) < 2 and len(copy.classes) < 2:
            continue
        first = copy.places[0]
        others = ", ".join(f"{place.picture.name} ({place.picture.split})" for place in copy.places[1:4])
        more = ", ..." if len(copy.places) > 4 else ""
        said = f"the same instance is in {first.picture.name} ({first.picture.split}), {others}{more}"
        if len(copy.classes) > 1:
            said += f", labelled as {' and as '.join(class_names[index] for index in copy.classes)}"
        kind = "copied" if len(copy.splits) > 1 else "two-classes"
        told.append(Finding(kind, 1.0, first.picture, (first.label,), (), said))
    return told


def tell_repeats(pairs: Sequence[LabelledTwice], class_names: Sequence[str]) -> list[Finding]:
    """Return a finding for each object labelled twice."""
    return [
        Finding(
            "twice",
            pair.iou,
            pair.picture,
            pair.labels,
            (),
            f"two labels overlap with an IoU of {pair.iou:.2f}: "
            + " and ".join(_name(pair.picture, label, class_names) for label in pair.labels),
        )
        for pair in pairs
    ]


def tell_sent_again(found: Sequence[SentAgain], samples: Sequence[Sample]) -> list[Finding]:
    """Return a finding for each picture that production sends; ``samples`` are what their rows number."""
    told = []
    for one in found:
        sent = "this very file" if one.is_same else "a picture that looks like it"
        said = (
            f"production sent {sent} {_when(one.num_sent, samples[one.row])}, to a model whose data held it"
        )
        kind = "sent-trained" if one.picture.split == "train" else "sent-held-out"
        told.append(Finding(kind, one.likeness, one.picture, (), (), said, samples[one.row].sample_id))
    return told


def tell_sent_instances(found: Sequence[SentInstances], samples: Sequence[Sample]) -> list[Finding]:
    """Return a finding for each picture whose instances production sends; the score is 1."""
    told = []
    for one in found:
        instances, when = count(len(one.labels), "instance"), _when(one.num_sent, samples[one.row])
        said = (
            f"production sent {instances} of this picture, the same to the pixel, {when}, to a model whose "
            f"data held it; the first one's box begins there at {one.left_px}, {one.top_px} px"
        )
        kind = "sent-instance-trained" if one.picture.split == "train" else "sent-instance-held-out"
        told.append(Finding(kind, 1.0, one.picture, one.labels, (), said, samples[one.row].sample_id))
    return told


def _when(num_sent: int, last: Sample) -> str:
    times = "once," if num_sent == 1 else f"{num_sent} times, the last time"
    return f"{times} from {last.source!r} ({last.received_at:%Y-%m-%d %H:%M} UTC)"


def tell_several_parts(found: Sequence[SeveralParts], class_names: Sequence[str]) -> list[Finding]:
    """Return a finding for each instance in several parts."""
    return [
        Finding(
            "several-parts",
            one.score,
            one.picture,
            (one.label,),
            (),
            f"{_name(one.picture, one.label, class_names)} is in {one.num_parts} parts, as "
            f"{one.share:.1%} of its class; the second largest has {one.relative_area:.0%} of the largest "
            "one's area: several objects in one annotation, or one object behind something without a label",
        )
        for one in found
    ]


def tell_outliers(outliers: Sequence[Outlier], class_names: Sequence[str]) -> list[Finding]:
    """Return a finding for each instance of unusual size or shape."""
    told = []
    for one in outliers:
        name = _name(one.picture, one.label, class_names)
        if one.measure == "size":
            said = (
                f"{name} covers {one.value:.3%} of the picture; the median of its class is {one.median:.3%}"
            )
        else:
            said = (
                f"{name} is {one.value:.2f} times as wide as high, the median of its class {one.median:.2f}"
            )
        told.append(Finding(one.measure, one.score, one.picture, (one.label,), (), said))
    return told


def tell_label_errors(
    errors: Sequence[LabelError],
    pictures: Mapping[str, LabelledPicture],
    found: Mapping[str, Detections],
    class_names: Sequence[str],
) -> list[Finding]:
    """Return a finding for each suspicion that the champion's answers raise."""
    told = []
    for error in errors:
        picture, answer = pictures[error.picture_id], found[error.picture_id]
        labels = " and ".join(_name(picture, label, class_names) for label in error.labels)
        seen = " and ".join(
            f"{class_names[answer.class_indices[row]]} ({answer.scores[row]:.2f})" for row in error.detections
        )
        said = {
            "missing": f"the champion sees {seen} where no label is",
            "spurious": f"nothing that the champion sees supports the label {labels}",
            "merged": f"the label {labels} covers what the champion sees as {seen}",
            "split": f"the labels {labels} cover what the champion sees as {seen}",
            "class": f"the label says {labels}, the champion {seen}",
            "border": f"the border of {labels} is not where the champion sees that of {seen}",
        }[error.kind]
        told.append(Finding(error.kind, error.score, picture, error.labels, error.detections, said))
    return told


def _name(picture: LabelledPicture, label: int, class_names: Sequence[str]) -> str:
    return class_names[picture.instances[label].class_index]
