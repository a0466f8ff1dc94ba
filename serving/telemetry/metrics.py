"""The service's metrics for Prometheus.

Each of several workers writes its metrics into files of one folder (prometheus_client's multiprocess mode),
and any worker answers for all. Counters of a dead worker stay; its gauges, such as the queue length, are
removed. Label values are classes, versions and our own short names, never client input.

Each served model has a page of its own, with the same rows: so every rule and dashboard holds for each model
by itself, whose page is a job of its own for Prometheus. Where they are kept, rows have a label that tells
models apart; pages do not show it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from evaluation.instances import ScoreThreshold
from maskloop.state.loop_state import LoopState
from monitoring.slo.label_quality import QualityBudget
from serving.answers import Answer, HostedModel, Role, Wanted
from serving.observing import EngineTrouble, Judgement, MirrorOutcome, Stage
from serving.telemetry.gpu import GpuFigures
from serving.telemetry.loop_figures import LoopFigures

_log = logging.getLogger("maskloop.serving")
_Rows = TypeVar("_Rows", Counter, Gauge, Histogram)
_Metric = Counter | Gauge | Histogram
_MODEL: Final = "model"
_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_KEPT_VERSIONS: Final = 5
"""Figures of versions that served longer ago are let go, or a service that runs for years grows."""
LATENCY_BOUNDS_S: Final = (
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.12,
    0.18,
    0.25,
    0.4,
    0.6,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_SCORES: Final = tuple(number / 10 for number in range(1, 11))
_NO_FIGURES: Final = b"# TYPE maskloop_figures_unreadable gauge\nmaskloop_figures_unreadable 1.0\n"


def share_figures(folder: Path) -> None:
    """Make workers that start later share their figures in ``folder``, which is emptied.

    For the process that starts several workers. The folder should be in memory: a full disk under a memory
    map kills the writing process.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[_FOLDER_VARIABLE] = str(folder)


