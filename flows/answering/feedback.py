"""People's feedback about answers is checked and recorded. What becomes of it: `flows.intake.feedback`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from dataset.coco.outlines import read_mask
from maskloop.errors import DataError, MaskError, NotFoundError
from monitoring.samples.corrections import Correction, CorrectionLog

if TYPE_CHECKING:
    from maskloop.masks import Rle
    from monitoring.samples.sample_log import SampleLog
    from monitoring.samples.values import Sample
    from serving.observing import Observer
    from serving.schemas import CorrectedInstance, FeedbackRequest

_MAX_INSTANCES: Final = 1000
_MAX_MASK_BYTES: Final = 4_000_000
_MAX_OUTLINE_PX: Final = 5_000_000.0
"""Of all outlines together: drawing this much takes a second."""


def take_feedback(
    samples: SampleLog,
    corrections: CorrectionLog,
    feedback: FeedbackRequest,
    *,
    by: str,
    now: datetime,
    observer: Observer | None = None,
) -> bool:
    """Record a person's feedback about an answer; returns whether it becomes a label.

    It does if the correction lists all instances and the picture is kept. The latest correction of an answer
    counts.

    Args:
        samples: Holds the answer.
        corrections: Takes the feedback.
        feedback: The person's.
        by: The person's name.
        now: The time that is recorded with it.
        observer: Counts feedback.

    Raises:
        NotFoundError: if no answer to this request was sampled.
        DataError: if a mask is not one, or does not fit the picture.
        UnavailableError: if the log stays locked.
    """
    sample = samples.get(feedback.request_id)
    if sample is None:
        raise NotFoundError(
            "no answer to such a request was kept",
            hint="only sampled answers can be judged, until their retention ends",
        )
    instances = None
    if feedback.instances is not None:
        instances = check_instances(feedback.instances, sample)
    correction = Correction(
        request_id=sample.sample_id,
        at=now,
        by=by,
        verdict=feedback.verdict,
        instances=instances,
        note=feedback.note,
        model_version=sample.model_version,
        source=sample.source,
        size_px=(sample.height_px, sample.width_px),
    )
    picture = samples.picture_bytes(sample) if instances is not None else None
    if corrections.add(correction, picture) and observer:
        observer.feedback_given(feedback.verdict, version=sample.model_version)
    return corrections.labels([sample.sample_id])[sample.sample_id].fate in ("waiting", "ingested")


def check_instances(instances: Sequence[CorrectedInstance], sample: Sample) -> tuple[tuple[str, Rle], ...]:
    """Return class name and mask of each instance, all of the stored picture's size.

    Raises:
        DataError: if the picture's size is not known, or there are too many instances or pixels.
        MaskError: if one is no mask, empty, of another size, or lies mostly outside the picture.
    """
    if not sample.height_px:
        raise DataError("masks cannot be checked: the size of this picture was not written down")
    if len(instances) > _MAX_INSTANCES:
        raise DataError(f"{len(instances)} instances are more than the {_MAX_INSTANCES} accepted")
    segmentations = [_as_coco(one) for one in instances]
    if sum(map(_outline_px, segmentations)) > _MAX_OUTLINE_PX:
        raise DataError("the outlines are too long", hint="send masks as RLE")
    checked = []
    for number, (one, segmentation) in enumerate(zip(instances, segmentations, strict=True), start=1):
        try:
            checked.append((one.class_name, _check_mask(segmentation, sample)))
        except MaskError as error:
            raise MaskError(f"instance {number}: {error.headline}") from error
    if sum(len(mask.counts) for _, mask in checked) > _MAX_MASK_BYTES:
        raise DataError("the masks are too detailed to be kept")
    return tuple(checked)


def _as_coco(instance: CorrectedInstance) -> Any:
    mask = instance.mask
    return mask if isinstance(mask, list) else {"size": list(mask.size), "counts": mask.counts}


def _outline_px(segmentation: Any) -> float:
    """Return about how far it is around polygons; a mask in another form is 0."""
    polygons: list[list[float]] = segmentation if isinstance(segmentation, list) else []
    axes = [axis for polygon in polygons for axis in (polygon[0::2], polygon[1::2])]
    return sum(abs(now - before) for axis in axes for before, now in pairwise([*axis, *axis[:1]]))


def _check_mask(segmentation: Any, sample: Sample) -> Rle:
    mask, _ = read_mask(segmentation, sample.height_px, sample.width_px)
    return mask
