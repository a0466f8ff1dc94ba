"""Which samples are summarised together: those of one hour, model version and source, feature by feature."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from monitoring.features.table import EMBEDDING, FEATURES
from monitoring.samples.left_out import CLOCK_TOLERANCE
from monitoring.samples.values import Sample
from monitoring.sketches.fourier import FourierBasis, FourierSum, merge_sums
from monitoring.sketches.number_sketch import NumberSketch, merge_numbers

HOUR_S: Final = 3600
DAY_S: Final = 86_400
Sketch = NumberSketch | FourierSum


@dataclass(frozen=True, order=True)
class Bucket:
    """One hour (or, once it is old, one day) of one model version and source.

    Attributes:
        start_s: Seconds since the epoch, a whole number of hours or days in UTC.
        length_s: An hour or a day.
        weights_digest: Of the model that answered.
        model_version: The same, as people call it.
        source: A camera, a site.
    """

    start_s: int
    length_s: int
    weights_digest: str
    model_version: str
    source: str

    @property
    def start(self) -> datetime:
        """When it begins, in UTC."""
        return datetime.fromtimestamp(self.start_s, UTC)

    @property
    def day(self) -> Bucket:
        """The day that it belongs to."""
        return replace(self, start_s=self.start_s - self.start_s % DAY_S, length_s=DAY_S)


@dataclass(frozen=True)
class Kept:
    """The sketch of one feature in one bucket. A class's features have its name in theirs."""

    bucket: Bucket
    feature: str
    sketch: Sketch


@dataclass(frozen=True)
class Summary:
    """What samples add to their buckets.

    Attributes:
        sketches: By bucket and feature.
        num_samples: That were summarised.
        num_ahead: Of these, received later than now: a clock is wrong. They count for the hour they name.
        num_of_other_width: Of these, with an embedding of another length than their model's; they count as
            missing there.
    """

    sketches: Mapping[tuple[Bucket, str], Sketch]
    num_samples: int
    num_ahead: int
    num_of_other_width: int


def bucket_of(sample: Sample) -> Bucket:
    """Return the hour of a sample."""
    second = int(sample.received_at.timestamp())
    return Bucket(
        second - second % HOUR_S, HOUR_S, sample.weights_digest, sample.model_version, sample.source
    )


def summarise(samples: Iterable[Sample], bases: Mapping[str, FourierBasis], *, now: datetime) -> Summary:
    """Summarise samples, each once. Pure.

    A value counts as missing if the feature is expected in that sample, as in a drift verdict, and any of
    these samples of the same model has it.

    Args:
        samples: Of any times, versions and sources.
        bases: Of the embeddings, by weights digest; embeddings of other models are passed over.
        now: Tells which samples are ahead.
    """
    groups: dict[Bucket, list[Sample]] = defaultdict(list)
    measured: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[bucket_of(sample)].append(sample)
        measured[sample.weights_digest] |= sample.features.keys()
    sketches: dict[tuple[Bucket, str], Sketch] = {}
    num_of_other_width = 0
    for bucket, group in groups.items():
        for name in sorted(measured[bucket.weights_digest]):
            sketch = _sketch_feature(name, group)
            if sketch.num_values or sketch.num_missing:
                sketches[bucket, name] = sketch
        if (basis := bases.get(bucket.weights_digest)) is not None:
            rows = [sample.embedding for sample in group if sample.embedding is not None]
            fitting = [row for row in rows if len(row) == basis.num_values]
            num_of_other_width += len(rows) - len(fitting)
            matrix = np.array(fitting, np.float32).reshape(len(fitting), basis.num_values)
            num_missing = len(group) - len(fitting)
            sketches[bucket, EMBEDDING.name] = FourierSum.of(matrix, basis, num_missing=num_missing)
    everything = [sample for group in groups.values() for sample in group]
    num_ahead = sum(sample.received_at > now + CLOCK_TOLERANCE for sample in everything)
    return Summary(sketches, len(everything), num_ahead, num_of_other_width)


def draw_bases(samples: Iterable[Sample], known: Mapping[str, FourierBasis]) -> Mapping[str, FourierBasis]:
    """Return a basis for each model that has embeddings and no basis yet, from those of its samples.

    Embeddings of the length that most samples of the model have are used.
    """
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for sample in samples:
        if sample.embedding is not None and sample.weights_digest not in known:
            rows[sample.weights_digest].append(sample.embedding)
    return {digest: _draw_basis(digest, embeddings) for digest, embeddings in rows.items()}


def merge(sketches: Sequence[Sketch]) -> Sketch:
    """Return the sketch of everything together; all are of one kind.

    Raises:
        ValueError: if they are not, or if there are none.
    """
    numbers = [one for one in sketches if isinstance(one, NumberSketch)]
    sums = [one for one in sketches if isinstance(one, FourierSum)]
    if bool(numbers) == bool(sums):
        raise ValueError("one or more sketches of one kind can be merged")
    return merge_numbers(numbers) if numbers else merge_sums(sums)


def _sketch_feature(name: str, group: Sequence[Sample]) -> NumberSketch:
    feature = FEATURES.find(name)
    values = []
    num_missing = 0
    for sample in group:
        value = sample.features.get(name)
        if value is not None:
            values.append(value)
        elif feature is None or feature.is_expected(sample.features):
            num_missing += 1
    return NumberSketch.of(values, num_missing=num_missing)


def _draw_basis(weights_digest: str, embeddings: Sequence[tuple[float, ...]]) -> FourierBasis:
    ((width, _),) = Counter(map(len, embeddings)).most_common(1)
    chosen = np.array([row for row in embeddings if len(row) == width], np.float32)
    seed = int.from_bytes(weights_digest.encode()[:8].ljust(8, b"\0"), "big")
    return FourierBasis.draw(chosen, seed=seed)
