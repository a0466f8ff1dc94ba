"""What judging found is kept, so that the approval page can be written again without a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
from dataset.versions.difference import VersionDiff, compare_versions
from flows.evidence.evaluate import ModelOnPictures
from flows.evidence.examples import DrawnExample
from maskloop.errors import IntegrityError, MaskloopError, NotFoundError, StorageError
from maskloop.files import write_text
from maskloop.pages.embedded_pictures import embed_picture
from maskloop.records.kinds import CandidateRegistered, VerdictReached
from maskloop.settings.workspace_settings import GateSettings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from models.ports import Machine
from registry.evidence.diagnosis import diagnose
from registry.evidence.judged_evidence import (
    MAX_SIDE_PX,
    DataChange,
    JudgedEvidence,
    Latency,
    Panel,
    ShownPicture,
    class_rows,
    read_evidence,
    source_rows,
    summarise_change,
)
from registry.ports import RunTracker

FILE: Final = "evidence.json"
FOLDER: Final = "verdict"
PAGE_PATH: Final = "approval/evidence.html"
"""The approval page below the run's files in MLflow."""
_MAX_POINTS: Final = 200
_TRAINING_FIGURES: Final = {
    "training loss": "train/loss/total",
    "validation loss": "validation/loss/total",
    "validation IoU": "validation/mean_iou",
}
"""Words to the names under which trainings are recorded."""


def collect_evidence(
    verdict: VerdictReached,
    candidate: ModelOnPictures,
    champion: ModelOnPictures | None,
    examples: Sequence[DrawnExample],
    gates: GateSettings,
    *,
    seed: int,
    data: DataChange | None,
    training: Mapping[str, tuple[tuple[float, float], ...]],
    machine: str,
) -> JudgedEvidence:
    """Put together what the ledger does not hold about a verdict. Pure.

    Args:
        verdict: The evidence is about.
        candidate: On the test pictures.
        champion: On the same ones, if one serves.
        examples: Drawn for people.
        gates: The verdict was reached by.
        seed: Of the resampling.
        data: What changed in the data, if that is known.
        training: How the training went, by figure.
        machine: What the latencies were measured on.
    """
    new, old = candidate.evaluation.iou, champion.evaluation.iou if champion else None
    return JudgedEvidence(
        blessing_id=verdict.blessing_id,
        rows=class_rows(new, old, verdict.checks, gates, seed=seed),
        source_rows=source_rows(new, old, gates, seed=seed),
        confidence=gates.confidence,
        pictures=tuple(_show(example) for example in examples if example.panels),
        data=data,
        candidate=_latency(candidate),
        champion=_latency(champion) if champion else None,
        machine=machine,
        num_pictures=candidate.evaluation.num_pictures,
        gates=gates.model_dump(mode="json"),
        candidate_diagnosis=diagnose(candidate.evaluation),
        champion_diagnosis=diagnose(champion.evaluation) if champion else None,
        training=dict(training),
    )


def read_training(
    tracker: RunTracker, run_id: str, say: Callable[[str], None]
) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return how a training went, at most 200 steps of each figure; what cannot be had is left out."""
    found: dict[str, tuple[tuple[float, float], ...]] = {}
    for words, name in _TRAINING_FIGURES.items():
        try:
            history = tracker.metric_history(run_id, name)
        except MaskloopError as error:  # a picture that cannot be drawn must not hold up a verdict
            say(f"the curves of the training cannot be read: {error}")
            return found
        finite = [(float(step), value) for step, value in history if math.isfinite(value)]
        if finite:
            found[words] = thin_out(finite)
    return found


def thin_out(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Keep about evenly spaced points, both ends included, with six digits.

    >>> len(thin_out([(step, 0.5) for step in range(10_000)])), thin_out([(0.0, 1.0)])
    (200, ((0.0, 1.0),))
    """
    last, kept = len(points) - 1, min(len(points), _MAX_POINTS)
    chosen = dict.fromkeys(round(index * last / max(1, kept - 1)) for index in range(kept))
    return tuple((points[index][0], float(f"{points[index][1]:.6g}")) for index in chosen)


def keep_evidence(
    workspace: Workspace, tracker: RunTracker, registered: CandidateRegistered, evidence: JudgedEvidence
) -> None:
    """Keep it in the workspace and beside the run. Raises StorageError, UnavailableError."""
    text = evidence.to_json()
    write_text(workspace.verdict_dir(registered.version) / FILE, text)
    tracker.log_text(registered.run_id, text, f"{FOLDER}/{FILE}")


def find_evidence(workspace: Workspace, tracker: RunTracker, cycle: Cycle) -> JudgedEvidence | None:
    """Read what was kept about a cycle's verdict: here, else beside its run; None if it is gone.

    Raises:
        UnavailableError: if it is not here and MLflow does not answer.
    """
    if cycle.verdict is None or cycle.candidate is None:
        return None
    if found := read_kept(workspace, cycle):
        return found
    try:
        text = tracker.read_text(cycle.candidate.run_id, f"{FOLDER}/{FILE}")
    except (NotFoundError, StorageError):
        return None
    return _fitting(text, cycle.verdict)


def read_kept(workspace: Workspace, cycle: Cycle) -> JudgedEvidence | None:
    """Read what this workspace kept about a cycle's verdict; None if that is nothing."""
    if cycle.verdict is None:
        return None
    file = workspace.verdict_dir(cycle.verdict.candidate_version) / FILE
    return _fitting(file.read_text(encoding="utf-8"), cycle.verdict) if file.exists() else None


def compare_data(
    store: DatasetStore,
    state: LoopState,
    verdict: VerdictReached,
    version: DatasetVersion,
    say: Callable[[str], None],
) -> DataChange | None:
    """Count what changed from the champion's data to the candidate's; None if the champion's are unknown."""
    if not verdict.champion_digest:
        counts = {name: (0, count) for name, count in _count_instances(version).items()}
        everything = VersionDiff("", version.tag, version.pictures, (), (), counts)
        return summarise_change(everything, version.class_names)
    old_tag = state.data_of(verdict.champion_digest)
    if not old_tag:
        return None
    try:
        diff = compare_versions(store.open(old_tag), version)
    except MaskloopError as error:  # evidence that cannot be had must not hold up a verdict
        say(f"the data of the champion cannot be compared: {error}")
        return None
    return summarise_change(diff, version.class_names)


def _fitting(text: str, verdict: VerdictReached) -> JudgedEvidence | None:
    try:
        evidence = read_evidence(text)
    except IntegrityError:
        return None
    return evidence if evidence.blessing_id == verdict.blessing_id else None


def _show(example: DrawnExample) -> ShownPicture:
    panels = tuple(
        Panel(title, embed_picture(pixels, max_side_px=MAX_SIDE_PX)) for title, pixels in example.panels
    )
    return ShownPicture(example.caption, panels)


def _latency(model: ModelOnPictures) -> Latency:
    seconds = [prediction.seconds for prediction in model.predictions.values()]
    return Latency(float(np.percentile(seconds, 50) * 1000.0), model.latency_p95_ms)


def describe_machine(machine: Machine, device: str) -> str:
    """Say in words what models compute on if they may use ``device``."""
    found = machine.environment()
    on_gpu = device != "cpu" and found["gpu"] != "none"
    return found["gpu"] if on_gpu else f"CPU with {found['cpu']}, {found['threads']} threads"


def _count_instances(version: DatasetVersion) -> dict[str, int]:
    counts = dict.fromkeys(version.class_names, 0)
    for picture in version.pictures:
        for instance in picture.instances:
            counts[version.class_names[instance.class_index]] += not instance.is_crowd
    return counts
