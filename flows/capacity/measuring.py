"""What one replica can do, from the workspace's own records and files; else from docs/results.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from flows.capacity.demand import Figures, Known
from flows.metrics.figure import Gathered
from flows.metrics.gathering import add_champion
from flows.workspace.wiring import App
from maskloop.workspace import Workspace
from serving.telemetry.reading import ServiceFigures, quantile_s

_RESULTS: Final = "docs/results.md, machine B, 2 cores"
DEFAULTS: Final = Figures(
    pictures_per_s=Known(24.2, f"{_RESULTS}: photographs of 512 px, 8 clients"),
    p95_ms=Known(58.0, f"{_RESULTS}: 1.5 times the median of a photograph of 512 px"),
    picture_bytes=Known(200_000.0, "assumed: a photograph of 512 px as JPEG or PNG"),
    sample_bytes=Known(3_900.0, "docs/results.md: the demo's workspace, 4 classes"),
    version_bytes=Known(20_000_000.0, "docs/results.md: the demo's workspace, 4 MB of weights"),
)
_OF_THE_BARE_MODEL: Final = 0.8
"""What a service with one worker reaches at least of the model alone: docs/results.md, Serving."""
_ENOUGH_SAMPLES, _ENOUGH_ANSWERS, _MOST_FILES = 100, 100, 2_000


def measure_figures(app: App, service: ServiceFigures | None = None) -> Figures:
    """Return the figures of a workspace.

    Args:
        app: The workspace.
        service: What its service has counted, if one answers.
    """
    found = Gathered(now=app.clock.now(), settings=app.settings, service=service)
    state = app.state()
    found = add_champion(found, app.ledger, state, app.workspace)
    figures = DEFAULTS
    if found.evidence:
        figures = _from_evidence(figures, found)
    if service:
        figures = _from_service(figures, service)
    num_samples = app.samples.counts().received
    return _from_files(figures, app.workspace, num_versions=len(state.candidates), num_samples=num_samples)


def _from_evidence(figures: Figures, found: Gathered) -> Figures:
    """Judging timed the model alone, picture by picture, on the machine that judged."""
    candidate = found.evidence.candidate if found.evidence else None
    if candidate is None or not candidate.p50_ms:
        return figures
    source = f"judging of version {found.champion}, one picture at a time"
    per_s = _OF_THE_BARE_MODEL * 1000.0 / candidate.p50_ms
    return replace(
        figures,
        pictures_per_s=Known(per_s, f"{source}, times {_OF_THE_BARE_MODEL:g} for the service"),
        p95_ms=Known(candidate.p95_ms, source, is_measured_here=True),
    )


def _from_service(figures: Figures, service: ServiceFigures) -> Figures:
    """The service's own answers say more than the model alone: they hold decoding and what clients send."""
    buckets = service.latency_s.get(service.champion, ())
    p95_s = quantile_s(buckets, 0.95) if buckets and buckets[-1][1] >= _ENOUGH_ANSWERS else None
    if p95_s is None:
        return figures
    source = f"the service's /metrics, version {service.champion}; it holds the waits of its load"
    return replace(figures, p95_ms=Known(1000.0 * p95_s, source, is_measured_here=True))


def _from_files(figures: Figures, workspace: Workspace, *, num_versions: int, num_samples: int) -> Figures:
    pictures = _sizes(workspace.samples_dir / "pictures") or _sizes(workspace.data_dir)
    if pictures:
        mean = sum(pictures) / len(pictures)
        figures = replace(figures, picture_bytes=Known(mean, f"{len(pictures)} pictures here", True))
    artifacts = sum(_sizes(workspace.mlflow_dir / "artifacts", most=None))
    if num_versions and artifacts:
        source = f"MLflow's files of {num_versions} versions here"
        figures = replace(figures, version_bytes=Known(artifacts / num_versions, source, True))
    database = workspace.samples_dir / "samples.db"
    if num_samples >= _ENOUGH_SAMPLES and database.is_file():
        source = f"{num_samples} samples here"
        figures = replace(figures, sample_bytes=Known(database.stat().st_size / num_samples, source, True))
    return figures


def _sizes(folder: Path, *, most: int | None = _MOST_FILES) -> list[int]:
    """Return the sizes of files below a folder in bytes; of pictures the first ones do."""
    sizes: list[int] = []
    for file in _files(folder):
        sizes.append(file.stat().st_size)
        if most is not None and len(sizes) >= most:
            break
    return sizes


def _files(folder: Path) -> Iterable[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
