"""Pictures of which a part alone is read: the first frame of an animation, the upper bits of 16.

Animated PNG and WebP files are read so in training and in the service alike. A camera of 12 bits that writes
its values into the lower bits leaves 16 grey levels of 256. No file is stretched by itself: the next one, or
the service's, would be stretched otherwise. The setting is named.
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


def judge_unused_bits(
    pictures: Sequence[DeepPicture], *, is_first_batch: bool, is_stated: bool
) -> tuple[DataProblem, ...]:
    """Say so if no 16-bit picture of a batch comes near the full range. One dark picture among others may.

    Args:
        pictures: Those of the batch.
        is_first_batch: It settles how values are read; it is refused until somebody states it.
        is_stated: The settings state a range, so there is nothing to ask.
    """
    deep = [picture for picture in pictures if picture.bits_used]
    num_bits = max((picture.bits_used for picture in deep), default=16)
    if is_stated or num_bits > _FEW_BITS:
        return ()
    message = (
        f"only the lower {num_bits} of 16 bits are used in {count(len(deep), 'picture')}, and all 16 are "
        f"read, which leaves {2 ** max(0, num_bits - 8)} of 256 grey levels and looks dark"
    )
    setting = f"pictures.depth_bits = {num_bits} in maskloop.toml"
    if is_first_batch:
        hint = f"set {setting}, or 16 to take them as they are: the first batch settles how values are read"
        return (DataProblem("error", "bits-unused", deep[0].name, message, hint),)
    hint = (
        f"set {setting} of a new workspace, and ingest the batch there: the first batch settles how values "
        "are read"
    )
    return (DataProblem("warning", "bits-unused", deep[0].name, message, hint),)


class FramedPicture(Protocol):
    """What is asked of a picture."""

    @property
    def name(self) -> str:
        """The file name."""
        ...

    @property
    def num_frames(self) -> int:
        """See `dataset.pictures.decoding.DecodedPicture`."""
        ...


def warn_of_unread_frames(pictures: Sequence[FramedPicture]) -> tuple[DataProblem, ...]:
    """Say so if a batch holds animations."""
    animated = [picture for picture in pictures if picture.num_frames > 1]
    if not animated:
        return ()
    message = f"the first frame is read of {count(len(animated), 'animation')}, and no other frame"
    hint = "if other frames are to be learned from, save them as pictures and label those"
    return (DataProblem("warning", "frames-unread", animated[0].name, message, hint),)
