"""The run tracker in MLflow. Works on run ids alone: nothing here depends on an "active run"."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import NotFoundError
from maskloop.files import directory_written_atomically
from registry.mlflow_adapter.connection import connect, plain_errors, without_password
from registry.mlflow_adapter.experiments import MlflowExperiments
from registry.mlflow_adapter.metric_names import to_metric_name, translated
from registry.ports import RunKind

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_KEY_TAG: Final = "maskloop.key"
_PARENT_TAG: Final = "mlflow.parentRunId"
_PARAMS_AT_ONCE: Final = 100
_METRICS_AT_ONCE: Final = 1000
NAMES_FILE: Final = "names.json"
"""Of a run: MLflow's names and the true ones behind them, where they are not the same."""
_AS_TRAINING: Final = "?workflowType=machine_learning"
"""Has MLflow's page show runs and models; else it begins with prompts and traces, whatever the kind says."""
_NAMES_TAG: Final = "maskloop.names"


class MlflowRunTracker:
    """`registry.ports.RunTracker` over a tracking server (http) or a database with local artifacts.

    Args:
        tracking_uri: The server or database.
        experiment: Of the trainings, made if it is not there; drift checks and searches have their own.
        server_url: The server people look at, where ``tracking_uri`` is a database.
        model_name: Of the registered model, for the addresses of its versions.
        artifacts_dir: Where a new experiment keeps its files; None leaves it to the server.
        system_metrics_every_s: While a run is open, record processor, memory and GPU use this often; 0 never.
        check: Called before the first connection; raises what keeps it from being made.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        *,
        server_url: str = "",
        model_name: str = "",
        system_metrics_every_s: float = 0.0,
        artifacts_dir: Path | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._uri, self._experiment, self._model_name = tracking_uri, experiment, model_name
        address = server_url or (tracking_uri if tracking_uri.startswith("http") else "")
        self._server_url = without_password(address).rstrip("/")
        self._system_metrics_every_s = system_metrics_every_s
        self._artifacts_dir, self._check = artifacts_dir, check
        self._monitors: dict[str, Any] = {}
        self._true_names: dict[str, dict[str, str]] = {}

    @cached_property
    def _client(self) -> MlflowClient:
        self._check()
        return connect(self._uri)

    @cached_property
    def _experiments(self) -> MlflowExperiments:
        return MlflowExperiments(self._client, self._experiment, self._artifacts_dir)

    def open_run(
        self,
        key: str,
        *,
        name: str,
        tags: Mapping[str, str],
        kind: RunKind = "training",
        parent_id: str = "",
    ) -> str:
        """Start a run, or open the one with this key again, also after a crash; returns its id.

        A run, or a whole experiment, that somebody deleted is restored. A run without a parent
        records the use of the machine.
        """
        above = {_PARENT_TAG: parent_id} if parent_id else {}
        with plain_errors(self._uri):
            experiment_id = self._experiments.open(kind)
            found = self._find(key)
            run_id = (
                self._reopen(found, name)
                if found
                else self._create(experiment_id, key, name, {**tags, **above})
            )
            if not parent_id:
                self._start_monitor(run_id)
            return run_id

    def find_run(self, key: str) -> str:
        """Return the id of the run with this key, of any kind, or an empty string."""
        with plain_errors(self._uri):
            found = self._find(key)
            return str(found.run_id) if found else ""

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Record settings. A parameter already recorded keeps its first value."""
        from mlflow.entities import Param

        with self._about(run_id):
            known = self._client.get_run(run_id).data.params
            given = {to_metric_name(name): str(value)[:6000] for name, value in params.items()}
            self._write_true_names(run_id, params)
            new = [Param(name, value) for name, value in given.items() if name not in known]
            for some in _in_parts(new, _PARAMS_AT_ONCE):
                self._client.log_batch(run_id, params=some)

    def params(self, run_id: str) -> Mapping[str, str]:
        """Return the settings that were recorded, as text. Raises NotFoundError."""
        with self._about(run_id):
            recorded: Mapping[str, str] = self._client.get_run(run_id).data.params
        return dict(recorded)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int) -> None:
        """Record figures at a training step."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        figures = [
            Metric(to_metric_name(name), float(value), now_ms, step) for name, value in metrics.items()
        ]
        with self._about(run_id):
            self._write_true_names(run_id, metrics)
            for some in _in_parts(figures, _METRICS_AT_ONCE):
                self._client.log_batch(run_id, metrics=some)

    def metric_history(self, run_id: str, name: str) -> tuple[tuple[int, float], ...]:
        """Return a figure's steps and values, by step; empty if there are none. Raises NotFoundError."""
        with self._about(run_id):
            found = self._client.get_metric_history(run_id, to_metric_name(name))
        latest = {int(one.step): float(one.value) for one in sorted(found, key=lambda one: one.timestamp)}
        return tuple(sorted(latest.items()))

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], path: str) -> None:
        """Record rows as a CSV (``....csv``) or JSON (``....json``) file, replacing an older one."""
        self.log_text(run_id, to_csv(rows) if path.endswith(".csv") else to_json(rows), path)

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Record a text, Markdown, HTML or JSON file, replacing an older one."""
        with self._about(run_id):
            self._client.log_text(run_id, text, path)

    def read_text(self, run_id: str, path: str) -> str:
        """Return a text that was recorded. Raises NotFoundError."""
        with plain_errors(self._uri, missing=f"run {run_id} has no {path}"), TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, path, folder)).read_bytes().decode()

    def log_picture(self, run_id: str, picture: NDArray[np.uint8], path: str) -> None:
        """Record a picture, uint8 (H, W, 3) RGB, as PNG."""
        with self._about(run_id):
            self._client.log_image(run_id, picture, artifact_file=path)

    def log_file(self, run_id: str, file: Path, folder: str) -> None:
        """Record a copy of a file below ``folder``."""
        with self._about(run_id):
            self._client.log_artifact(run_id, str(file), folder)

    def fetch_files(self, run_id: str, folder: str, directory: Path) -> Path:
        """Copy the files recorded directly below ``folder`` into a new folder, completely or not at all."""
        missing = f"run {run_id} has no files below {folder}"
        with (
            directory_written_atomically(directory) as beside,
            plain_errors(self._uri, missing=missing),
            TemporaryDirectory(dir=directory.parent) as downloaded,
        ):
            found = Path(self._client.download_artifacts(run_id, folder, downloaded))
            files = [file for file in sorted(found.iterdir()) if file.is_file()]
            if not files:
                raise NotFoundError(missing, where=without_password(self._uri))
            for file in files:
                shutil.move(file, beside / file.name)
        return directory

    def log_dataset(
        self,
        run_id: str,
        *,
        name: str,
        tag: str,
        fingerprint: str,
        dvc_md5: str,
        context: str,
        num_pictures: int,
    ) -> None:
        """Record which data version a run read, and for what (``training``, ``test``)."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"tag": tag, "fingerprint": fingerprint, "dvc_md5": dvc_md5})
        dataset = Dataset(
            name=name,
            digest=fingerprint[:36],  # MLflow keeps no more
            source_type="dvc",
            source=source,
            profile=json.dumps({"num_pictures": num_pictures}),
        )
        with self._about(run_id):
            self._client.log_inputs(
                run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
            )

    def close_run(self, run_id: str, status: Literal["finished", "failed"]) -> None:
        """Say that a run has ended."""
        if monitor := self._monitors.pop(run_id, None):
            monitor.finish()
        with self._about(run_id):
            self._client.set_terminated(run_id, status.upper())

    def route(self, run_id: str, path: str = "") -> str:
        """Return where a server shows a run or one of its files, from the server's address on: ``#/…``."""
        with self._about(run_id):
            run = f"#/experiments/{self._client.get_run(run_id).info.experiment_id}/runs/{run_id}"
        return f"{run}/artifacts/{quote(path)}{_AS_TRAINING}" if path else f"{run}{_AS_TRAINING}"

    def url(self, run_id: str, path: str = "") -> str:
        """Return the page of a run or of one of its files, or an empty string if no server is known."""
        return f"{self._server_url}/{self.route(run_id, path)}" if self._server_url else ""

    def version_url(self, version: str) -> str:
        """Return the page of a model version, or an empty string if no server is known."""
        if not self._server_url or not self._model_name:
            return ""
        return f"{self._server_url}/#/models/{self._model_name}/versions/{version}{_AS_TRAINING}"

    def _about(self, run_id: str) -> Any:
        return plain_errors(self._uri, missing=f"there is no run {run_id} in MLflow")

    def _find(self, key: str) -> RunInfo | None:
        from mlflow.entities import ViewType

        runs = self._client.search_runs(
            self._experiments.known(),
            f"tags.`{_KEY_TAG}` = '{_quotable(key)}'",
            run_view_type=ViewType.ALL,
            max_results=1,
            order_by=["start_time ASC"],
        )
        return runs[0].info if runs else None

    def _reopen(self, found: RunInfo, name: str) -> str:
        if found.lifecycle_stage == "deleted":
            _log.warning("the run %s was deleted in MLflow and is restored", found.run_name)
            self._client.restore_run(found.run_id)
        self._client.update_run(found.run_id, status="RUNNING", name=name)
        return str(found.run_id)

    def _create(self, experiment_id: str, key: str, name: str, tags: Mapping[str, str]) -> str:
        all_tags = {**tags, _KEY_TAG: _quotable(key)}
        return str(self._client.create_run(experiment_id, run_name=name, tags=all_tags).info.run_id)

    def _write_true_names(self, run_id: str, names: Iterable[str]) -> None:
        """Put the true names of those that MLflow does not take beside the run, once for each name."""
        changed = {given: name for name, given in translated(names).items()}
        known = self._true_names.get(run_id, {})
        if changed.keys() <= known.keys():
            return
        with suppress(NotFoundError):  # an earlier process of this run wrote some
            known = known | json.loads(self.read_text(run_id, NAMES_FILE))
        known = known | changed
        self._client.log_text(run_id, json.dumps(known, indent=1), NAMES_FILE)
        self._client.set_tag(run_id, _NAMES_TAG, f"{NAMES_FILE} has the true names of {len(known)} figures")
        self._true_names[run_id] = known

    def _start_monitor(self, run_id: str) -> None:
        if not self._system_metrics_every_s or run_id in self._monitors:
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitors[run_id] = SystemMetricsMonitor(
            run_id,
            sampling_interval=self._system_metrics_every_s,
            resume_logging=True,
            tracking_uri=self._uri,
        )
        self._monitors[run_id].start()


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as CSV with the keys of the first row as header.

    >>> to_csv([{"class": "nut", "iou": 0.8}])
    'class,iou\\nnut,0.8\\n'
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def to_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as a JSON list."""
    return json.dumps([dict(row) for row in rows], indent=1)


def _quotable(key: str) -> str:
    """MLflow's search has no way to escape a quote."""
    return key.replace("'", "_")


def _in_parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
