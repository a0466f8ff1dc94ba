"""Models from verified artifacts behind their port: see `models.ports.Predictors`."""

from __future__ import annotations

from pathlib import Path

from models.answering.predictor import TorchPredictor
from models.artifacts.manifest import ArtifactManifest
from models.artifacts.model_folder import verify_artifact


class TorchPredictors:
    """Loads models into torch."""

    def load(
        self, directory: Path, *, expected_digest: str | None = None, device: str = "auto"
    ) -> TorchPredictor:
        """Verify an artifact and make it ready to answer."""
        return TorchPredictor.load(directory, expected_digest=expected_digest, device=device)

    def verify(self, directory: Path, *, expected_digest: str | None = None) -> ArtifactManifest:
        """Check an artifact's files, names, shapes and numbers."""
        return verify_artifact(directory, expected_digest=expected_digest)
