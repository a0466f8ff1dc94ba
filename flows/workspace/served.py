"""The verified local copies of registered models, from which they are loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maskloop.blobs.shared_files import SharedFiles
from maskloop.errors import MaskloopError
from maskloop.files import directory_written_atomically
from maskloop.state.loop_state import LoopState, Rollout
from models.ports import Predictor, Predictors
from registry.champion.serving_copy import ServedModel, challenger_copy, champion_copy
from registry.ports import ModelStore


@dataclass(frozen=True)
class ModelCopies:
    """The verified local copies of registered versions; the registry is only asked for what is missing.

    Attributes:
        directory: Holds one folder per weights digest.
        shared: Holds copies for all hosts, so that none of them needs the registry for a version that another
            has fetched.
        open_store: Opens the registry; importing MLflow takes seconds.
        open_predictors: Opens the port that verifies and loads models; importing torch takes a second.
        device: The device of loaded models.
    """

    directory: Path
    shared: SharedFiles
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
        return champion_copy(state, self._fetch, self.directory, self.verify)

    def fetch_challenger(self, state: LoopState, rollout: Rollout) -> ServedModel:
        """Return the copy of a rollout's challenger. Raises as `challenger_copy` does."""
        return challenger_copy(state, rollout, self._fetch, self.directory, self.verify)

    def fetch_version(self, version: str, weights_digest: str) -> Path:
        """Return the copy of any version.

        Raises:
            NotFoundError, UnavailableError: if there is no copy, and the registry has none or does not
                answer.
            IntegrityError: if its files are not those with this digest.
        """
        directory = self.directory / weights_digest
        if not directory.exists():
            with directory_written_atomically(directory) as beside:
                self._fetch(version, weights_digest, beside)
        self.verify(directory, weights_digest)
        return directory

    def _fetch(self, version: str, weights_digest: str, directory: Path) -> None:
        """Fill a folder from the shared files, or from the registry, and then share it."""
        shared = self.directory / weights_digest
        with suppress(MaskloopError):  # the registry has it too
            if self.shared.bring(shared, into=directory):
                self.verify(directory, weights_digest)
                return
        for found in directory.iterdir():
            shutil.rmtree(found) if found.is_dir() else found.unlink()
        self.open_store().fetch(version, directory)
        self.verify(directory, weights_digest)
        with suppress(MaskloopError):  # another host asks the registry then
            self.shared.send(shared, held_in=directory)

    def verify(self, directory: Path, weights_digest: str) -> None:
        """Raise IntegrityError unless a folder holds the artifact with exactly these weights."""
        self.open_predictors().verify(directory, expected_digest=weights_digest)

    def load(self, directory: Path, weights_digest: str) -> Predictor:
        """Load the model in a folder. Raises IntegrityError if its weights have another digest."""
        return self.open_predictors().load(directory, expected_digest=weights_digest, device=self.device)
