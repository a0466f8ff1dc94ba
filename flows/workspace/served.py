"""The model that serves: the ledger's champion, verified, from the copy on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.workspace.wiring import App
from registry.champion.serving_copy import champion_copy, require_champion

if TYPE_CHECKING:
    from registry.champion.serving_copy import ServedModel


def fetch_champion(app: App) -> ServedModel:
    """Return the verified local copy of the champion; the registry is only asked if the copy is missing.

    Raises:
        NotFoundError: if nothing was promoted yet.
        RefusedError: if the champion's blessing or approval does not hold.
        IntegrityError: if neither the copy nor the registry has the recorded bytes.
    """
    require_champion(app.state())  # before MLflow is opened, which takes seconds
    return champion_copy(app.state(), app.models, app.workspace.models_dir, app.verify_weights)


def fetch_version(app: App, version: str, weights_digest: str) -> Path:
    """Return the verified local copy of any version; the registry is only asked if the copy is missing.

    Raises:
        NotFoundError, UnavailableError: if there is no copy, and the registry has none or does not answer.
        IntegrityError: if its files are not those with this digest.
    """
    directory = app.workspace.models_dir / weights_digest
    if not directory.exists():
        app.models.fetch(version, directory)
    app.verify_weights(directory, weights_digest)
    return directory
