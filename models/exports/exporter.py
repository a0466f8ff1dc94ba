"""Exports behind their port: see `models.ports.Exporter`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.answering.predictor import TorchPredictor
from models.artifacts.model_folder import load_model
from models.exports.formats import check_format, load_export, verify_export, write_export
from models.exports.manifest import ExportFormat, ExportManifest


class TorchExporter:
    """Writes models in other formats out of torch, and runs them with the packages of these formats."""

    def check_format(self, wanted: ExportFormat) -> None:
        """Refuse a format whose packages are not installed."""
        check_format(wanted)

    def write(
        self,
        directory: Path,
        artifact: Path,
        wanted: ExportFormat,
        *,
        expected_digest: str,
        calibration: Sequence[tuple[str, NDArray[np.uint8]]],
        progress: Callable[[int, int], None],
    ) -> ExportManifest:
        """Export the model in ``artifact``; calibration pictures are uint8 (H, W, 3), RGB, by name."""
        model, manifest = load_model(artifact, expected_digest=expected_digest)
        return write_export(directory, model, manifest, wanted, calibration=calibration, progress=progress)

    def verify(self, directory: Path, *, expected_digest: str | None = None) -> ExportManifest:
        """Check an export's manifest and files."""
        return verify_export(directory, expected_digest=expected_digest)

    def load(self, directory: Path, *, expected_digest: str | None = None) -> TorchPredictor:
        """Verify an export and make it ready to answer."""
        return load_export(directory, expected_digest=expected_digest)
