"""How the features of production went over hours, days and weeks, from the sketches of all samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from flows.drift.taught_sources import as_taught
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.clock import Clock
from maskloop.errors import DataError, MaskloopError
from maskloop.settings.workspace_settings import MonitoringSettings
from maskloop.wording import count
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED, load_references
from monitoring.samples.values import SampleLog
from monitoring.sketches.buckets import Kept, Sketch
from monitoring.sketches.comparison import (
    Difference,
    Yardstick,
    compare_all,
    compare_sources,
    describe_reference,
)
from monitoring.sketches.fourier import FourierBasis, FourierSum
from monitoring.sketches.sketch_log import HOURS_KEPT, SqlSketchLog, TakenIn
from monitoring.sketches.timeline import Figure, Period, align, draw_timeline, merge_features

_AHEAD: Final = timedelta(days=3650)
"""Samples whose clock is ahead are shown, with their times."""


@dataclass(frozen=True)
class Trends:
    """What the sketches of a period say.

    Attributes:
        since: The first moment of the period.
        until: The moment after its last: now.
        figures: By feature, source, version and time.
        differences: Between the champion's samples of the period and its own held-out pictures, the largest
            first; empty if they cannot be compared.
        remarks: What the reader should know: why nothing is compared, samples that were left out, clocks.
    """

    since: datetime
    until: datetime
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]


def show_trends(
    app: App,
    *,
    days: float,
    period: Period,
    features: Sequence[str] = (),
    by_source: bool = True,
    by_version: bool = True,
) -> Trends:
    """Take in the samples that arrived meanwhile, and return the figures of the last days.

    Args:
        app: The workspace.
        days: So far back. The period begins with a whole day, or week, in UTC.
        period: Of one figure.
        features: Only these; all if empty.
        by_source: Sources apart, each beside its own held-out pictures where there are enough, or together.
        by_version: Model versions apart, or together.

    Raises:
        DataError: if a feature was never measured in the period.
        MaskloopError: if samples or sketches cannot be read.
    """
    now = app.clock.now()
    taken = app.sketches.take_in(app.samples, now=now)
    since = align(now - timedelta(days=days), period)
    kept = app.sketches.read(since, now + _AHEAD, features=features)
    if unknown := sorted({*features} - {one.feature for one in kept}):
        raise DataError(
            f"no sample since {since:%Y-%m-%d} has a feature {unknown[0]!r}",
            hint="`maskloop trends --json` lists all that are measured; --days goes farther back",
        )
    remarks = describe_taken(taken)
    if ahead := [one.bucket for one in kept if one.bucket.start > now]:
        remarks.append(
            f"some samples have times up to {max(ahead).start:%Y-%m-%d %H:%M} UTC, which is not yet: "
            "a clock is ahead"
        )
    if period == "hour" and since < now - HOURS_KEPT:
        remarks.append(f"hours older than {HOURS_KEPT.days} days are kept as days only")
    champion = app.state().champion
    differences: tuple[Difference, ...] = ()
    if champion is None:
        remarks.append("nothing is compared: nothing serves yet")
    else:
        own = [one for one in kept if one.bucket.weights_digest == champion.weights_digest]
        basis = app.sketches.basis_of(champion.weights_digest)
        app.shared_files.bring(app.workspace.baseline_dir(champion.weights_digest))
        references = open_references(app.workspace.baseline_dir(champion.weights_digest), basis)
        if not references:
            remarks.append(
                "nothing is compared: the champion's own pictures are not measured yet; `maskloop monitor` "
                "measures them once enough samples have come"
            )
        else:
            differences = _compare(references, own, features, by_source, _yardstick(app.settings.monitoring))
    figures = draw_timeline(kept, period, by_source=by_source, by_version=by_version)
    return Trends(since, now, figures, differences, tuple(remarks))


def keep_sketches(samples: SampleLog, sketches: SqlSketchLog, clock: Clock, teller: Teller) -> None:
    """Add what has arrived to the sketches, and merge old hours into days. Errors are told, and no more.

    A drift check goes on without: the next one takes in what this one could not.
    """
    try:
        taken = sketches.take_in(samples, now=clock.now())
        sketches.merge_old_hours(clock.now())
    except MaskloopError as error:
        teller.say(f"the sketches of samples were not brought up to date: {error}")
        return
    for remark in describe_taken(taken):
        teller.say(remark)


def describe_taken(taken: TakenIn) -> list[str]:
    """Return what is odd about the samples that were taken in, as sentences."""
    remarks = []
    if taken.num_ahead:
        remarks.append(
            f"{count(taken.num_ahead, 'sample')} came with a time that is not yet: a clock is ahead; they "
            "count for the hour that they name"
        )
    if taken.num_of_other_width:
        remarks.append(
            f"{count(taken.num_of_other_width, 'embedding')} had another length than the model's others and "
            "count as missing"
        )
    if taken.is_log_replaced:
        remarks.append(
            "the sample log was begun anew, or restored: the samples that are in it count as taken in already"
        )
    return remarks


def open_references(directory: Path, basis: FourierBasis | None) -> Mapping[str, Mapping[str, Sketch]]:
    """Return the sketches of a model's own held-out pictures; empty if they are not measured yet.

    Args:
        directory: Where its references lie.
        basis: Of the embeddings that production had; None if it had none.

    Returns:
        By reference, those of all sources together under `POOLED`, and by feature.
    """
    return {name: _describe(baseline, basis) for name, baseline in load_references(directory).items()}


def _describe(baseline: Baseline, basis: FourierBasis | None) -> Mapping[str, Sketch]:
    embeddings = baseline.scene_embeddings
    is_comparable = basis is not None and embeddings.shape[1] == basis.num_values
    of_embeddings = FourierSum.of(embeddings, basis) if basis is not None and is_comparable else None
    return describe_reference(baseline.feature_names, baseline.scene_values, of_embeddings)


def _compare(
    references: Mapping[str, Mapping[str, Sketch]],
    own: Sequence[Kept],
    features: Sequence[str],
    by_source: bool,
    yardstick: Yardstick,
) -> tuple[Difference, ...]:
    """Compare the champion's samples with its own pictures, like with like where the source is known."""
    asked = {
        name: {feature: one for feature, one in sketches.items() if not features or feature in features}
        for name, sketches in references.items()
    }
    by_name: dict[str, list[Kept]] = defaultdict(list)
    for one in own:
        by_name[one.bucket.source].append(one)
    if not by_source or (len(by_name) < 2 and not by_name.keys() & asked.keys()):
        return compare_all(asked[POOLED], merge_features(own), yardstick)
    candidates = {
        source: [name for name in (source, as_taught(source)) if name in asked] or [POOLED]
        for source in by_name
    }
    period = {source: merge_features(kept) for source, kept in by_name.items()}
    return compare_sources(asked, period, candidates, yardstick)


def _yardstick(settings: MonitoringSettings) -> Yardstick:
    return Yardstick(
        min_effect=settings.min_effect,
        false_alarm_rate=settings.false_alarm_rate,
        min_samples=settings.min_window_samples,
        max_missing_percent=settings.max_missing_percent,
    )
