"""What the ledger holds about labels: requests for them, and their way through a labelling tool."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from maskloop.digest import digest_value
from maskloop.records.record import Record
from maskloop.wording import count

__all__ = [
    "ChosenPicture",
    "LabelsPulled",
    "LabelsPushed",
    "LabelsRequested",
    "ReturnedPicture",
    "name_request",
]


class ChosenPicture(Record):
    """One picture of a request, with the reason for its choice."""

    kind: ClassVar[str] = ""
    sample_id: str
    """The production sample that it came with."""
    picture_digest: str
    """sha256 of the picture's bytes, as they were received."""
    source: str
    reason: str
    """Why it was chosen, for the person who labels it."""
    is_random: bool = False
    """It belongs to the random share, by which quality is estimated without bias."""
    parts: dict[str, float] = {}  # noqa: RUF012
    """The terms of its score, by name."""

    def sentence(self) -> str:
        """Return the choice in plain words."""
        return f"{self.sample_id}: {self.reason}"


def name_request(chosen: Iterable[ChosenPicture]) -> str:
    """Return the id of a request: 12 hex digits, the same for the same pictures in any order."""
    return digest_value(sorted({(one.sample_id, one.picture_digest) for one in chosen}))[:12]


class LabelsRequested(Record):
    """Production pictures were chosen to be labelled."""

    kind: ClassVar[str] = "labels.requested"
    request_id: str
    """See `name_request`: the same choice is the same request."""
    cause: str
    """Why labels are asked for, in plain words: the alarm, or a person's wish."""
    trigger_key: str = ""
    """The trigger of the alarm; empty for a request made by hand."""
    chosen: tuple[ChosenPicture, ...]

    def sentence(self) -> str:
        """Return the request in plain words."""
        num_random = sum(one.is_random for one in self.chosen)
        random = f", {num_random} of them at random" if num_random else ""
        pictures = count(len(self.chosen), "picture")
        return f"request {self.request_id}: labels for {pictures}{random}; {self.cause}"


class LabelsPushed(Record):
    """All pictures of a request are tasks of a labelling tool."""

    kind: ClassVar[str] = "labels.pushed"
    request_id: str
    tool: str
    project: str
    """The project's address, without credentials."""
    num_pictures: int

    def sentence(self) -> str:
        """Return the push in plain words."""
        pictures = count(self.num_pictures, "picture")
        return f"request {self.request_id}: {pictures} in {self.tool}, {self.project}"


class ReturnedPicture(Record):
    """The labels of one picture of a request that are in the data, and who made them."""

    kind: ClassVar[str] = ""
    picture_digest: str
    """As in the request."""
    labels_digest: str
    """Of classes and masks."""
    origin: str
    """``human``, ``corrected`` or ``model-reviewed``: see `dataset.labelled_pictures.LabelOrigin`."""
    task: str
    annotator: str
    at: str
    """When the annotator submitted them; ISO 8601, by the tool's clock."""
    agreement: float | None = None
    """Mask IoU, 0..1, of the class in which the annotators agree least; None for one annotator."""

    def sentence(self) -> str:
        """Return it in plain words."""
        return f"task {self.task}: labelled by {self.annotator or 'somebody'} at {self.at}"


class LabelsPulled(Record):
    """Labels of a request came back and are in the data. Counts are of the request's pictures."""

    kind: ClassVar[str] = "labels.pulled"
    request_id: str
    tool: str
    num_new: int
    """Labelled for the first time."""
    num_unchanged: int
    """Their labels were in the data before."""
    data_tag: str
    """The data version that holds them."""
    num_relabelled: int = 0
    """Their labels were changed in the tool after an earlier pull."""
    num_left_out: int = 0
    """Finished in the tool, and not taken; `reasons` says why."""
    pictures: tuple[ReturnedPicture, ...] = ()
    """All pictures of the request whose labels are in the data."""
    seen: str = ""
    """Digest of the annotations that were looked at: the same ones again change nothing."""
    reasons: tuple[str, ...] = ()
    """Why labels were not taken, and what two annotators agree on."""

    @property
    def num_returned(self) -> int:
        """The pictures of the request whose labels are in the data."""
        return self.num_new + self.num_unchanged + self.num_relabelled

    def sentence(self) -> str:
        """Return the pull in plain words."""
        relabelled = f", {self.num_relabelled} relabelled" if self.num_relabelled else ""
        left_out = f", {self.num_left_out} left out" if self.num_left_out else ""
        where = f", now in {self.data_tag}" if self.data_tag and self.num_returned else ""
        reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return (
            f"request {self.request_id}: labels of {count(self.num_new, 'new picture')} came from {self.tool}"
            f"{relabelled}{left_out}{where}{reasons}"
        )
