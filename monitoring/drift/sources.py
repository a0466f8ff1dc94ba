"""A window judged as a whole and source by source.

A new camera that sends a fifth of a window moves no distribution of the whole by more than a fifth. Its own
samples tell it at once. Conversely, known cameras in new proportions move the whole window although each of
them is as it was: that is a change of the mix and no drift.

The whole and each source have an equal part of ``false_alarm_rate`` (Bonferroni), so it holds for all of them
together.

A source of the champion's data with too few held-out pictures has no reference. What differs from the other
sources' pictures need not differ from its own, so its samples cause no alarm, and it is named as not judged.
"""

from __future__ import annotations

import math
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
class KnownSource:
    """How many pictures of one source the champion's data holds.

    Attributes:
        num_labelled: In all splits.
        num_held_out: Of these, the ones that would be its reference.
    """

    num_labelled: int
    num_held_out: int

    def tell_too_few(self, source: str, num_needed: int) -> str:
        """Say why the source called ``source`` is not judged, and how many labels would change that."""
        missing = num_needed - self.num_held_out
        if missing <= 0:
            return f"{source} is known, but was not measured as a reference: its drift cannot be judged"
        more = f"at least {missing}"
        if self.num_held_out:
            more = f"about {math.ceil(missing * self.num_labelled / self.num_held_out)}"
        return (
            f"{source} is known, but only {self.num_held_out} of its {self.num_labelled} labelled pictures"
            f" are held out: its drift cannot be judged until {num_needed} are, so label {more} more"
        )


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
        left_out: Known sources without a reference, in alphabetical order, whose samples did not count.
    """

    deciding: ClosestReference
    sources: tuple[SourceVerdict, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def drifted(self) -> tuple[SourceVerdict, ...]:
        """The sources that drifted by themselves."""
        return tuple(one for one in self.sources if one.has_drifted)


def judge_window(
    references: Mapping[str, Baseline],
    window: Window,
    settings: MonitoringSettings,
    *,
    known: Mapping[str, KnownSource] | None = None,
    seed: int = 0,
) -> JudgedSources:
    """Judge a window and, where its samples are of several sources, each of them. Pure.

    Args:
        references: By source name, with the pooled one under `POOLED`.
        window: Of the champion's newest samples.
        settings: Thresholds.
        known: The sources of the champion's data. One with too few pictures for a reference of its own
            causes no alarm: it need not be like all sources pooled.
        seed: For permutations.
    """
    scenes = find_scenes(window.samples, references[POOLED])
    by_source = Counter(sample.source for sample in window.samples)
    too_few = _find_too_few(by_source.keys(), references, known or {}, settings)
    counted, counted_scenes = _without(too_few.keys(), window, scenes, settings)
    if len(by_source) < 2:
        alone = find_closest(references, window, settings, scenes, seed=seed)
        return _leave_out(JudgedSources(alone), too_few, is_whole=True)
    refused = {
        source: _tell_few_scenes(source, scenes, window, settings) or too_few.get(source, "")
        for source in by_source
    }
    num_judged = sum(not why for why in refused.values())
    shared = settings.model_copy(update={"false_alarm_rate": settings.false_alarm_rate / (1 + num_judged)})
    whole = find_closest(references, counted, shared, counted_scenes, seed=seed)
    few = shared.model_copy(
        update={"min_window_samples": min(MIN_SOURCE_SCENES, settings.min_window_samples)}
    )
    sources = tuple(
        _judge_source(source, references, window, scenes, few, refused[source], seed)
        for source, _ in by_source.most_common()
    )
    whole = _about(window, scenes, whole, settings)
    entered = {sample.source for sample in counted.samples}
    shares = {source: one.num_held_out for source, one in (known or {}).items()}
    found = JudgedSources(_decide(whole, sources, entered, references, shares), sources)
    return _leave_out(found, too_few, is_whole=counted is window)


def _find_too_few(
    sources: AbstractSet[str],
    references: Mapping[str, Baseline],
    known: Mapping[str, KnownSource],
    settings: MonitoringSettings,
) -> dict[str, str]:
    """Return why they have no reference, by known source. A champion's only source is the pooled one."""
    if len(known) < 2:
        return {}
    return {
        source: known[source].tell_too_few(source, settings.min_window_samples)
        for source in sorted(sources & known.keys())
        if source not in references
    }


def _tell_few_scenes(source: str, scenes: Scenes, window: Window, settings: MonitoringSettings) -> str:
    """Return why a source's samples are too few to be judged by themselves, or an empty string."""
    num_scenes = sum(window.samples[position].source == source for position in scenes.positions)
    num_needed = min_scenes(settings)
    if scenes.spacing.get(source, 1) == 1:
        num_needed = min(num_needed, MIN_SOURCE_SCENES)
    return f"too few scenes: about {num_scenes} of {num_needed}" if num_scenes < num_needed else ""


