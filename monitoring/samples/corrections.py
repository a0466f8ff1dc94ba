"""What people say about answers: the values and the port of the correction log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from maskloop.digest import digest_value
from maskloop.masks import Rle

Judgement = Literal["right", "wrong"]
Fate = Literal["none", "waiting", "ingested", "refused"]


@dataclass(frozen=True)
class Correction:
    """One person's feedback about one answer.

    Attributes:
        request_id: Names the answer; its sample has the same id.
        at: UTC.
        by: Who said it: the name of an API key, or of a user.
        verdict: ``right`` or ``wrong``.
        instances: Class name and mask of everything in the picture, in the coordinates of its file (before
            any EXIF orientation); empty where nothing is in it; None if that was not said.
        note: In the person's own words.
        model_version: Whose answer it was.
        source: Where the picture comes from.
        size_px: Height and width of the picture as its file stores it.
    """

    request_id: str
    at: datetime
    by: str
    verdict: Judgement
    instances: tuple[tuple[str, Rle], ...] | None = None
    note: str = ""
    model_version: str = ""
    source: str = ""
    size_px: tuple[int, int] = (0, 0)

    @property
    def content_digest(self) -> str:
        """Digest of the content alone, without author and time."""
        return digest_value([self.request_id, self.verdict, self.instances_json, self.note])

    @property
    def instances_json(self) -> list[tuple[str, dict[str, Any]]] | None:
        """Class name and mask (COCO RLE) of each instance, as they are kept; None if they were not said."""
        if self.instances is None:
            return None
        return [(name, mask.to_coco()) for name, mask in self.instances]


@dataclass(frozen=True)
class Label:
    """Whether and how a correction became a label.

    Attributes:
        fate: ``none`` if it never can be one: no instances were given, or the picture is not kept.
            ``waiting`` for the next ingest, ``ingested``, or ``refused`` by it.
        detail: The data version, or the reason.
    """

    fate: Fate
    detail: str = ""


@dataclass(frozen=True)
class Judged:
    """How many answers of one version people called right or wrong."""

    model_version: str
    num_right: int
    num_wrong: int

    @property
    def wrong_percent(self) -> float:
        """Share of the judged answers that were wrong, 0..100. Of all answers it says nothing."""
        return 100.0 * self.num_wrong / (self.num_right + self.num_wrong)

    def sentence(self) -> str:
        """Say it in plain words."""
        num_answers = self.num_right + self.num_wrong
        return f"{self.num_wrong} of {num_answers} judged answers of version {self.model_version} were wrong"


class CorrectionLog(Protocol):
    """The port: for each sample the last that was said about it counts, and only that is kept.

    `SqlCorrectionLog` is the real one; the tests' `FakeCorrectionLog` keeps everything in memory.
    """

    def add(self, correction: Correction, picture: bytes | None = None) -> bool:
        """Write a correction down in place of any earlier one; False if the same was said already.

        It waits to become a label if instances were given and the picture is available: the bytes given now,
        or those of an earlier correction. The bytes are stored here, because the sample log deletes old
        pictures.
        """
        ...

    def get(self, request_ids: Sequence[str]) -> Mapping[str, Correction]:
        """Return what is known of these answers, by request id."""
        ...

    def newest_sequence(self) -> int:
        """Return a number that grows with every correction that arrives; 0 while there is none."""
        ...

    def newest(self, limit: int) -> Sequence[Correction]:
        """Return up to ``limit`` corrections, the last to arrive first."""
        ...

    def waiting(self, limit: int) -> Sequence[Correction]:
        """Return up to ``limit`` corrections that wait to become labels, the first to arrive first."""
        ...

    def num_waiting(self) -> int:
        """Count them."""
        ...

    def labels(self, request_ids: Sequence[str]) -> Mapping[str, Label]:
        """Return what became of these corrections as labels, by request id."""
        ...

    def picture_bytes(self, request_id: str) -> bytes | None:
        """Return the picture as it was received, if it is kept."""
        ...

    def mark_ingested(self, corrections: Sequence[Correction], tag: str) -> None:
        """Record that these are in a data version. One that was replaced in the meantime waits on."""
        ...

    def mark_refused(self, corrections: Sequence[Correction], reason: str) -> None:
        """Record that these cannot be ingested, and why. One that was replaced in the meantime waits on."""
        ...

    def wait_again(self) -> int:
        """Mark refused corrections whose picture is kept as waiting again; return how many."""
        ...

    def judged(self) -> Sequence[Judged]:
        """Count what people said, by version; an answer judged twice counts once."""
        ...

    def prune(self, now: datetime | None = None) -> int:
        """Forget corrections older than the retention; return how many."""
        ...


def no_picture_left(keep_pictures: int) -> str:
    """Say why a correction over the quota of pictures is no label any more."""
    return f"its picture was let go: only the newest {keep_pictures} are kept"
