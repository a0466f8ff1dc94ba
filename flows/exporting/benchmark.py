"""How fast a model answers here: in torch, and in every format it was exported to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dataset.version_store import DatasetStore
from flows.answering.incoming import list_files
from flows.evidence.evaluate import BATCH_SIZE, load_picture
from flows.exporting.latency import LatencyRow, measure_latency, resident_mib
from flows.exporting.model_export import (
    export_directory,
    export_folder,
    export_tag,
    find_candidate,
    load_pictures,
)
from flows.workspace.wiring import App
from maskloop.errors import (
    ConfigurationError,
    DataError,
    IntegrityError,
    MaskloopError,
    NotFoundError,
    UnavailableError,
)
from models.artifacts.manifest import MANIFEST_FILE
from models.exports.manifest import EXPORT_FILE, EXPORT_FORMATS
from models.ports import Exporter, Predictor, Predictors
from registry.ports import RunTracker

TORCH: Final = "torch"


@dataclass(frozen=True)
class Benchmark:
    """The measured latencies.

    Attributes:
        model: The version or folder.
        rows: By batch size and runtime.
        missing: What could not be run here, with the reason: a package or a file is missing, or damaged.
        environment: Versions and hardware.
        num_pictures: Different pictures that were answered.
    """

    model: str
    rows: tuple[LatencyRow, ...]
    missing: Mapping[str, str]
    environment: Mapping[str, str]
    num_pictures: int


def benchmark(app: App, *, model: str = "", images: Path | None = None, rounds: int = 20) -> Benchmark:
    """Time a version (default: the champion), or a folder with a model or an export, on this machine.

    An export that cannot be run is reported, and the others are still timed.

    Raises:
        NotFoundError: if there is no such version, model or export.
        DataError: if there are no pictures.
        IntegrityError: if the version's own files, or all there are, are not those that were recorded.
        ConfigurationError: if the packages are missing that would run what there is.
    """
    missing: dict[str, MaskloopError] = {}
    if model and Path(model).is_dir():
        folders, data_tag = _folders_below(Path(model), app.exporter, missing), ""
    else:
        candidate = find_candidate(app.ledger, app.state(), model)
        folders = {TORCH: app.copies.fetch_version(candidate.version, candidate.weights_digest)}
        tags = app.models.version(candidate.version).tags
        exports = _Exports(app.exporter, app.tracker, app.workspace.exports_dir)
        folders |= exports.fetch_all(candidate.run_id, tags, missing)
        data_tag = candidate.data_tag
    pictures = _find_pictures(app.data, images, data_tag, app.settings.data.max_picture_mpx)
    predictors, memory_mib = _load_all(app.predictors, app.exporter, folders, pictures, missing)
    for runtime, error in missing.items():
        app.teller.say(f"{runtime} is left out: {error}")
    if not predictors:
        raise next(iter(missing.values()))
    with app.teller.progress("in turns") as progress:
        rows = measure_latency(predictors, pictures, rounds=rounds, memory_mib=memory_mib, progress=progress)
    reasons = {name: str(error) for name, error in missing.items()}
    return Benchmark(model or "champion", tuple(rows), reasons, app.machine.environment(), len(pictures))


@dataclass(frozen=True)
class _Exports:
    """The exports of versions, in MLflow and as copies in the workspace."""

    exporter: Exporter
    tracker: RunTracker
    directory: Path

    def fetch_all(
        self, run_id: str, tags: Mapping[str, str], missing: dict[str, MaskloopError]
    ) -> dict[str, Path]:
        """Return the folder of each export that a version's tags name, by format."""
        folders: dict[str, Path] = {}
        for wanted in EXPORT_FORMATS:
            if digest := tags.get(export_tag(wanted), ""):
                with _noting(missing, wanted):
                    directory = export_directory(self.directory, digest)
                    source = export_folder(wanted, digest)
                    fetch_export(self.tracker, self.exporter, run_id, source, digest, directory)
                    folders[wanted] = directory
        return folders


def fetch_export(
    tracker: RunTracker, exporter: Exporter, run_id: str, source: str, digest: str, directory: Path
) -> None:
    """Make sure of a verified local copy of an export; MLflow is only asked if there is none.

    Args:
        tracker: Asked for it.
        exporter: Verifies it.
        run_id: Of the version.
        source: Its folder below the run's files.
        digest: Its identity.
        directory: Where the copy lies.
    """
    if not directory.exists():
        tracker.fetch_files(run_id, source, directory)
    exporter.verify(directory, expected_digest=digest)


def _folders_below(directory: Path, exporter: Exporter, missing: dict[str, MaskloopError]) -> dict[str, Path]:
    """Return the model in a folder, or the export, and the exports in folders in it."""
    found = {TORCH: directory} if (directory / MANIFEST_FILE).is_file() else {}
    for folder in (directory, *sorted(each for each in directory.iterdir() if each.is_dir())):
        if (folder / EXPORT_FILE).is_file():
            with _noting(missing, folder.name):
                found[exporter.verify(folder).format] = folder
    if not found and not missing:
        raise NotFoundError("there is neither a model nor an export here", where=str(directory))
    return found


def _find_pictures(
    store: DatasetStore, images: Path | None, data_tag: str, max_mpx: float
) -> list[np.ndarray]:
    if images is not None:
        files = [file.path for file in list_files([images]) if not file.passed_over]
        return [load_picture(file, max_mpx) for file in files[:BATCH_SIZE]]
    data = store.open(data_tag) if data_tag else store.current()
    if data is None or not data.by_split["test"]:
        raise DataError("there are no test pictures to answer", hint="name a folder with --images")
    return load_pictures(data, data.by_split["test"][:BATCH_SIZE], max_mpx)


@contextmanager
def _noting(missing: dict[str, MaskloopError], runtime: str) -> Iterator[None]:
    """Note why one of several cannot be run, and go on."""
    try:
        yield
    except (ConfigurationError, IntegrityError, NotFoundError, UnavailableError) as error:
        missing[runtime] = error


def _load_all(
    models: Predictors,
    exporter: Exporter,
    folders: Mapping[str, Path],
    pictures: list[np.ndarray],
    missing: dict[str, MaskloopError],
) -> tuple[dict[str, Predictor], dict[str, float]]:
    """Load one after the other, and let each answer once; say how much memory each added."""
    predictors: dict[str, Predictor] = {}
    memory_mib: dict[str, float] = {}
    for runtime, folder in folders.items():
        before = resident_mib()
        with _noting(missing, runtime):
            if runtime == TORCH:
                predictor = models.load(folder, device="cpu")
            else:
                predictor = exporter.load(folder)
            predictor.predict(pictures)
            predictors[runtime], memory_mib[runtime] = predictor, resident_mib() - before
    return predictors, memory_mib
