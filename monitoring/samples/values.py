"""Production samples, each counted once: the values and the port of the sample log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dataset.pictures.decoding import sniff_format
from dataset.pictures.looks import difference_hash
from evaluation.instances import Detections, ScoreThreshold
from maskloop.digest import digest_bytes, digest_value
from maskloop.errors import PictureError
from monitoring.features.observation import Pause, finite_embedding, finite_features, go_on
from monitoring.features.table import observe

NUM_TOP_SCORES: Final = 5
NOT_BY_CHANCE: Final = "not by chance"
"""The reason ends so if only a rule kept a sample."""


@dataclass(frozen=True)
class Sample:
    """One prediction made in production.

    Attributes:
        sample_id: The idempotency key: the request's id, or `sample_key` of picture and model.
        received_at: UTC.
        model_version: The registered version that answered.
        weights_digest: Of that version's weights.
        picture_digest: sha256 of the picture's bytes as received.
        source: A camera, a site.
        features: By name; None where one could not be measured. NaN and infinity become None.
        embedding: float32 values, or None.
        class_counts: Detections by class name.
        top_scores: The best scores, 0..1, best first.
        picture_file: Where the picture is kept, relative to the log's folder; None if it is not (any more).
        width_px: Of the picture as its file stores it; 0 where that was not written down.
        height_px: The same.
        orientation: The EXIF orientation of that file, 1 (upright) to 8.
        difference_hash: 64 bits of the picture's look, see `dataset.pictures.looks`; None where it was not
            written down.
        trace_id: Of the OpenTelemetry trace of the request; empty if it had none.
    """

    sample_id: str
    received_at: datetime
    model_version: str
    weights_digest: str
    picture_digest: str
    source: str
    features: Mapping[str, float | None]
    embedding: tuple[float, ...] | None = None
    class_counts: Mapping[str, int] = field(default_factory=dict)
    top_scores: tuple[float, ...] = ()
    picture_file: str | None = None
    width_px: int = 0
    height_px: int = 0
    orientation: int = 1
    difference_hash: int | None = None
    trace_id: str = ""

    def __post_init__(self) -> None:
        if not self.sample_id:
            raise ValueError("a sample needs an id")
        if self.received_at.tzinfo is None:
            raise ValueError("received_at needs a time zone")
        object.__setattr__(self, "features", finite_features(self.features))
        object.__setattr__(self, "embedding", finite_embedding(self.embedding))


@dataclass(frozen=True)
class Arrival:
    """A sample at its place in the log.

    Attributes:
        position: Counts up in order of arrival, from 1, with gaps; never used twice.
        sample: Itself.
        skip_reason: Why it is left out of drift verdicts; empty if it is not.
    """

    position: int
    sample: Sample
    skip_reason: str

    @property
    def is_representative(self) -> bool:
        """Whether it is an answer, and was drawn by chance: what a rule kept is unlike most of production."""
        return bool(self.sample.weights_digest) and not self.skip_reason.endswith(NOT_BY_CHANCE)


@dataclass(frozen=True)
class SampleCounts:
    """How many samples came, and what became of them. Always ``received == scored + skipped + pending``.

    Attributes:
        received: All that were ever added, those already forgotten included.
        scored: Judged by at least one detector.
        skipped: Left out for a stated reason.
        pending: Waiting to be judged.
        skipped_by_reason: The number of skipped samples for each reason.
    """

    received: int
    scored: int
    skipped: int
    pending: int
    skipped_by_reason: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pruned:
    """What `SampleLog.prune` removed."""

    samples: int
    picture_files: int


class SampleLog(Protocol):
    """The port. `SqlSampleLog` is the real one; the tests' `FakeSampleLog` keeps everything in memory."""

    def add(self, sample: Sample, picture_bytes: bytes | None = None, *, skip_reason: str = "") -> bool:
        """Write a sample down; False, and nothing changed, if its id is already there.

        A sample with a ``skip_reason`` is skipped from the start and never pending.
        """
        ...

    def newest(
        self,
        limit: int,
        *,
        weights_digest: str | None = None,
        after: datetime | None = None,
        pending_only: bool = False,
        with_picture: bool = False,
    ) -> Sequence[Sample]:
        """Return up to ``limit`` samples, the last to arrive first.

        Args:
            limit: The most to return.
            weights_digest: Only those this version answered.
            after: Only those received later than this.
            pending_only: Only those neither scored nor skipped.
            with_picture: Only those whose picture is kept.
        """
        ...

    def arrivals(self, after: int, limit: int) -> Sequence[Arrival]:
        """Return up to ``limit`` samples behind a position, the first to arrive first.

        Once a sample was returned, none arrives before it.
        """
        ...

    def last_position(self) -> int:
        """Return the position of the last to arrive that is still there; 0 if there is none."""
        ...

    def get(self, sample_id: str) -> Sample | None:
        """Return one sample, if it is there."""
        ...

    def picture_bytes(self, sample: Sample) -> bytes | None:
        """Return the picture as it was received, if it is still kept."""
        ...

    def mark_scored(self, detector: str, sample_ids: Sequence[str]) -> tuple[str, ...]:
        """Record that a detector judged these; return the ids it had not judged before.

        Unknown and skipped ids are ignored and not returned.
        """
        ...

    def skip(self, sample_id: str, reason: str) -> bool:
        """Leave a pending sample out for a reason; False if it is not pending."""
        ...

    def counts(self) -> SampleCounts:
        """Count all samples ever received."""
        ...

    def prune(self, now: datetime | None = None) -> Pruned:
        """Forget samples older than the retention, and picture files without a sample.

        Pending samples that expire count as skipped. A sample that arrives again after its retention is a new
        one.
        """
        ...


