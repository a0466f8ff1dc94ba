"""The champion's known sources of pictures, each a reference that production is compared with.

A champion retrained for a second camera knows two. Production from either camera alone is not drift, although
it differs from the two pooled. So each source with enough pictures is a reference of its own, beside the
pooled one, and a window has drifted only if it differs from every reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from maskloop.files import write_text
from maskloop.settings.workspace_settings import MonitoringSettings
from monitoring.drift.baseline import Baseline, load_baseline, save_baseline
from monitoring.drift.scenes import Scenes
from monitoring.drift.verdict import DriftVerdict, judge_drift
from monitoring.samples.windows import Window

POOLED: Final = "all sources"
_SOURCE_NAMES: Final = "sources.json"
_COMPLETE: Final = "complete"


@dataclass(frozen=True)
class ClosestReference:
    """The reference a window is most like, and the verdict against it.

    Attributes:
        name: Of the reference.
        baseline: The reference.
        verdict: Against it.
        newcomers_p_value: 0..1, of there being newcomers, the largest against any reference: exact if the
            window is like one of them. 1 where they are not drift against each.
    """

    name: str
    baseline: Baseline
    verdict: DriftVerdict
    newcomers_p_value: float = 1.0


def find_closest(
    references: Mapping[str, Baseline],
    window: Window,
    settings: MonitoringSettings,
    scenes: Scenes,
    *,
    seed: int = 0,
) -> ClosestReference:
    """Judge a window against every reference and keep the mildest verdict that says something.

    Asking several references can only make an alarm rarer, so the false-alarm rate holds. A quiet verdict
    against any of them is quiet; otherwise one that may be a place stays inconclusive, and so does an
    inconclusive one against the pooled reference; otherwise the drift against the reference with the fewest
    drifted signals is reported.

    Args:
        references: By source name, with the pooled one under `POOLED`.
        window: Of the champion's newest samples.
        settings: Thresholds.
        scenes: Of the window.
        seed: For permutations.
    """
    judged = [
        ClosestReference(name, baseline, judge_drift(baseline, window, settings, seed=seed, scenes=scenes))
        for name, baseline in references.items()
    ]
    quiet = [closest for closest in judged if closest.verdict.outcome == "quiet"]
    if quiet:
        return min(quiet, key=lambda closest: closest.verdict.num_drifted)
    doubtful = [closest for closest in judged if closest.verdict.may_be_place]
    if doubtful:
        return min(doubtful, key=lambda closest: closest.verdict.num_drifted)
    pooled = next(closest for closest in judged if closest.name == POOLED)
    drifted = [closest for closest in judged if closest.verdict.outcome == "drift"]
    if pooled.verdict.outcome == "inconclusive" or not drifted:
        return pooled
    mildest = min(drifted, key=lambda closest: closest.verdict.num_drifted)
    return replace(mildest, newcomers_p_value=max(_newcomers_p_value(one.verdict) for one in judged))


def _newcomers_p_value(verdict: DriftVerdict) -> float:
    found = verdict.newcomers
    return found.surer_p_value if found and found.drifted else 1.0


def save_references(directory: Path, references: Mapping[str, Baseline]) -> None:
    """Write a champion's references into a folder of their own. Raises StorageError."""
    files_of = {name: f"{number:04d}.npz" for number, name in enumerate(references)}
    write_text(directory / _SOURCE_NAMES, json.dumps({file: name for name, file in files_of.items()}))
    for name, baseline in references.items():
        save_baseline(baseline, directory / files_of[name])
    (directory / _COMPLETE).touch()


def load_references(directory: Path) -> Mapping[str, Baseline]:
    """Read a champion's references by source name; none if they were not all written yet.

    Raises:
        ConfigurationError: if a newer maskloop has written one.
        IntegrityError: if one is damaged.
    """
    if not (directory / _COMPLETE).exists():
        return {}
    names = _read_source_names(directory)
    return {
        names.get(file.name) or _name_of(file): load_baseline(file)
        for file in sorted(directory.glob("*.npz"))
    }


def _read_source_names(directory: Path) -> Mapping[str, str]:
    """Return the source behind each file: a source may be called what no file can be."""
    file = directory / _SOURCE_NAMES
    names: Mapping[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return names


def _name_of(file: Path) -> str:
    """Return the source of a file written before its name was kept beside it."""
    return file.stem.partition(" ")[2]
