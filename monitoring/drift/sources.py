"""A window judged as a whole and source by source.

A new camera that sends a fifth of a window moves no distribution of the whole by more than a fifth. Its own
samples tell it at once. Conversely, known cameras in new proportions move the whole window although each of
them is as it was: that is a change of the mix and no drift.

The whole and each source have an equal part of ``false_alarm_rate`` (Bonferroni), so it holds for all of them
together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED, ClosestReference, find_closest
from monitoring.drift.scenes import Scenes, find_scenes
from monitoring.drift.verdict import min_scenes, threshold_digest
from monitoring.samples.windows import Window

MIN_SOURCE_SCENES: Final = 20
"""Fewer scenes of a source are not judged by themselves. A source whose samples depend on each other needs as
many scenes as a window: the fewer samples there are, the less is known of how far they depend."""


@dataclass(frozen=True)
class SourceVerdict:
    """What was found in the samples of one source.

    Attributes:
        source: Its name.
        num_samples: In the window.
        num_scenes: About so many scenes they show.
        first_at: When the first of its samples in the window came, UTC.
        versions: Model versions that answered them, in alphabetical order.
        closest: The verdict about them alone, and the reference they are most like; None without one.
        why_not: Why there is none; empty if there is one.
    """

    source: str
    num_samples: int
    num_scenes: int
    first_at: datetime
    versions: tuple[str, ...]
    closest: ClosestReference | None
    why_not: str = ""

    @property
    def has_drifted(self) -> bool:
        """Whether these samples alone are drift."""
        return self.closest is not None and self.closest.verdict.outcome == "drift"

    def origin(self, num_samples: int) -> str:
        """Say which samples these are of the window's ``num_samples``, since when, and who answered them."""
        share = 100.0 * self.num_samples / num_samples
        return (
            f"{self.source} ({self.num_samples} of {num_samples} samples, {share:.0f} %,"
            f" since {self.first_at:%Y-%m-%d %H:%M} UTC or earlier, version {', '.join(self.versions)})"
        )


@dataclass(frozen=True)
class JudgedSources:
    """The verdict about a window, and those about its sources.

    Attributes:
        deciding: The verdict that counts, and its reference.
        sources: What was found in each source's samples, the source with most samples first. Empty if all
            samples are of one source.
    """

    deciding: ClosestReference
    sources: tuple[SourceVerdict, ...] = ()

    @property
    def drifted(self) -> tuple[SourceVerdict, ...]:
        """The sources that drifted by themselves."""
        return tuple(one for one in self.sources if one.has_drifted)


def judge_window(
    references: Mapping[str, Baseline],
    window: Window,
    settings: MonitoringSettings,
    *,
    known_sources: AbstractSet[str] = frozenset(),
    seed: int = 0,
) -> JudgedSources:
    """Judge a window and, where its samples are of several sources, each of them. Pure.

    Args:
        references: By source name, with the pooled one under `POOLED`.
        window: Of the champion's newest samples.
        settings: Thresholds.
        known_sources: Those of the champion's data. One with too few pictures for a reference of its own is
            not judged by itself: it need not be like all sources pooled.
        seed: For permutations.
    """
    scenes = find_scenes(window.samples, references[POOLED])
    by_source = Counter(sample.source for sample in window.samples)
    if len(by_source) < 2:
        return JudgedSources(find_closest(references, window, settings, scenes, seed=seed))
    refused = {
        source: _why_not(source, scenes, window, settings, references, known_sources) for source in by_source
    }
    num_judged = sum(not why for why in refused.values())
    shared = settings.model_copy(update={"false_alarm_rate": settings.false_alarm_rate / (1 + num_judged)})
    whole = find_closest(references, window, shared, scenes, seed=seed)
    few = shared.model_copy(
        update={"min_window_samples": min(MIN_SOURCE_SCENES, settings.min_window_samples)}
    )
    sources = tuple(
        _judge_source(source, references, window, scenes, few, refused[source], seed)
        for source, _ in by_source.most_common()
    )
    return JudgedSources(_decide(whole, sources, references, settings), sources)


def _why_not(
    source: str,
    scenes: Scenes,
    window: Window,
    settings: MonitoringSettings,
    references: Mapping[str, Baseline],
    known_sources: AbstractSet[str],
) -> str:
    num_scenes = sum(window.samples[position].source == source for position in scenes.positions)
    num_needed = min_scenes(settings)
    if scenes.spacing.get(source, 1) == 1:
        num_needed = min(num_needed, MIN_SOURCE_SCENES)
    if num_scenes < num_needed:
        return f"too few scenes: about {num_scenes} of {num_needed}"
    if source in known_sources and source not in references:
        return "too few of the champion's own pictures"
    return ""


def _judge_source(
    source: str,
    references: Mapping[str, Baseline],
    window: Window,
    scenes: Scenes,
    settings: MonitoringSettings,
    why_not: str,
    seed: int,
) -> SourceVerdict:
    places = [number for number, sample in enumerate(window.samples) if sample.source == source]
    own = Window(window.weights_digest, tuple(window.samples[place] for place in places))
    chosen = set(scenes.positions)
    counted = Scenes(tuple(new for new, place in enumerate(places) if place in chosen), scenes.spacing)
    return SourceVerdict(
        source=source,
        num_samples=len(places),
        num_scenes=counted.num_scenes,
        first_at=min(sample.received_at for sample in own.samples),
        versions=tuple(sorted({sample.model_version for sample in own.samples})),
        closest=None if why_not else find_closest(references, own, settings, counted, seed=seed),
        why_not=why_not,
    )


def _decide(
    whole: ClosestReference,
    sources: tuple[SourceVerdict, ...],
    references: Mapping[str, Baseline],
    settings: MonitoringSettings,
) -> ClosestReference:
    verdict = replace(whole.verdict, threshold_digest=threshold_digest(settings))
    drifted = [one.closest for one in sources if one.closest and one.has_drifted]
    if drifted:
        strongest = max(drifted, key=lambda one: (one.verdict.num_drifted, one.verdict.signals[0].effect))
        origins = [one.origin(verdict.num_samples) for one in sources if one.has_drifted]
        return replace(
            strongest,
            verdict=replace(
                strongest.verdict,
                reason=f"{' and '.join(origins)}: {strongest.verdict.reason}",
                cause=f"{' and '.join(origins)}: {strongest.verdict.cause}",
                window_id=verdict.window_id,
                threshold_digest=verdict.threshold_digest,
                num_samples=verdict.num_samples,
                num_scenes=verdict.num_scenes,
            ),
        )
    if verdict.outcome == "drift" and _is_change_of_mix(sources, references):
        reason = f"the mix of known sources changed ({_tell_mix(sources, references)}), and each is as it was"
        verdict = replace(verdict, outcome="quiet", cause="", reason=reason)
    return replace(whole, verdict=verdict)


def _is_change_of_mix(sources: tuple[SourceVerdict, ...], references: Mapping[str, Baseline]) -> bool:
    """Whether every source has a reference of its own, and was found quiet."""
    return all(
        one.source in references and one.closest is not None and one.closest.verdict.outcome == "quiet"
        for one in sources
    )


def _tell_mix(sources: tuple[SourceVerdict, ...], references: Mapping[str, Baseline]) -> str:
    total, own = sum(one.num_samples for one in sources), references[POOLED].num_samples
    return ", ".join(
        f"{one.source} {100 * references[one.source].num_samples / own:.0f} %"
        f" → {100 * one.num_samples / total:.0f} %"
        for one in sources
    )
