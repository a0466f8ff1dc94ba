"""A model in another format: its networks as files, a manifest, and a predictor that runs them.

What chooses regions, cuts them out and turns masks into RLE stays ours, the same code for every format. An
export needs no weights beside it: its manifest holds the model's own, which names the settings.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torchvision.models.detection import MaskRCNN

from maskloop.digest import digest_file
from maskloop.errors import ConfigurationError, ExportError, IntegrityError, NotFoundError
from maskloop.files import directory_written_atomically
from models.answering.inference import keep_choosing_alone
from models.answering.predictor import TorchPredictor
from models.artifacts.environment import describe_environment
from models.artifacts.manifest import ArtifactManifest, check_files
from models.exports import onnx_format, openvino_format
from models.exports.graphs import Graph, graphs_of, level_names, steps_of
from models.exports.manifest import EXPORT_FILE, GRAPHS, SCAN, ExportFormat, ExportManifest
from models.exports.quantisation_samples import Samples, gather_samples
from models.exports.running import parts_running
from models.exports.runtimes import Run
from models.network.build import build_model

_MAX_MANIFEST_BYTES: Final = 2**20


def check_format(wanted: ExportFormat) -> None:
    """Raise ConfigurationError unless everything needed to make an export of this format is installed."""
    missing = [name for name in _packages(wanted) if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the format {wanted} needs packages that are not installed: {', '.join(missing)}",
            hint="install maskloop[export]",
        )


def write_export(
    directory: Path,
    model: MaskRCNN,
    source: ArtifactManifest,
    wanted: ExportFormat,
    *,
    calibration: Sequence[tuple[str, NDArray[np.uint8]]] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExportManifest:
    """Export a model, completely or not at all.

    Args:
        directory: Must not exist yet, or be empty.
        model: In any mode; stays as it is.
        source: The model's manifest.
        wanted: The format.
        calibration: For 8-bit integers: sha256 and pixels, uint8 (H, W, 3), of some pictures; else unused.
        progress: Called with calibration pictures done and in all.

    Raises:
        ConfigurationError: if a package is missing.
        ExportError: if there is nothing to calibrate with, or the exporter cannot do it.
        StorageError: if it cannot be written.
    """
    check_format(wanted)
    pictures = calibration if wanted == "openvino-int8" else ()
    samples = _samples(model, [pixels for _, pixels in pictures], progress) if pictures else None
    if wanted == "openvino-int8" and samples is None:
        raise ExportError(
            "there are no pictures to find 8-bit ranges in", hint="validation pictures are used"
        )
    graphs = graphs_of(model)
    with directory_written_atomically(directory) as beside:
        for name, graph in graphs.items():
            _convert(graph, beside / _file(name, wanted), wanted, samples[name] if samples else None)
        manifest = ExportManifest(
            format=wanted,
            model=source,
            levels=level_names(graphs[SCAN]),
            steps=steps_of(model),
            files={file.name: digest_file(file) for file in sorted(beside.iterdir())},
            calibration_digests=tuple(digest for digest, _ in pictures),
            environment={
                **describe_environment(),
                **{name: installed_version(name) for name in _packages(wanted)},
            },
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        (beside / EXPORT_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def verify_export(directory: Path, *, expected_digest: str | None = None) -> ExportManifest:
    """Check an export's manifest and the sha256 of every file it names.

    Args:
        directory: Where it lies.
        expected_digest: sha256 of its manifest, recorded elsewhere; None if only the manifest vouches.

    Raises:
        NotFoundError: if there is no export.
        IntegrityError: naming what does not match.
    """
    path = directory / EXPORT_FILE
    if not path.is_file():
        raise NotFoundError(f"there is no export here: {EXPORT_FILE} is missing", where=str(directory))
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise IntegrityError("the manifest is absurdly large", where=str(path))
    if expected_digest not in (None, digest_file(path)):
        raise IntegrityError("this is not the export that was recorded", where=str(path))
    try:
        manifest = ExportManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise IntegrityError(
            f"this is not an export's manifest: {error.errors()[0]['msg']}", where=str(path)
        ) from error
    _check_names(directory, manifest)
    check_files(directory, manifest.files)
    return manifest


def load_export(
    directory: Path, *, expected_digest: str | None = None, thread_counts: Collection[int] = ()
) -> TorchPredictor:
    """Verify an export and make it ready to answer, on a CPU.

    A thread that predicts computes with as many threads as it has set for torch, if the export was made ready
    for that number, otherwise with the next lower one.

    Args:
        directory: Where it lies.
        expected_digest: See `verify_export`.
        thread_counts: Numbers to be ready for, the largest for one prediction at a time; each takes memory of
            its own. None given: that of the calling thread in torch.

    Raises:
        NotFoundError, IntegrityError: as `verify_export` does.
        ConfigurationError: if a package that runs it is not installed.
    """
    manifest = verify_export(directory, expected_digest=expected_digest)
    form, source = _form(manifest.format), manifest.model
    _check_runtime(manifest.format)
    counts = sorted({*thread_counts} or {torch.get_num_threads()})
    runs = {name: _ready_for(counts, form, directory / _file(name, manifest.format)) for name in GRAPHS}
    skeleton = build_model(source.model, num_classes=len(source.class_names), pretrained=False)
    return TorchPredictor(
        keep_choosing_alone(skeleton),
        class_names=source.class_names,
        device=torch.device("cpu"),
        weights_digest=source.weights_digest,
        score_threshold=source.thresholds(),
        conversion=source.conversion,
        shortcuts=False,
        parts=parts_running(runs, manifest.levels),
    )


def _ready_for(counts: Sequence[int], form: ModuleType, file: Path) -> Run:
    """Return what runs a graph with as many threads as the calling thread may use."""
    by_count: dict[int, Run] = {count: form.load(file, count, counts[-1] // count) for count in counts}
    if len(by_count) == 1:
        return by_count[counts[0]]

    def run(array: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        allowed = torch.get_num_threads()
        return by_count[max((count for count in counts if count <= allowed), default=counts[0])](array)

    return run


def _samples(
    model: MaskRCNN, pictures: Sequence[NDArray[np.uint8]], progress: Callable[[int, int], None]
) -> dict[str, Samples]:
    found = gather_samples(model.eval(), pictures, progress=progress)
    if empty := [name for name, some in found.items() if not len(some)]:
        raise ExportError(
            f"nothing was found in {len(pictures)} pictures to calibrate {', '.join(empty)} with",
            hint="raise export.calibration_pictures",
        )
    return found


def _convert(graph: Graph, file: Path, wanted: ExportFormat, samples: Samples | None) -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # exporters talk, and standard output is for the answer
            _form(wanted).convert(graph, file, samples)
    except (ConfigurationError, OSError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        raise ExportError(f"the exporter cannot do {file.stem} as {wanted}: {said}") from error


def _form(wanted: ExportFormat) -> ModuleType:
    return onnx_format if wanted == "onnx" else openvino_format


def _file(graph: str, wanted: ExportFormat) -> str:
    suffix: str = _form(wanted).SUFFIX
    return f"{graph}{suffix}"


def _packages(wanted: ExportFormat) -> tuple[str, ...]:
    if wanted == "openvino-int8":
        return openvino_format.CALIBRATION_PACKAGES
    packages: tuple[str, ...] = _form(wanted).PACKAGES
    return packages


def _check_runtime(wanted: ExportFormat) -> None:
    needed: str = _form(wanted).RUNTIME
    if find_spec(needed) is None:
        raise ConfigurationError(
            f"the package that runs {wanted} is not installed: {needed}", hint="install maskloop[export]"
        )


def _check_names(directory: Path, manifest: ExportManifest) -> None:
    wanted = {_file(name, manifest.format) for name in GRAPHS}
    if missing := sorted(wanted - manifest.files.keys()):
        raise IntegrityError(f"the manifest does not name {missing[0]}", where=str(directory))
