"""What can be wrong with a batch as a whole: annotations without a picture, classes without objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Final, Literal

from dataset.coco.annotation_files import EXPORT_HINT
from dataset.coco.document import CocoFile, Identifier, identifier
from dataset.label_json import unfolded
from dataset.problems import DataProblem
from maskloop.wording import count

CrowdRule = Literal["ask", "instances", "regions"]
"""What a crowd region is: to be asked about where a class has nothing else, one object, or what it says."""

_CROWDS: Final = "crowd regions are neither learned as objects nor judged"
_TOOLS: Final = "CVAT, datumaro and other tools mark every brush, mask or SAM object as one"


def judge_lists(coco: CocoFile) -> Iterable[DataProblem]:
    """Say what makes the lists as a whole useless; each of it blocks the batch."""
    if not coco.images:
        hint = "export the labels again, with the pictures that they belong to"
        yield DataProblem("error", "no-pictures", "/images", "the batch lists no pictures", hint)
    if not coco.annotations:
        message = "the batch holds no annotations"
        hint = (
            "pictures without objects are fine beside annotated ones; if brush labels were drawn in Label "
            'Studio, its COCO export leaves them out: export "JSON"'
            if coco.is_label_studio
            else "pictures without objects are fine beside annotated ones; nothing else looks like a slip"
        )
        yield DataProblem("error", "no-annotations", "/annotations", message, hint)
    records = [each for each in coco.annotations if isinstance(each, dict)]
    if any(unfolded(each.get("bbox")) for each in records) and not any(
        unfolded(each.get("segmentation")) for each in records
    ):
        message = f"the {count(len(records), 'annotation')} are boxes without masks"
        hint = (
            f"maskloop learns masks: outline the objects, or export their outlines with them. {EXPORT_HINT}"
        )
        yield DataProblem("error", "boxes-without-masks", "/annotations", message, hint)


def judge_orphans(
    coco: CocoFile, annotated: Mapping[Identifier, Sequence[Any]], max_percent: float
) -> tuple[DataProblem, ...]:
    """Judge annotations whose picture no entry of ``images`` is.

    They block the batch if a listed picture has no annotation, since it may be theirs and would teach that
    its objects are background, or if they are too many. Else pictures were left out of the file on purpose.

    Args:
        coco: The file.
        annotated: The annotations of each listed picture that has any.
        max_percent: Share of annotations, 0..100, that may be without a picture.
    """
    keys = {identifier(each.get("id")) for each in coco.images if isinstance(each, dict)} - {None}
    orphans = [
        (number, each.get("image_id") if isinstance(each, dict) else None)
        for number, each in enumerate(coco.annotations)
        if not isinstance(each, dict) or identifier(each.get("image_id")) not in keys
    ]
    if not orphans:
        return ()
    num_bare = sum(key not in annotated for key in keys)
    number, image_id = orphans[0]
    message = (
        f"{len(orphans)} of {count(len(coco.annotations), 'annotation')} have a picture id that no entry of "
        f"images has (the first: {image_id!r})"
    )
    if num_bare:
        message += f", and {num_bare} of {count(len(keys), 'picture')} have no annotation"
    blocks = bool(num_bare) or 100.0 * len(orphans) > max_percent * len(coco.annotations)
    hint = f"put image_id right; {_ids_there(keys)}. Annotations of pictures that were left out: remove them"
    severity: Literal["error", "warning"] = "error" if blocks else "warning"
    where = f"/annotations/{number}"
    return (DataProblem(severity, "orphan-annotation", where, message, hint, count=len(orphans)),)


def judge_classes(
    class_names: Sequence[str],
    instances: Sequence[int],
    crowds: Sequence[int],
    *,
    rule: CrowdRule,
    crowded: Sequence[str],
    read_as_objects: Sequence[str],
) -> Iterable[DataProblem]:
    """Say which classes have no objects, and what becomes of crowd regions.

    Args:
        class_names: All classes.
        instances: Single objects of each.
        crowds: Crowd regions of each.
        rule: What a person said about crowd regions; ``ask`` refuses a class that has nothing else.
        crowded: Names of pictures with crowd regions.
        read_as_objects: Name of the picture of each crowd region that was read as a single object.
    """
    counted = list(zip(class_names, instances, crowds, strict=True))
    if empty := [name for name, objects, _ in counted if not objects and any((*instances, *crowds))]:
        message = f"the batch has no instances of {_quoted(empty)}"
        hint = "fine if these pictures show none; otherwise their labels were forgotten"
        yield DataProblem("warning", "class-without-instances", f"/categories/{empty[0]}", message, hint)
    alone = [f"{name!r} ({regions})" for name, objects, regions in counted if regions and not objects]
    example = crowded[0] if crowded else ""
    if alone:
        message = f"all annotations of {', '.join(alone)} are crowd regions; {_CROWDS}"
        hint = (
            f"{_TOOLS}: if each is one object, add --crowds-are-instances or --mend; if they do hold many "
            "objects that nobody separated, --crowds-are-regions"
        )
        severity: Literal["error", "warning"] = "error" if rule == "ask" else "warning"
        yield DataProblem(severity, "class-of-crowds", "/annotations", message, hint, example=example)
    elif any(crowds):
        message = f"{count(sum(crowds), 'crowd region')} beside {sum(instances)} single objects; {_CROWDS}"
        hint = f"{_TOOLS}: if each is one object, add --crowds-are-instances"
        yield DataProblem("warning", "crowd-regions", "/annotations", message, hint, example=example)
    if read_as_objects:
        message = f"{count(len(read_as_objects), 'crowd region')} were read as single objects, as you said"
        hint = "look at the pictures in the report: each mask must be one object"
        yield DataProblem(
            "warning", "crowds-as-instances", "/annotations", message, hint, example=read_as_objects[0]
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _ids_there(keys: Set[Identifier | None]) -> str:
    numbers = sorted(key for key in keys if isinstance(key, int))
    if numbers:
        return f"the ids of images go from {numbers[0]} to {numbers[-1]}"
    texts = sorted(key for key in keys if isinstance(key, str))
    return f"the ids of images are like {texts[0]!r}" if texts else "images has no usable ids"