def _without(
    left_out: AbstractSet[str], window: Window, scenes: Scenes, settings: MonitoringSettings
) -> tuple[Window, Scenes]:
    """Return the other sources' samples; the window itself if they are too few to be judged."""
    others = {sample.source for sample in window.samples} - left_out
    part, part_scenes = _part_of(window, scenes, others)
    is_enough = len(part.samples) >= settings.min_window_samples and part_scenes.num_scenes >= min_scenes(
        settings
    )
    return (part, part_scenes) if left_out and is_enough else (window, scenes)


def _part_of(window: Window, scenes: Scenes, sources: AbstractSet[str]) -> tuple[Window, Scenes]:
    places = [number for number, sample in enumerate(window.samples) if sample.source in sources]
    chosen = set(scenes.positions)
    return (
        Window(window.weights_digest, tuple(window.samples[place] for place in places)),
        Scenes(tuple(new for new, place in enumerate(places) if place in chosen), scenes.spacing),
    )


def _judge_source(
    source: str,
    references: Mapping[str, Baseline],
    window: Window,
    scenes: Scenes,
    settings: MonitoringSettings,
    why_not: str,
    seed: int,
) -> SourceVerdict:
    own, counted = _part_of(window, scenes, {source})
    return SourceVerdict(
        source=source,
        num_samples=len(own.samples),
        num_scenes=counted.num_scenes,
        first_at=min(sample.received_at for sample in own.samples),
        versions=tuple(sorted({sample.model_version for sample in own.samples})),
        closest=None if why_not else find_closest(references, own, settings, counted, seed=seed),
        why_not=why_not,
    )


def _about(
    window: Window, scenes: Scenes, closest: ClosestReference, settings: MonitoringSettings
) -> ClosestReference:
    """Make a verdict about a part of the window one about the window."""
    verdict = replace(
        closest.verdict,
        window_id=window.window_id,
        threshold_digest=threshold_digest(settings),
        num_samples=len(window.samples),
        num_scenes=scenes.num_scenes,
    )
    return replace(closest, verdict=verdict)


def _decide(
    whole: ClosestReference,
    sources: tuple[SourceVerdict, ...],
    entered: AbstractSet[str],
    references: Mapping[str, Baseline],
    num_held_out: Mapping[str, int],
) -> ClosestReference:
    verdict = whole.verdict
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
    judged = tuple(one for one in sources if one.source in entered)
    has_moved = verdict.outcome == "drift" or verdict.may_be_place
    if has_moved and _is_change_of_mix(judged, references):
        mix = _tell_mix(judged, references, num_held_out)
        reason = f"the mix of known sources changed ({mix}), and each is as it was"
        verdict = replace(verdict, outcome="quiet", cause="", reason=reason, may_be_place=False)
    return replace(whole, verdict=verdict)


def _leave_out(found: JudgedSources, too_few: Mapping[str, str], *, is_whole: bool) -> JudgedSources:
    """Tell which known sources were not judged.

    Args:
        found: The verdict.
        too_few: By source, why.
        is_whole: Their samples were in the window that was judged: then that it differs says nothing.
    """
    verdict = found.deciding.verdict
    has_moved = verdict.outcome == "drift" or verdict.may_be_place
    if not too_few or (is_whole and not has_moved):
        return found
    if is_whole and not found.drifted:
        reason = "; ".join(too_few.values())
        verdict = replace(verdict, outcome="inconclusive", cause="", reason=reason, may_be_place=False)
    else:
        verdict = replace(verdict, reason="; ".join([verdict.reason, *too_few.values()]))
    return replace(found, deciding=replace(found.deciding, verdict=verdict), left_out=tuple(too_few))


def _is_change_of_mix(sources: tuple[SourceVerdict, ...], references: Mapping[str, Baseline]) -> bool:
    """Whether every source has a reference of its own, and was found quiet."""
    return all(
        one.source in references and one.closest is not None and one.closest.verdict.outcome == "quiet"
        for one in sources
    )


def _tell_mix(
    sources: tuple[SourceVerdict, ...], references: Mapping[str, Baseline], num_held_out: Mapping[str, int]
) -> str:
    """Say each source's share of the champion's own pictures and of the window."""
    own = {one.source: num_held_out.get(one.source, references[one.source].num_samples) for one in sources}
    total_own = max(references[POOLED].num_samples, sum(own.values()))
    total = sum(one.num_samples for one in sources)
    return ", ".join(
        f"{one.source} {100 * own[one.source] / total_own:.0f} % → {100 * one.num_samples / total:.0f} %"
        for one in sources
    )
