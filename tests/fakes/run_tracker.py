"""A run tracker in memory, which can also be offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskloop.errors import NotFoundError, UnavailableError
from maskloop.files import directory_written_atomically
from registry.mlflow_adapter.tracker import to_csv, to_json
from registry.ports import RunKind


@dataclass
class FakeRun:
    name: str
    tags: dict[str, str]
    kind: RunKind = "training"
    parent_id: str = ""
    status: str = "running"
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    datasets: list[dict[str, Any]] = field(default_factory=list)


class FakeRunTracker:
    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.is_offline = False
        self.server_url = ""

    def open_run(
        self,
        key: str,
        *,
        name: str,
        tags: Mapping[str, str],
        kind: RunKind = "training",
        parent_id: str = "",
    ) -> str:
        self._answer()
        run_id = f"run-{key}"
        run = self.runs.setdefault(run_id, FakeRun(name, dict(tags), kind, parent_id))
        run.status, run.name = "running", name
        return run_id

    def find_run(self, key: str) -> str:
        self._answer()
        return f"run-{key}" if f"run-{key}" in self.runs else ""

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        known = self._run(run_id).params
        known.update({name: str(value) for name, value in params.items() if name not in known})

    def params(self, run_id: str) -> Mapping[str, str]:
        return dict(self._run(run_id).params)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int) -> None:
        for name, value in metrics.items():
            self._run(run_id).metrics.setdefault(name, []).append((step, float(value)))

    def metric_history(self, run_id: str, name: str) -> tuple[tuple[int, float], ...]:
        return tuple(sorted(dict(self._run(run_id).metrics.get(name, [])).items()))

    def log_table(self, run_id: str, rows: Sequence[Mapping[str, Any]], path: str) -> None:
        self.log_text(run_id, to_csv(rows) if path.endswith(".csv") else to_json(rows), path)

    def log_text(self, run_id: str, text: str, path: str) -> None:
        self._run(run_id).files[path] = text.encode()

    def read_text(self, run_id: str, path: str) -> str:
        files = self._run(run_id).files
        if path not in files:
            raise NotFoundError(f"run {run_id} has no {path}")
        return files[path].decode()

    def log_picture(self, run_id: str, picture: NDArray[np.uint8], path: str) -> None:
        self._run(run_id).pictures[path] = picture.copy()

    def log_file(self, run_id: str, file: Path, folder: str) -> None:
        self._run(run_id).files[str(PurePosixPath(folder) / file.name)] = file.read_bytes()

    def fetch_files(self, run_id: str, folder: str, directory: Path) -> Path:
        files = self._run(run_id).files
        found = {
            PurePosixPath(path).name: path for path in files if str(PurePosixPath(path).parent) == folder
        }
        if not found:
            raise NotFoundError(f"run {run_id} has no files below {folder}")
        with directory_written_atomically(directory) as beside:
            for name, path in found.items():
                (beside / name).write_bytes(files[path])
        return directory

    def log_dataset(self, run_id: str, **dataset: Any) -> None:
        self._run(run_id).datasets.append(dataset)

    def close_run(self, run_id: str, status: Literal["finished", "failed"]) -> None:
        self._run(run_id).status = status

    def route(self, run_id: str, path: str = "") -> str:
        file = f"/artifacts/{path}" if path else ""
        return f"#/experiments/0/runs/{run_id}{file}?workflowType=machine_learning"

    def url(self, run_id: str, path: str = "") -> str:
        return f"{self.server_url}/{self.route(run_id, path)}" if self.server_url else ""

    def version_url(self, version: str) -> str:
        return ""

    def _answer(self) -> None:
        if self.is_offline:
            raise UnavailableError("the tracker does not answer")

    def _run(self, run_id: str) -> FakeRun:
        self._answer()
        if run_id not in self.runs:
            raise NotFoundError(f"there is no run {run_id}")
        return self.runs[run_id]
