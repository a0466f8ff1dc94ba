"""Sources that a champion was taught: what production sent of them before it served.

A third of 50 labels of a changed source is held out, too few to compare production with. The pictures that
its labels were chosen from lie in the sample log; what the champion answers on them is a reference of that
source as it was taught. References are only added, and a window has drifted only if it differs from all of
them, so the rate of false alarms holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
from flows.labelling.kept_pictures import KeptPictures
from maskloop.settings.workspace_settings import RetrainingSettings
from maskloop.state.loop_state import LoopState
from models.ports import Predictor
from monitoring.drift.baseline import Baseline
from monitoring.drift.scenes import find_scenes
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from monitoring.samples.values import Sample


@dataclass(frozen=True)
class Teaching:
    """The change of data and champion that taught it a source.

    Attributes:
        sources: Sources with enough newly labelled pictures.
        until: When the champion began to serve, UTC.
        known_digests: Digests of the pictures it was trained on.
    """

    sources: frozenset[str]
    until: datetime
    known_digests: frozenset[str]


def find_teaching(
    state: LoopState,
    weights_digest: str,
    version: DatasetVersion,
    data: DatasetStore,
    settings: RetrainingSettings,
) -> Teaching | None:
    """Return what a champion was newly taught; None for a first champion, or if nothing was enough.

    Args:
        state: Of the loop.
        weights_digest: The champion's.
        version: The data it was trained on.
        data: Holds the version that the champion before it was trained on.
        settings: A source with fewer newly labelled pictures than a cycle waits for was not taught.
    """
    began = next((one for one in state.serving if one.change.weights_digest == weights_digest), None)
    tag = state.data_of(began.change.previous_digest) if began else ""
    if began is None or not tag:
        return None
    before = {picture.digest for picture in data.open(tag).pictures}
    new = Counter(picture.source for picture in version.pictures if picture.digest not in before)
    min_labels = max(1, settings.min_new_labelled_samples)
    sources = frozenset(source for source, num in new.items() if num >= min_labels)
    trained = frozenset(picture.digest for picture in version.by_split["train"])
    return Teaching(sources, began.since, trained) if sources else None


def choose_taught_samples(
    samples: Sequence[Sample], teaching: Teaching, pooled: Baseline, *, limit: int
) -> tuple[Sample, ...]:
    """Choose kept samples that other models answered before the champion served, one of each scene.

    Args:
        samples: The last to arrive first.
        teaching: What the champion was taught. Pictures it was trained on are left out: its answers on them
            are better than on others.
        pooled: Of the champion's own pictures: says what a scene is.
        limit: For each source the newest so many samples.
    """
    chosen: list[Sample] = []
    left: Counter[str] = Counter(dict.fromkeys(teaching.sources, limit))
    seen: set[str] = set(teaching.known_digests)
    for sample in samples:
        is_earlier = sample.weights_digest != pooled.weights_digest and sample.received_at <= teaching.until
        is_new = sample.picture_file is not None and sample.picture_digest not in seen
        if is_earlier and is_new and left[sample.source] > 0:
            seen.add(sample.picture_digest)
            left[sample.source] -= 1
            chosen.append(sample)
    return tuple(chosen[position] for position in find_scenes(chosen, pooled).positions) if chosen else ()


def observe_samples(
    samples: Sequence[Sample],
    pictures: KeptPictures,
    predictor: Predictor,
    progress: Callable[[int, int], None],
) -> Mapping[str, list[Observation]]:
    """Return what kept pictures look like to a model, by source; those that cannot be had are passed over."""
    observed: dict[str, list[Observation]] = {}
    for number, sample in enumerate(samples, start=1):
        if (kept := pictures.open(sample)) is not None:
            pixels = kept.decoded.pixels
            (found,) = predictor.predict([pixels])
            sure = found.detections.select(found.detections.reach(predictor.score_threshold))
            seen = observe(pixels, sure, predictor.class_names, found.embedding)
            seen = replace(seen, picture_digest=sample.picture_digest)
            observed.setdefault(sample.source, []).append(seen)
        progress(number, len(samples))
    return observed


def name_references(
    taught: Mapping[str, Sequence[Observation]],
    held_out: Mapping[str, Sequence[Observation]],
    *,
    has_own: AbstractSet[str],
    min_pictures: int,
) -> dict[str, list[Observation]]:
    """Return the pictures of each further reference by its name; a source with too few gets none.

    A source without a reference of its own gets one under its name, of production's pictures and the held-out
    ones. A source that has one gets a second: its held-out pictures are of the time before and after.
    """
    named: dict[str, list[Observation]] = {}
    for source, observed in taught.items():
        if source in has_own and len(observed) >= min_pictures:
            named[as_taught(source)] = list(observed)
        elif source not in has_own and len(observed) + len(held_out.get(source, ())) >= min_pictures:
            named[source] = [*observed, *held_out.get(source, ())]
    return named


def as_taught(source: str) -> str:
    """Return the name of a source's second reference."""
    return f"{source} as it was taught"