class Metrics:
    """Fulfils `serving.observing.Observer`. One for each process.

    Args:
        model_name: The registered model's name.
        name: Under which it is served; tells its rows apart from those of other models of the process.
    """

    def __init__(self, model_name: str, name: str = "") -> None:
        folder = os.environ.get(_FOLDER_VARIABLE)
        self._folder = Path(folder) if folder else None
        self._loop, self._versions, self._is_unreadable = LoopFigures(model_name), tuple[str, ...](), False
        self._served, self._engines = set[tuple[str, ...]](), set[tuple[str, ...]]()
        self._rows: dict[tuple[_Metric, tuple[str, ...]], _Metric] = {}
        self._registry, self._kept, self._name = CollectorRegistry(), CollectorRegistry(), name or model_name
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            MultiProcessCollector(self._kept, path=str(self._folder))  # type: ignore[no-untyped-call]
            self._registry.register(_WorkerProcesses(self._folder))
        else:
            ProcessCollector(registry=self._registry)
        self._registry.register(_RowsOf(self._name, self._kept))
        self._registry.register(GpuFigures())
        self._registry.register(self._loop)
        self._add_request_figures()
        self._add_model_figures()
        self._add_memory_figures()
        self._add_sample_figures()

    def _add_request_figures(self) -> None:
        self._requests = self._counter("requests", "Requests answered.", "status", "cause", "version")
        self._request_s = self._histogram(
            "request_seconds", "From arrival to answer.", LATENCY_BOUNDS_S, "version"
        )
        self._stage_s = self._histogram(
            "stage_seconds", "Time in a stage.", LATENCY_BOUNDS_S, "stage", "version"
        )
        self._in_flight = self._gauge("in_flight", "Requests that are not answered yet.", "livesum")
        self._queue_length = self._gauge("queue_length", "Pictures that wait for the model.", "livesum")
        self._queue_wait_s = self._gauge("queue_wait_seconds", "What a new picture would wait.", "livemax")
        self._mirrored = self._counter("mirrored", "Pictures meant for both models.", "outcome")

    def _add_model_figures(self) -> None:
        self._detections = self._counter(
            "detections", "Instances told to clients.", "class_name", "version", "role"
        )
        self._score = self._histogram("detection_score", "Scores of those.", _SCORES, "class_name", "version")
        self._strange = self._counter(
            "out_of_distribution", "Answers about pictures unlike those the model was trained on.", "version"
        )
        self._batch_size = self._histogram("batch_size", "Pictures in a pass.", _SIZES, "role", "version")
        self._batch_s = self._histogram(
            "batch_seconds", "Time of a pass.", LATENCY_BOUNDS_S, "role", "version"
        )
        self._serving = self._gauge(
            "serving_info", "1: in service.", "livemax", "role", "version", "weights_digest"
        )
        self._engine = self._gauge(
            "engine_info", "1: runs the model's networks.", "livemax", "role", "version", "engine"
        )
        self._engine_failures = self._counter(
            "engine_failures", "Engines that may not, or could not, answer as torch.", "engine", "trouble"
        )
        self._feedback = self._counter("feedback", "Answers people judged.", "verdict", "version")

    def _add_memory_figures(self) -> None:
        self._memory_bytes = self._gauge(
            "model_memory_bytes", "Counted against the memory for models; 0: it is not loaded.", "livesum"
        )
        self._load_s = self._histogram("model_load_seconds", "Time of a load.", LATENCY_BOUNDS_S)
        self._unloads = self._counter("model_unloads", "Times that the model made room for others.")

    def _add_sample_figures(self) -> None:
        self._samples = self._counter("samples", "Answers offered as samples.", "outcome")
        self._samples_waiting = self._gauge("samples_waiting", "Samples not written yet.", "livesum")
        self._samples_oldest_s = self._gauge("samples_oldest_seconds", "Age of the oldest.", "livemax")

    def render(self) -> tuple[bytes, str]:
        """Return the page for Prometheus and its content type. Never raises; errors are logged and shown."""
        try:
            if self._folder:
                forget_dead_workers(self._folder)
            page = generate_latest(self._registry)
        except Exception:  # noqa: BLE001 - a service that answers is worth more than figures about it
            if not self._is_unreadable:
                _log.exception("the figures cannot be read")
            self._is_unreadable = True
            return _NO_FIGURES, CONTENT_TYPE_LATEST
        self._is_unreadable = False
        return page, CONTENT_TYPE_LATEST

    def show_loop(self, state: LoopState, quality: Sequence[QualityBudget] = ()) -> None:
        """Show from now on what the ledger says: rollout, drift, and how good the champion is."""
        self._loop.show(state, quality)

    def requests_in_flight(self, number: int) -> None:
        """Show how many requests are not answered yet."""
        self._row(self._in_flight).set(number)

    def request_ended(self, *, status: int, cause: str, version: str, seconds: float) -> None:
        """Count an answer and its time."""
        version = self._known(version)
        self._row(self._requests, str(status), cause, version).inc()
        self._row(self._request_s, version).observe(seconds)

    def stage_ended(self, stage: Stage, *, version: str, seconds: float) -> None:
        """Count a stage's time."""
        self._row(self._stage_s, stage, self._known(version)).observe(seconds)

    def answered(self, answer: Answer, *, score_threshold: ScoreThreshold) -> None:
        """Count what was found, at or above the threshold, by class; and strange pictures."""
        model, found = answer.model, answer.prediction.detections
        version, names = self._known(model.served.version), model.predictor.class_names
        if answer.novelty is not None and answer.novelty.is_out_of_distribution:
            self._row(self._strange, version).inc()
        is_sure = found.reach(score_threshold)
        indices, scores = found.class_indices[is_sure], found.scores[is_sure]
        for index, score in zip(indices.tolist(), scores.tolist(), strict=True):
            self._row(self._detections, names[index], version, model.role).inc()
            self._row(self._score, names[index], version).observe(score)

    def batch_ended(self, *, role: Role, version: str, size: int, seconds: float) -> None:
        """Count a pass of a model."""
        version = self._known(version)
        self._row(self._batch_size, role, version).observe(size)
        self._row(self._batch_s, role, version).observe(seconds)

    def queue_changed(self, *, length: int, waiting_s: float) -> None:
        """Show the queue."""
        self._row(self._queue_length).set(length)
        self._row(self._queue_wait_s).set(waiting_s)

    def mirrored(self, outcome: MirrorOutcome) -> None:
        """Count a picture meant for both models."""
        self._row(self._mirrored, outcome).inc()

    def serving_changed(self, wanted: Wanted) -> None:
        """Show who serves now."""
        champion, challenger = wanted.champion, wanted.challenger
        now: set[tuple[str, ...]] = {("champion", champion.version, champion.weights_digest)}
        if challenger:
            now.add(("challenger", challenger.version, challenger.weights_digest))
        self._served = self._show_only(self._serving, now, before=self._served)
        self._remember_versions([version for _, version, _ in now])

    def engines_changed(self, models: Sequence[HostedModel]) -> None:
        """Show what runs the models."""
        now: set[tuple[str, ...]] = {(one.role, one.served.version, one.engine.name) for one in models}
        self._engines = self._show_only(self._engine, now, before=self._engines)

    def engine_failed(self, engine: str, trouble: EngineTrouble) -> None:
        """Count an engine that is not used."""
        self._row(self._engine_failures, engine, trouble).inc()

    def loaded(self, *, seconds: float) -> None:
        """Count a load and its time."""
        self._row(self._load_s).observe(seconds)

    def unloaded(self) -> None:
        """Count that the model made room."""
        self._row(self._unloads).inc()

    def memory_changed(self, num_bytes: int) -> None:
        """Show how much memory the model is counted with."""
        self._row(self._memory_bytes).set(num_bytes)

    def sampled(self, outcome: str) -> None:
        """Count what became of an answer as a sample."""
        self._row(self._samples, outcome).inc()

    def sample_log_lagged(self, *, waiting: int, oldest_s: float) -> None:
        """Show how far the sample log is behind."""
        self._row(self._samples_waiting).set(waiting)
        self._row(self._samples_oldest_s).set(oldest_s)

    def feedback_given(self, verdict: Judgement, *, version: str) -> None:
        """Count what a person said."""
        self._row(self._feedback, verdict, version).inc()

    def _show_only(
        self, gauge: Gauge, now: set[tuple[str, ...]], *, before: set[tuple[str, ...]]
    ) -> set[tuple[str, ...]]:
        """Set the rows of these labels to 1, and no others; return them."""
        for gone in before - now:
            gauge.labels(self._name, *gone).set(0)
            if not self._folder:  # rows cannot be taken out of shared files
                gauge.remove(self._name, *gone)
        for row in now:
            gauge.labels(self._name, *row).set(1)
        return now

    def _known(self, version: str) -> str:
        """Return the version if it was in service here; other versions share one row."""
        return version if version in self._versions else ""

    def _remember_versions(self, versions: Sequence[str]) -> None:
        newest_last = [*(known for known in self._versions if known not in versions), *versions]
        self._versions = tuple(newest_last[-_KEPT_VERSIONS:])
        if not self._folder:
            for version in newest_last[:-_KEPT_VERSIONS]:
                self._forget(version)

    def _row(self, metric: _Rows, *labels: str) -> _Rows:
        """Return the metric's row of these labels, which the library looks up several times as slowly."""
        row = self._rows.get((metric, labels))
        if row is None:
            row = self._rows[metric, labels] = metric.labels(self._name, *labels)
        return cast("_Rows", row)

    def _forget(self, version: str) -> None:
        self._rows.clear()
        by_version: tuple[Counter | Histogram, ...] = (
            self._requests,
            self._request_s,
            self._stage_s,
            self._detections,
            self._score,
            self._strange,
            self._batch_size,
            self._batch_s,
            self._feedback,
        )
        for metric in by_version:
            metric.remove_by_labels({"version": version})

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"maskloop_{name}", documentation, (_MODEL, *labels), registry=self._own_registry)

    def _gauge(self, name: str, documentation: str, over_workers: Any, *labels: str) -> Gauge:
        gauge = Gauge(
            f"maskloop_{name}",
            documentation,
            (_MODEL, *labels),
            registry=self._own_registry,
            multiprocess_mode=over_workers,
        )
        if not labels:
            self._row(gauge).set(0)
        return gauge

    def _histogram(self, name: str, documentation: str, buckets: Iterable[float], *labels: str) -> Histogram:
        names = (_MODEL, *labels)
        return Histogram(
            f"maskloop_{name}", documentation, names, registry=self._own_registry, buckets=tuple(buckets)
        )

    @property
    def _own_registry(self) -> Any:
        """Shared figures are read from their files, so they must not be reported twice."""
        return None if self._folder else self._kept


