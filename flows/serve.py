"""The model that serves: the ledger's champion, verified, from the copy on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.wiring import App

if TYPE_CHECKING:
    from registry.serving_copy import ServedModel


def fetch_champion(app: App) -> ServedModel:
    """Return the verified local copy of the champion; the registry is only asked if the copy is missing.

    Raises:
        NotFoundError: if nothing was promoted yet.
        RefusedError: if the champion's blessing or approval does not hold.
        IntegrityError: if neither the copy nor the registry has the recorded bytes.
    """
    from registry.serving_copy import champion_copy, require_champion

    require_champion(app.state())  # before MLflow is opened, which takes seconds
    return champion_copy(app.ledger, app.models, app.workspace.models_dir, verify_weights)


def verify_weights(directory: Path, weights_digest: str) -> None:
    """Raise IntegrityError unless a folder holds the artifact with exactly these weights."""
    from models.artifact import verify_artifact

    verify_artifact(directory, expected_digest=weights_digest)
