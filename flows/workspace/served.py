"""The verified local copies of registered models, from which they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskloop.state.loop_state import LoopState, Rollout
from models.ports import Predictor, Predictors
from registry.champion.serving_copy import ServedModel, challenger_copy, champion_copy, require_champion
from registry.ports import ModelStore


@dataclass(frozen=True)
class ModelCopies:
    """The verified local copies of registered versions; the registry is only asked for what is missing.

    Attributes:
        directory: Holds one folder per weights digest.
        open_store: Opens the registry; importing MLflow takes seconds.
        open_predictors: Opens the port that verifies and loads models; importing torch takes a second.
        device: The device of loaded models.
    """

    directory: Path
    open_store: Callable[[], ModelStore]
    open_predictors: Callable[[], Predictors]
    device: str

    def fetch_champion(self, state: LoopState) -> ServedModel:
        """Return the copy of the model that serves.

        Raises:
            NotFoundError: if nothing was promoted yet.
            RefusedError: if the champion's blessing or approval does not hold.
            IntegrityError: if neither the copy nor the registry has the recorded bytes.
        """
        require_champion(state)  # before the registry is opened
        return champion_copy(state, self.open_store(), self.directory, self.verify)

    def fetch_challenger(self, state: LoopState, rollout: Rollout) -> ServedModel:
        """Return the copy of a rollout's challenger. Raises as `challenger_copy` does."""
        return challenger_copy(state, rollout, self.open_store(), self.directory, self.verify)

    def fetch_version(self, version: str, weights_digest: str) -> Path:
        """Return the copy of any version.

        Raises:
            NotFoundError, UnavailableError: if there is no copy, and the registry has none or does not
                answer.
            IntegrityError: if its files are not those with this digest.
        """
        directory = self.directory / weights_digest
        if not directory.exists():
            self.open_store().fetch(version, directory)
        self.verify(directory, weights_digest)
        return directory

    def verify(self, directory: Path, weights_digest: str) -> None:
        """Raise IntegrityError unless a folder holds the artifact with exactly these weights."""
        self.open_predictors().verify(directory, expected_digest=weights_digest)

    def load(self, directory: Path, weights_digest: str) -> Predictor:
        """Load the model in a folder. Raises IntegrityError if its weights have another digest."""
        return self.open_predictors().load(directory, expected_digest=weights_digest, device=self.device)
