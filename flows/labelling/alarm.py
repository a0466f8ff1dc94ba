"""What the choice of pictures to label needs of the record: the alarm, and how the classes stand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
from flows.evidence.iou_by_source import has_iou_rows, read_iou_rows
from flows.evidence.reference_pictures import count_known_sources
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from monitoring.drift.baseline import Baseline
from monitoring.drift.references import POOLED, load_references
from monitoring.drift.sources import JudgedSources, judge_window
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.windows import WINDOW_FILE, Window
from monitoring.selection.carriers import find_carriers_of
from monitoring.selection.class_need import ClassNeed, rate_classes
from monitoring.signals.feature_signal import FeatureSignal


@dataclass(frozen=True)
class Alarm:
    """The newest drift verdict about the champion.

    Attributes:
        baseline: What production was compared with; without pictures if the monitor has measured none yet.
        signals: Of the verdict; empty if production has not drifted.
        window_id: Of the drifted window; empty without one.
        cause: In plain words; empty if production has not drifted.
        carried: The percentage of the alarm that each picture carries, of those that carry most of it, by
            digest.
    """

    baseline: Baseline
    signals: tuple[FeatureSignal, ...] = ()
    window_id: str = ""
    cause: str = ""
    carried: Mapping[str, float] = field(default_factory=dict)


def read_alarm(
    state: LoopState, weights_digest: str, samples: SampleLog, data: DatasetStore, workspace: Workspace
) -> Alarm:
    """Judge the newest recorded window again, which is cheap, to learn which features drifted and how far.

    Args:
        state: Of the loop.
        weights_digest: Of the champion.
        samples: Hold the window's samples.
        data: Holds the champion's data version, which says what sources it knows.
        workspace: Holds the champion's references and the window's page.
    """
    references = load_references(workspace.baseline_dir(weights_digest))
    if not references:
        return Alarm(Baseline(weights_digest, "", (), np.zeros((0, 0)), np.zeros((0, 0), np.float32)))
    drift = state.last_drift[1] if state.last_drift else None
    quiet = Alarm(references[POOLED])
    if drift is None or drift.outcome != "drift" or drift.weights_digest != weights_digest:
        return quiet
    file = (workspace.root / drift.report).with_name(WINDOW_FILE)
    ids = json.loads(file.read_text()) if file.exists() else []
    window = Window(weights_digest, tuple(one for name in ids if (one := samples.get(name))))
    settings = workspace.settings.monitoring
    known = count_known_sources(data.open(state.data_of(weights_digest)), settings.min_window_samples)
    found = judge_window(references, window, settings, known=known)
    closest = found.deciding
    if closest.verdict.outcome != "drift":  # most of its samples are forgotten
        return quiet
    return Alarm(
        closest.baseline,
        closest.verdict.carrying,
        drift.window_id,
        f"drift: {drift.reason}",
        _tell_carried(found, window),
    )


def _tell_carried(found: JudgedSources, window: Window) -> dict[str, float]:
    carriers = find_carriers_of(found, window)
    digests = {sample.sample_id: sample.picture_digest for sample in window.samples}
    carried: defaultdict[str, float] = defaultdict(float)  # of a picture that came twice the parts are added
    for one in carriers.samples if carriers else ():
        carried[digests[one.sample_id]] += one.percent
    return dict(carried)


def rate_needs(
    version: DatasetVersion | None, workspace: Workspace, champion_version: str
) -> dict[str, ClassNeed]:
    """Return how much more labels each class needs, by its labelled instances and its IoU at the gates."""
    if version is None:
        return {}
    labelled = Counter(
        version.class_names[instance.class_index]
        for picture in version.pictures
        for instance in picture.instances
        if not instance.is_crowd
    )
    rows = read_iou_rows(workspace, champion_version) if has_iou_rows(workspace, champion_version) else []
    return rate_classes({name: labelled[name] for name in version.class_names}, mean_iou(rows))


def mean_iou(rows: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Return the mask IoU of the candidate by class, over all sources, weighted by instances.

    Args:
        rows: Of `flows.evidence.iou_by_source.iou_rows`.
    """
    total: dict[str, float] = {}
    weight: dict[str, int] = {}
    for row in rows:
        name, instances, iou = str(row["class"]), row["instances"], row["candidate"]
        if isinstance(iou, float) and isinstance(instances, int) and instances:
            total[name] = total.get(name, 0.0) + instances * iou
            weight[name] = weight.get(name, 0) + instances
    return {name: total[name] / weight[name] for name in total}
