"""Masks that an export bent come in as they are, or as they were drawn when a person asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from dataset.ingestion.ingest import IngestResult
from dataset.ingestion.refusal import BatchRefusedError
from dataset.labelled_pictures import LabelledPicture
from maskloop.masks import areas_px
from tests.fakes.bent_batches import Write, as_contours, as_rle, box_of
from tests.fakes.coco_batches import HEIGHT_PX, WIDTH_PX, coco_content
from tests.fakes.contours import Mask

NUMBERS = range(4)
SHORT = "masks-one-pixel-short"
AREA_PX = 12 * 4 + 8 * 4
Ingest = Callable[..., IngestResult]


def draw(number: int) -> Mask:
    """An L of 12 x 12 px."""
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    mask[number : number + 12, number : number + 4] = True
    mask[number + 8 : number + 12, number : number + 12] = True
    return mask


def content(write: Write, **changes: Any) -> dict[str, Any]:
    batch = coco_content(NUMBERS, ("bolt",))
    for number, one in enumerate(batch["annotations"]):
        one |= {"segmentation": write(draw(number)), "bbox": box_of(draw(number)), **changes}
    return batch


def areas(result: IngestResult) -> set[int]:
    assert result.version is not None
    return {
        int(area) for picture in result.version.pictures for area in areas_px([picture.instances[0].mask])
    }


def mends(result: IngestResult) -> set[tuple[str, ...]]:
    assert result.version is not None
    pictures: Iterable[LabelledPicture] = result.version.pictures
    return {picture.mended for picture in pictures}


def test_bent_masks_are_taken_as_they_are_and_told(ingest: Ingest) -> None:
    result = ingest(NUMBERS, content(as_contours))
    assert [problem.code for problem in result.report.problems] == [SHORT]
    assert areas(result) == {11 * 3 + 8 * 3 + 1}
    assert mends(result) == {()}


def test_mended_masks_are_those_that_were_drawn_and_the_version_says_so(ingest: Ingest) -> None:
    result = ingest(NUMBERS, content(as_contours), mend=True)
    assert areas(result) == {AREA_PX}
    assert mends(result) == {(SHORT,)}
    assert result.mended.num_by_code == {SHORT: 4}


def test_mending_later_relabels_the_pictures_once(ingest: Ingest) -> None:
    ingest(NUMBERS, content(as_contours))
    result = ingest(NUMBERS, content(as_contours), mend=True)
    assert (result.num_added, result.num_updated, result.changed) == (0, 4, True)
    assert (areas(result), mends(result)) == ({AREA_PX}, {(SHORT,)})
    again = ingest(NUMBERS, content(as_contours), mend=True)
    assert (again.changed, again.num_unchanged) == (False, 4)
    assert again.version == result.version


def test_bent_masks_undo_a_mend_only_if_somebody_agrees(ingest: Ingest) -> None:
    ingest(NUMBERS, content(as_contours), mend=True)
    with pytest.raises(BatchRefusedError, match="masks of 4 pictures were mended") as refused:
        ingest(NUMBERS, content(as_contours))
    assert "--mend" in refused.value.hint
    result = ingest(NUMBERS, content(as_contours), relabelling="replace")
    assert (result.num_updated, mends(result)) == (4, {()})
    assert "mend-undone" in {problem.code for problem in result.report.problems}


def test_honest_masks_replace_mended_ones_without_a_question(ingest: Ingest) -> None:
    ingest(NUMBERS, content(as_contours), mend=True)
    batch = content(lambda mask: as_rle(mask[::-1]))
    for number, one in enumerate(batch["annotations"]):
        one["bbox"] = box_of(draw(number)[::-1])
    result = ingest(NUMBERS, batch)
    assert (result.num_updated, mends(result)) == (4, {()})


def test_labels_that_join_mended_ones_keep_the_note(ingest: Ingest) -> None:
    ingest(NUMBERS, content(as_contours), mend=True)
    batch = content(as_contours)
    for number, one in enumerate(batch["annotations"]):
        one |= {"segmentation": as_rle(draw(number)[::-1, ::-1]), "bbox": box_of(draw(number)[::-1, ::-1])}
    result = ingest(NUMBERS, batch, relabelling="add")
    assert result.version is not None
    assert {len(picture.instances) for picture in result.version.pictures} == {2}
    assert mends(result) == {(SHORT,)}


def test_a_clean_batch_is_the_same_with_and_without_mends(ingest: Ingest) -> None:
    first = ingest(NUMBERS, content(as_rle))
    again = ingest(NUMBERS, content(as_rle), mend=True)
    assert (first.report.problems, again.changed, again.mended.num_by_code) == ((), False, {})


@pytest.mark.parametrize("mend", [True, False])
def test_a_class_of_crowds_is_refused_unless_mended_to_objects(ingest: Ingest, mend: bool) -> None:
    batch = content(as_rle, iscrowd=1)
    if not mend:
        with pytest.raises(BatchRefusedError, match="--mend"):
            ingest(NUMBERS, batch)
        return
    result = ingest(NUMBERS, batch, mend=True)
    assert result.report.instances_per_class == (4,)
    assert mends(result) == {("class-of-crowds",)}
