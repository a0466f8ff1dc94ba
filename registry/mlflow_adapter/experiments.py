"""The experiments of MLflow that runs lie in: one each for trainings, drift checks and searches.

Each opens in MLflow's page as one of model trainings, not of prompts and traces, which have other tables.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.ports import RunKind

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)
_SUFFIXES: Final[Mapping[RunKind, str]] = {
    "training": "",
    "drift check": " drift checks",
    "search": " searches",
}
_KIND_TAG: Final = "mlflow.experimentKind"
_MODEL_TRAINING: Final = "custom_model_development"
"""MLflow's own word, as its page writes it when a person chooses "Machine learning"."""


class MlflowExperiments:
    """Opens experiments by what their runs record.

    Args:
        client: Of the tracking server or database.
        name: Of the experiment of trainings; the others begin with it.
        artifacts_dir: Where a new one keeps its files; None leaves it to the server.
    """

    def __init__(self, client: MlflowClient, name: str, artifacts_dir: Path | None) -> None:
        self._client, self._name, self._artifacts_dir = client, name, artifacts_dir
        self._prepared: set[str] = set()

    def open(self, kind: RunKind) -> str:
        """Return the id of an experiment, made if it is not there, restored if somebody deleted it."""
        found = self._find(kind) or self._make(kind)
        experiment_id = str(found.experiment_id)
        if found.lifecycle_stage == "deleted":
            _log.warning("the experiment %s was deleted in MLflow and is restored, with its runs", found.name)
            self._client.restore_experiment(experiment_id)
        if _KIND_TAG not in found.tags and experiment_id not in self._prepared:
            self._client.set_experiment_tag(experiment_id, _KIND_TAG, _MODEL_TRAINING)
            self._prepared.add(experiment_id)
        return experiment_id

    def known(self) -> list[str]:
        """Return the ids of those that are there, of every kind: runs were not always told apart."""
        found = map(self._find, _SUFFIXES)
        return [str(experiment.experiment_id) for experiment in found if experiment]

    def _find(self, kind: RunKind) -> Any:
        return self._client.get_experiment_by_name(self._name + _SUFFIXES[kind])

    def _make(self, kind: RunKind) -> Any:
        from mlflow.exceptions import MlflowException

        location = str(self._artifacts_dir) if self._artifacts_dir else None
        try:
            made = self._client.create_experiment(self._name + _SUFFIXES[kind], artifact_location=location)
        except MlflowException:
            if found := self._find(kind):  # somebody was quicker
                return found
            raise
        return self._client.get_experiment(made)
