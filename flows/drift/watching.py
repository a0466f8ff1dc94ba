"""The evidence over time that production has changed: kept beside the champion's references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from flows.drift.champion_pictures import ServingChampion
from flows.drift.taught_sources import as_taught
from maskloop.errors import IntegrityError
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED
from monitoring.drift.sources import JudgedSources
from monitoring.sequential.confirmation import Watched, after_asking, level_of_newcomers
from monitoring.sequential.detector import Detector, watch
from monitoring.sequential.scoring import fit_scorer
from monitoring.sequential.storage import load_detector, save_detector


def watch_production(champion: ServingChampion, now: datetime) -> Watched | None:
    """Count the newest scenes and keep the evidence; None without a budget, or before there are samples.

    Each sample is counted at most once, so a second run without new samples changes nothing. A cycle that
    ended after an alarm has answered it: then the detector begins anew.

    Args:
        champion: Whose samples are watched.
        now: UTC.

    Raises:
        DataError: if the champion has no held-out pictures.
    """
    settings = champion.settings.monitoring
    budget, min_samples = settings.max_false_alarms_per_quarter, settings.min_window_samples
    newest = champion.samples.newest(settings.window_samples, weights_digest=champion.weights_digest)
    if not budget or len(newest) < min_samples:
        return None
    references, sources = champion.compared.references, champion.compared.known
    names = {source: _reference_of(source, references) for source in {one.source for one in newest}}
    scorers = {name: fit_scorer(references[name]) for name in {POOLED, *names.values()}}
    before = _open_detector(champion, references[POOLED].digest)
    left_out = {one for one in sources if len(sources) > 1 and names.get(one) == POOLED}
    detector = watch(
        before,
        newest,
        references,
        {POOLED: scorers[POOLED]} | {source: scorers[name] for source, name in names.items()},
        max_per_quarter=budget,
        min_samples=min_samples,
        now=now,
        left_out=frozenset(left_out),
    )
    save_detector(detector, champion.workspace.detector_file(champion.weights_digest))
    champion.share()
    pooled = scorers[POOLED]
    watched = Watched(
        budget,
        detector,
        pooled.unwatched,
        is_blind=not pooled.columns,
        newcomers_level=level_of_newcomers(detector, budget, now),
    )
    known = {(alarm.source, alarm.at) for alarm in before.alarms}
    for alarm in watched.alarms:
        if (alarm.source, alarm.at) not in known:
            champion.teller.say(f"evidence over time: {alarm.sentence()}")
    return watched


def note_asked(
    champion: ServingChampion, watched: Watched | None, found: JudgedSources, now: datetime
) -> None:
    """Write down that the newcomers of a window were asked about, before anybody hears what was found.

    Args:
        champion: Whose window it is.
        watched: The evidence over time; None without a budget.
        found: The verdict.
        now: UTC.
    """
    detector = after_asking(watched, found, now) if watched else None
    if watched and detector and detector is not watched.detector:
        save_detector(detector, champion.workspace.detector_file(champion.weights_digest))


def _reference_of(source: str, references: Mapping[str, Baseline]) -> str:
    """Return the name of the reference that a source's scenes are compared with: its own, if there is one."""
    return next((name for name in (source, as_taught(source)) if name in references), POOLED)


def describe_watched(watched: Watched) -> dict[str, Any]:
    """Return the evidence over time as plain data."""
    detector = watched.detector
    return {
        "max_false_alarms_per_quarter": watched.max_per_quarter,
        "percent": watched.percent,
        "num_scenes": detector.num_scenes,
        "scenes_per_day": detector.scenes_per_day,
        "since": detector.began.isoformat() if detector.began else None,
        "alarms": [asdict(alarm) for alarm in watched.alarms],
        "unwatched": dict(watched.unwatched),
        "sentence": watched.sentence(),
    }


def _open_detector(champion: ServingChampion, baseline_digest: str) -> Detector:
    """Return the detector as it stands, or a new one for none, a damaged one or one of another reference."""
    ended_at = champion.state.last_cycle_ended_at
    fresh = Detector(champion.weights_digest, baseline_digest, cycle_ended=ended_at)
    try:
        found = load_detector(champion.workspace.detector_file(champion.weights_digest))
    except IntegrityError as error:
        champion.teller.say(f"{error}; it begins anew")
        return fresh
    if found is None:
        return fresh
    if found.baseline_digest != baseline_digest:
        return replace(fresh, newcomers_asked=found.newcomers_asked)
    return found.after_cycle(ended_at)
