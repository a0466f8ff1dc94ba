"""What is looked at for bends: a batch as it was read, and what each bend's detector returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataset.bends.painting import read_polygons
from dataset.bends.tracing import FACTS, OutlineFacts, look_at
from dataset.coco.document import CocoFile, box_is_sound
from dataset.coco.listing import ReadAnnotation
from dataset.coco.validation import Reading, ValidationReport
from dataset.label_json import unfolded
from dataset.problems import Severity
from maskloop.masks import areas_px, boxes_xyxy

Polygons = Sequence[NDArray[np.float64]]
_ROWS_AT_ONCE: Final = 4096


@dataclass(frozen=True)
class Evidence:
    """A batch as it was read.

    Attributes:
        coco: The file.
        reading: How it was read.
        tool: Which tool wrote it, as far as that is known; else an empty string.
        annotations: What was read from each annotation, also of pictures that are left out.
        class_names: Of the instances' indices.
        pictures: Names of the usable pictures.
    """

    coco: CocoFile
    reading: Reading
    tool: str
    annotations: tuple[ReadAnnotation, ...]
    class_names: tuple[str, ...]
    pictures: tuple[str, ...]

    @property
    def outlined(self) -> Iterator[tuple[ReadAnnotation, OutlineFacts]]:
        """Annotations with polygons, and what is to be seen in them."""
        indices, facts = self._outlines
        for start in range(0, len(indices), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            for index, row in zip(indices[rows], facts[rows].tolist(), strict=True):
                yield self.annotations[index], OutlineFacts.from_row(row)

    @property
    def num_outlined(self) -> int:
        """How many annotations have polygons."""
        return len(self._outlines[0])

    @cached_property
    def _outlines(self) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Index of each annotation with polygons, int64 (N,), and the facts, `FACTS` (N,)."""
        indices: list[int] = []

        def look_at_each() -> Iterator[tuple[float, ...]]:
            for index, one in enumerate(self.annotations):
                if not one.is_stretched and (polygons := read_polygons(one.record.get("segmentation"))):
                    indices.append(index)
                    yield look_at(polygons).to_row()

        facts = np.fromiter(look_at_each(), FACTS)
        return np.array(indices, np.int64), facts

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Each annotation's number of pixels, int64 (N,)."""
        return areas_px([one.instance.mask for one in self.annotations])

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """Each annotation's tight box, float64 (N, 4), x0, y0, x1, y1 in px."""
        return boxes_xyxy([one.instance.mask for one in self.annotations])


def gather_evidence(coco: CocoFile, reading: Reading, report: ValidationReport, tool: str) -> Evidence:
    """Take what the bends are looked for in out of a report."""
    names = tuple(picture.found.name for picture in report.usable)
    return Evidence(coco, reading, tool, report.annotations, report.class_names, names)


def told_area(annotation: ReadAnnotation) -> float | None:
    """Return what the file gives as an annotation's area, px², or None."""
    area = annotation.record.get("area")
    if isinstance(area, bool) or not isinstance(area, int | float):
        return None
    return float(area) if math.isfinite(area) and area > 0 else None


def told_box(annotation: ReadAnnotation) -> tuple[float, float, float, float] | None:
    """Return what the file gives as an annotation's box, x0, y0, x1, y1 in px, or None."""
    box: Any = unfolded(annotation.record.get("bbox"))
    if not box_is_sound(box):
        return None
    left, top, width, height = map(float, box)
    return left, top, left + width, top + height


@dataclass(frozen=True)
class Finding:
    """What a detector found.

    Attributes:
        message: One sentence for people, with the numbers.
        affected: The annotations that are bent; empty where whole pictures are.
        pictures: Names of pictures to look at, the best example first.
        where: The place in the file that shows it best.
    """

    message: str
    affected: tuple[ReadAnnotation, ...] = ()
    pictures: tuple[str, ...] = ()
    where: str = "/annotations"

    @property
    def count(self) -> int:
        """How many annotations, or else pictures, are affected."""
        return len(self.affected) or len(self.pictures)


def finding_of(message: str, affected: Sequence[ReadAnnotation]) -> Finding:
    """Make a finding about annotations; the first of them is the example."""
    pictures = tuple(dict.fromkeys(one.picture for one in affected))
    return Finding(message, tuple(affected), pictures, affected[0].where)


@dataclass(frozen=True)
class Batch:
    """A file and how it is to be read: what a mend changes."""

    coco: CocoFile
    reading: Reading


@dataclass(frozen=True)
class Bend:
    """A row of the table: one thing that tools do to masks.

    Attributes:
        code: Short and stable, for programs.
        severity: Of the problem, as long as it is not mended.
        detect: Returns what was found, or None. Pure.
        cause: Which tools do it, and why.
        cure: What to do about it.
        mend: Returns the batch with the affected annotations as they were drawn. Pure. None: not possible.
        mended: What the mend did, for a list: "filled to the last pixel".
        is_told: False where the validation tells it already.
    """

    code: str
    severity: Severity
    detect: Callable[[Evidence], Finding | None]
    cause: str
    cure: str
    mend: Callable[[Batch, Finding], Batch] | None = None
    mended: str = ""
    is_told: bool = True
