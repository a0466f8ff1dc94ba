"""What a champion's own held-out pictures look like, measured once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from dataset.pictures.looks import difference_hash
from flows.evidence.evaluate import load_picture, predict_pictures
from maskloop.errors import DataError
from models.ports import Predictor
from monitoring.drift.baseline import Baseline, build_baseline
from monitoring.drift.references import POOLED, load_references, save_references
from monitoring.features.observation import Observation
from monitoring.features.table import observe


def open_references(
    directory: Path,
    weights_digest: str,
    data_fingerprint: str,
    *,
    min_pictures: int,
    observe: Callable[[], Mapping[str, Sequence[Observation]]],
) -> Mapping[str, Baseline]:
    """Load what a champion's own held-out pictures look like, or have them observed the first time.

    The reference of a source is its validation pictures, plus its test pictures if there are fewer than a
    window needs. A source that still has too few counts only in the pooled reference.

    Args:
        directory: Where the champion's references lie.
        weights_digest: The champion's.
        data_fingerprint: Of the data version it was trained on.
        min_pictures: A source with fewer has no reference of its own.
        observe: Observes the held-out pictures, by source.

    Raises:
        DataError: if there are no held-out pictures.
    """
    if kept := load_references(directory):
        return kept
    observed = observe()
    groups = {POOLED: [seen for group in observed.values() for seen in group]}
    groups |= {
        name: list(group)
        for name, group in observed.items()
        if len(observed) > 1 and len(group) >= min_pictures
    }
    references = {
        name: build_baseline(group, weights_digest=weights_digest, data_fingerprint=data_fingerprint)
        for name, group in groups.items()
    }
    save_references(directory, references)
    return references


def observe_pictures(
    predictor: Predictor,
    version: DatasetVersion,
    pictures: Sequence[LabelledPicture],
    *,
    max_mpx: float,
    progress: Callable[[int, int], None],
) -> dict[str, list[Observation]]:
    """Return what pictures of a data version look like to a model, by source.

    Raises:
        DataError: if there are no pictures.
    """
    if not pictures:
        raise DataError("the champion's data version has no held-out pictures", where=version.tag)
    found = predict_pictures(predictor, version, pictures, progress=progress, max_mpx=max_mpx)
    observed: dict[str, list[Observation]] = {}
    for picture in pictures:
        prediction = found[picture.digest]
        confident = prediction.detections.select(prediction.detections.reach(predictor.score_threshold))
        pixels = load_picture(version.path(picture), max_mpx)
        seen = observe(pixels, confident, predictor.class_names, prediction.embedding)
        seen = replace(seen, scene=picture.group, difference_hash=difference_hash(pixels))
        observed.setdefault(picture.source, []).append(seen)
    return observed