EXPIRED: Final = "expired"
"""The reason of samples that were never judged within the retention."""


def sample_key(picture_digest: str, weights_digest: str) -> str:
    """Return the id of a sample that has no request id of its own."""
    return digest_value([picture_digest, weights_digest])


def measure(
    sample: Sample,
    pixels: NDArray[np.uint8],
    found: Detections,
    class_names: Sequence[str],
    *,
    score_threshold: ScoreThreshold,
    embedding: NDArray[np.float32] | None,
    pause: Pause = go_on,
) -> Sample:
    """Fill in what a sample's picture and the answer to it look like in figures, its look and stored size.

    Args:
        sample: Its origin: id, time, model, picture, orientation.
        pixels: uint8 (H, W, 3), RGB, upright.
        found: Everything the model found; below the threshold it counts in the top scores alone.
        class_names: What a class index counts into.
        score_threshold: The model's own.
        embedding: float32 (D,).
        pause: Is called before each feature is measured.

    Raises:
        PictureError: if the pixels are no such picture.
    """
    confident = found.select(found.reach(score_threshold))
    seen = observe(pixels, confident, class_names, embedding, pause=pause)
    counts = Counter(class_names[index] for index in confident.class_indices.tolist())
    height_px, width_px = pixels.shape[:2]
    if sample.orientation >= 5:  # stored with rows and columns exchanged
        height_px, width_px = width_px, height_px
    return replace(
        sample,
        features=seen.features,
        embedding=seen.embedding,
        class_counts={name: counts[name] for name in class_names},
        top_scores=tuple(found.scores[:NUM_TOP_SCORES].tolist()),
        width_px=width_px,
        height_px=height_px,
        difference_hash=difference_hash(pixels),
    )


def picture_file_name(picture_bytes: bytes) -> str:
    """Return where a picture's bytes are kept, relative to the log's folder.

    >>> picture_file_name(b"\\xff\\xd8\\xff...")[-4:]
    '.jpg'
    """
    digest = digest_bytes(picture_bytes)
    return f"pictures/{digest[:2]}/{digest}{_suffix(picture_bytes)}"


def tally(rows: Iterable[tuple[str, str, int]]) -> SampleCounts:
    """Sum (status, skip reason, number) rows."""
    totals = {"scored": 0, "skipped": 0, "pending": 0}
    reasons: dict[str, int] = {}
    for status, reason, count in rows:
        totals[status] += count
        if status == "skipped":
            reasons[reason] = reasons.get(reason, 0) + count
    return SampleCounts(sum(totals.values()), totals["scored"], totals["skipped"], totals["pending"], reasons)


def _suffix(picture_bytes: bytes) -> str:
    try:
        return sniff_format(picture_bytes)[1]
    except PictureError:
        return ".bin"
