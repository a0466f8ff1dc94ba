"""A request for labels as one page: each picture with the champion's answer, the reason and the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskloop.files import write_text
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.pages.templates import open_template
from maskloop.records.kinds import ChosenPicture, LabelsRequested

_TEMPLATE: Final = Path(__file__).with_name("request_page.html.j2")
_MAX_SIDE_PX: Final = 320
PARTS: Final = {
    "drift": "how far out the picture lies in the features that drifted",
    "uncertainty": "1 minus the certainty of class, mask and box, and occurrence",
    "class": "uncertainty of the class alone",
    "mask": "uncertainty of mask and box alone",
    "occurrence": "share of views in which an instance is missing",
    "need": "how much the neediest class in it lacks labels or IoU",
    "score": "drift × uncertainty × (1 + need)",
}


@dataclass(frozen=True)
class ShownPicture:
    """A chosen picture as the page shows it.

    Attributes:
        chosen: The choice.
        pixels: uint8 (H, W, 3), RGB, with the champion's answer drawn.
    """

    chosen: ChosenPicture
    pixels: NDArray[np.uint8]


def write_request_page(
    file: Path, record: LabelsRequested, pictures: Sequence[ShownPicture], *, model_version: str
) -> None:
    """Write the page.

    Args:
        file: The page.
        record: The request.
        pictures: Those that are still kept, in the order of the request.
        model_version: Whose answers are drawn.

    Raises:
        StorageError: if it cannot be written.
    """
    best = [one for one in record.chosen if not one.is_random]
    ranks = {one.sample_id: f"No. {number}" for number, one in enumerate(best, start=1)}
    page = open_template(_TEMPLATE).render(
        record=record,
        model_version=model_version,
        pictures=[
            (
                one.chosen,
                ranks.get(one.chosen.sample_id, "Random"),
                embed_picture(one.pixels, max_side_px=_MAX_SIDE_PX),
            )
            for one in sorted(pictures, key=lambda one: one.chosen.is_random)
        ],
        num_gone=len(record.chosen) - len(pictures),
        num_random=len(record.chosen) - len(best),
        parts=PARTS,
    )
    write_text(file, page)
