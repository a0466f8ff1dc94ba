"""What a champion's own held-out pictures look like, measured once and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dataset.labelled_pictures import DatasetVersion, LabelledPicture
from flows.evidence.evaluate import load_picture, predict_pictures
from flows.learning.train import trained_on
from flows.workspace.wiring import App
from maskloop.errors import DataError
from maskloop.files import write_text
from monitoring.drift.baseline import Baseline, build_baseline, load_baseline, save_baseline
from monitoring.drift.references import POOLED
from monitoring.features.observation import Observation
from monitoring.features.table import observe
from registry.champion.serving_copy import ServedModel

_SOURCE_NAMES: Final = "sources.json"


def open_references(app: App, served: ServedModel) -> Mapping[str, Baseline]:
    """Load what the champion's own held-out pictures look like, or measure them the first time.

    Each source's reference is its validation pictures, with its test pictures added where those are fewer
    than a window needs; sources with too few even so count in the pooled reference only.

    Raises:
        DataError: if the champion's data version has no held-out pictures.
    """
    directory = app.baseline_dir(served.weights_digest)
    files = sorted(directory.glob("*.npz"))
    if files and (directory / "complete").exists():
        names = _read_source_names(directory)
        return {names.get(file.name) or _name_of(file): load_baseline(file) for file in files}
    version = app.data.open(trained_on(app.state(), served.weights_digest))
    observed = _observe_held_out(app, served, version)
    groups = {POOLED: [seen for group in observed.values() for seen in group]}
    groups |= {
        name: group
        for name, group in observed.items()
        if len(observed) > 1 and len(group) >= app.settings.monitoring.min_window_samples
    }
    references = {}
    files_of = {name: f"{number:04d}.npz" for number, name in enumerate(groups)}
    write_text(directory / _SOURCE_NAMES, json.dumps({file: name for name, file in files_of.items()}))
    for name, group in groups.items():
        references[name] = build_baseline(
            group, weights_digest=served.weights_digest, data_fingerprint=version.fingerprint
        )
        save_baseline(references[name], directory / files_of[name])
    (directory / "complete").touch()
    return references


def _observe_held_out(app: App, served: ServedModel, version: DatasetVersion) -> dict[str, list[Observation]]:
    pictures = choose_reference_pictures(version, app.settings.monitoring.min_window_samples)
    if not pictures:
        raise DataError("the champion's data version has no held-out pictures", where=version.tag)
    predictor = app.predictors.load(
        served.directory, expected_digest=served.weights_digest, device=app.settings.training.device
    )
    max_mpx = app.settings.data.max_picture_mpx
    with app.teller.progress("measuring the champion's own pictures") as progress:
        found = predict_pictures(predictor, version, pictures, progress=progress, max_mpx=max_mpx)
    observed: dict[str, list[Observation]] = {}
    for picture in pictures:
        prediction = found[picture.digest]
        confident = prediction.detections.select(prediction.detections.reach(predictor.score_threshold))
        pixels = load_picture(version.path(picture), max_mpx)
        seen = observe(pixels, confident, predictor.class_names, prediction.embedding)
        observed.setdefault(picture.source, []).append(seen)
    return observed


def choose_reference_pictures(version: DatasetVersion, min_per_source: int) -> tuple[LabelledPicture, ...]:
    """Take each source's validation pictures, and its test pictures too where those are too few."""
    chosen: list[LabelledPicture] = []
    for source in sorted({picture.source for picture in version.pictures}):
        validation = [picture for picture in version.by_split["val"] if picture.source == source]
        test = [picture for picture in version.by_split["test"] if picture.source == source]
        chosen += validation if len(validation) >= min_per_source else validation + test
    return tuple(chosen)


def _read_source_names(directory: Path) -> Mapping[str, str]:
    """Return the source behind each file: a source may be called what no file can be."""
    file = directory / _SOURCE_NAMES
    names: Mapping[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return names


def _name_of(file: Path) -> str:
    """Return the source of a file written before its name was kept beside it."""
    return file.stem.partition(" ")[2]
