"""Figures over time from sketches: quantiles of every feature by hour, day or week. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from monitoring.features.table import FEATURES
from monitoring.sketches.buckets import DAY_S, HOUR_S, Bucket, Kept, Sketch, merge
from monitoring.sketches.number_sketch import NumberSketch

Period = Literal["hour", "day", "week", "all"]
SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_MONDAY_S: Final = 4 * DAY_S
"""1970-01-05 was one."""
_LENGTHS_S: Final[Mapping[Period, int]] = {"hour": HOUR_S, "day": DAY_S, "week": 7 * DAY_S}


@dataclass(frozen=True)
class Figure:
    """One feature in one period.

    Attributes:
        since: When the period begins, UTC.
        feature: Its name; ``embedding`` has counts only.
        class_name: Of the class that it is about; empty for all.
        unit: Of its values.
        source: A camera, a site; empty where all are together.
        model_version: Of the model that answered; empty where all are together.
        num_values: Samples with a value.
        num_missing: Samples that should have one.
        mean: None without values, like all that follow.
        deviation: The standard deviation; None with fewer than two values.
        quantiles: The values below which 5, 25, 50, 75 and 95 % lie.
        smallest: The smallest value.
        largest: The largest value.
        rank_error: How much the quantiles' shares may be wrong, 0..1.
    """

    since: datetime
    feature: str
    class_name: str
    unit: str
    source: str
    model_version: str
    num_values: int
    num_missing: int
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] | None = None
    smallest: float | None = None
    largest: float | None = None
    rank_error: float | None = None


def draw_timeline(
    kept: Iterable[Kept], period: Period, *, by_source: bool = True, by_version: bool = True
) -> tuple[Figure, ...]:
    """Return figures by feature, source, version and time, in this order.

    Args:
        kept: Sketches of hours or days. Hours that have become days count for the day's first hour.
        period: A week begins on Monday, UTC. ``all``: one period.
        by_source: One line for each source, or all together.
        by_version: The same for model versions. Embeddings of versions are never merged.
    """
    everything = list(kept)
    first_s = min((one.bucket.start_s for one in everything), default=0)
    groups: dict[tuple[str, str, str, int, str], list[Sketch]] = defaultdict(list)
    for one in everything:
        bucket, is_number = one.bucket, isinstance(one.sketch, NumberSketch)
        source = bucket.source if by_source else ""
        version = bucket.model_version if by_version or not is_number else ""
        model = bucket.weights_digest if version else ""
        start_s = first_s if period == "all" else _start_of(bucket, period)
        groups[one.feature, source, version, start_s, model].append(one.sketch)
    return tuple(
        _describe(feature, source, version, start_s, merge(sketches))
        for (feature, source, version, start_s, _), sketches in sorted(
            groups.items(), key=lambda item: item[0]
        )
    )


def merge_features(kept: Iterable[Kept]) -> Mapping[str, Sketch]:
    """Merge the sketches of one model over all buckets, by feature."""
    groups: dict[str, list[Sketch]] = defaultdict(list)
    for one in kept:
        groups[one.feature].append(one.sketch)
    return {feature: merge(sketches) for feature, sketches in groups.items()}


def align(since: datetime, period: Period) -> datetime:
    """Return when the day or week of a moment begins, in UTC, so that no period is cut at its beginning.

    >>> align(datetime(2026, 11, 30, 15, tzinfo=UTC), "day").isoformat()
    '2026-11-30T00:00:00+00:00'
    """
    second = int(since.timestamp())
    start = _floor(second, period if period == "week" else "day")
    return datetime.fromtimestamp(start, UTC)


def _start_of(bucket: Bucket, period: Period) -> int:
    return _floor(bucket.start_s, period)


def _floor(second: int, period: Period) -> int:
    begin = _MONDAY_S if period == "week" else 0
    return second - (second - begin) % _LENGTHS_S[period]


def _describe(feature: str, source: str, version: str, start_s: int, sketch: Sketch) -> Figure:
    known = FEATURES.find(feature)
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=start_s)
    class_name, unit = (known.class_name, known.unit) if known else ("", "")
    head = (since, feature, class_name, unit, source, version, sketch.num_values, sketch.num_missing)
    if not isinstance(sketch, NumberSketch) or (ends := sketch.ends) is None:
        return Figure(*head)
    return Figure(*head, sketch.mean, sketch.deviation, sketch.quantiles(SHARES), *ends, sketch.rank_error)
