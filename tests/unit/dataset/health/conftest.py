"""Pictures of 40 x 40 px with filled rectangles as instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataset.labelled_pictures import LabelledInstance, LabelledPicture, Split
from maskloop.masks import Rle, encode_masks

SIDE_PX = 40
Box = tuple[int, int, int, int]


def rectangle(box: Box) -> Rle:
    mask = np.zeros((1, SIDE_PX, SIDE_PX), dtype=bool)
    left, top, right, bottom = box
    mask[0, top:bottom, left:right] = True
    return encode_masks(mask)[0]


@pytest.fixture
def labelled() -> Callable[..., LabelledPicture]:
    """Build a picture from its digest and (class index, box) pairs; (class index, box, True) is a crowd."""

    def build(digest: str, *instances: tuple[Any, ...], split: Split = "train") -> LabelledPicture:
        built = tuple(LabelledInstance(one[0], rectangle(one[1]), len(one) > 2) for one in instances)
        name = f"{digest}.png"
        return LabelledPicture(
            digest, name, name, SIDE_PX, SIDE_PX, "here", digest, split, "data-v1", "human", built
        )

    return build
