"""Pictures of 16 bits a value, of which 8 are read: the upper ones, in training and in the service alike.

A camera of 12 bits that writes its values into the lower bits leaves 16 grey levels of 256. No file is
stretched by itself: the next one, or the service's, would be stretched otherwise. It is told instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from dataset.problems import DataProblem
from maskloop.wording import count

_FEW_BITS: Final = 14
"""At most 64 of 256 grey levels are left."""


class DeepPicture(Protocol):
    """What is asked of a picture."""

    @property
    def name(self) -> str:
        """The file name."""
        ...

    @property
    def bits_used(self) -> int:
        """See `dataset.pictures.decoding.DecodedPicture`."""
        ...


def warn_of_unused_bits(pictures: Sequence[DeepPicture]) -> tuple[DataProblem, ...]:
    """Say so if no 16-bit picture of a batch comes near the full range. One dark picture among others may."""
    deep = [picture for picture in pictures if picture.bits_used]
    num_bits = max((picture.bits_used for picture in deep), default=16)
    if num_bits > _FEW_BITS:
        return ()
    message = (
        f"only the lower {num_bits} of 16 bits are used in {count(len(deep), 'picture')}: the upper 8 bits "
        f"are read, which leaves {2 ** max(0, num_bits - 8)} of 256 grey levels and looks dark"
    )
    hint = (
        f"multiply their values by {2 ** (16 - num_bits)}, or save them with 8 bits; do the same with every "
        "picture that the model is to answer"
    )
    return (DataProblem("warning", "bits-unused", deep[0].name, message, hint),)