def find_workers(folder: Path) -> set[int]:
    """Return the process ids that have put figures into a folder, dead ones included."""
    ids = {file.stem.rpartition("_")[2] for file in folder.glob("*.db")}
    return {int(number) for number in ids if number.isdigit()}


def forget_dead_workers(folder: Path) -> None:
    """Take out what dead workers said about their present: queues, and what they served."""
    for number in find_workers(folder):
        if not psutil.pid_exists(number):
            with suppress(FileNotFoundError):  # another worker was quicker
                mark_process_dead(number, path=str(folder))  # type: ignore[no-untyped-call]


class _RowsOf(Collector):
    """The rows of one model, without the label that says so."""

    def __init__(self, name: str, kept: CollectorRegistry) -> None:
        self._name, self._kept = name, kept

    def collect(self) -> Iterable[Metric]:
        for family in self._kept.collect():
            own = Metric(family.name, family.documentation, family.type)
            for sample in family.samples:
                if sample.labels.get(_MODEL) == self._name:
                    labels = {name: value for name, value in sample.labels.items() if name != _MODEL}
                    own.samples.append(sample._replace(labels=labels))
            yield own


class _WorkerProcesses(Collector):
    """Memory, processor time and open files of each living worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for number in sorted(find_workers(self._folder)):
            pid = str(number)
            for family in ProcessCollector(pid=pid.__str__, registry=None).collect():
                blank = Metric(family.name, family.documentation, family.type)
                merged = families.setdefault(family.name, blank)
                for sample in family.samples:
                    merged.add_sample(sample.name, {**sample.labels, "pid": pid}, sample.value)
        return families.values()
