"""Animated PNG and WebP files, of which the first frame is read, in training and in the service alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dataset.problems import DataProblem
from maskloop.wording import count


class Framed(Protocol):
    """What is asked of a picture."""

    @property
    def name(self) -> str:
        """The file name."""
        ...

    @property
    def num_frames(self) -> int:
        """See `dataset.pictures.decoding.DecodedPicture`."""
        ...


def warn_of_unread_frames(pictures: Sequence[Framed]) -> tuple[DataProblem, ...]:
    """Say so if a batch holds animations."""
    animated = [picture for picture in pictures if picture.num_frames > 1]
    if not animated:
        return ()
    message = f"the first frame is read of {count(len(animated), 'animation')}, and no other frame"
    hint = "if other frames are to be learned from, save them as pictures and label those"
    return (DataProblem("warning", "frames-unread", animated[0].name, message, hint),)
