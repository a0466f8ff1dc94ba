"""The debug view: one version or one cycle with everything that is known about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flows.evidence.judged import find_evidence, read_kept, read_training
from flows.pages.status import tell_history
from flows.views.gathered import Gathered
from flows.views.history import DriftWindow
from flows.views.on_call import CycleLine, divide
from maskloop.errors import MaskloopError, NotFoundError
from maskloop.folding.history import recall_cycles, recall_version
from maskloop.ledger.port import Finder, Ledger
from maskloop.records.kinds import VerdictReached
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from monitoring.samples.windows import WINDOW_FILE
from registry.champion.lineage import Fact, lineage
from registry.evidence.charts import Point
from registry.evidence.judged_evidence import JudgedEvidence
from registry.ports import RunTracker

MAX_ENTRIES: Final = 100
MAX_WINDOWS: Final = 20
MAX_SAMPLES: Final = 6


@dataclass(frozen=True)
class WindowSamples:
    """The samples of a judged window, as they are kept beside its page.

    Attributes:
        window_id: Of the window.
        num_samples: All of them; 0 if they still wait for more scenes, or if nothing was kept.
        first_ids: Some ids, the last to arrive first.
    """

    window_id: str
    num_samples: int
    first_ids: tuple[str, ...]


@dataclass(frozen=True)
class Debug:
    """Everything that the page says.

    Attributes:
        subject: Which version or cycle this is, and why it is shown.
        version: Of the registered model; empty for a cycle without a candidate.
        cycle: What was recorded about it; None if there is no cycle yet.
        line: Its stages; None if there is no cycle yet.
        facts: Where the version comes from and what became of it.
        verdict: The newest one; None before it.
        evidence: What judging kept; None if there is none.
        training: How the training went, by figure: step and value.
        windows: Drift verdicts about the version, newest first.
        samples: Of those windows, by window.
        entries: The cycle's entries of the ledger, newest first.
        others: Versions that can be shown instead, the newest first.
        missing: What could not be read.
    """

    subject: str
    version: str
    cycle: Cycle | None = None
    line: CycleLine | None = None
    facts: tuple[Fact, ...] = ()
    verdict: VerdictReached | None = None
    evidence: JudgedEvidence | None = None
    training: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    windows: tuple[DriftWindow, ...] = ()
    samples: Mapping[str, WindowSamples] = field(default_factory=dict)
    entries: tuple[Mapping[str, Any], ...] = ()
    others: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def without_pictures(self) -> Debug:
        """Return the same without the bytes of pictures; their captions stay."""
        if self.evidence is None:
            return self
        pictures = tuple(replace(one, panels=()) for one in self.evidence.pictures)
        return replace(self, evidence=replace(self.evidence, pictures=pictures))


def gather_debug(
    ledger: Ledger,
    workspace: Workspace,
    open_tracker: Callable[[], RunTracker],
    found: Gathered,
    *,
    version: str = "",
    cycle: str = "",
) -> Debug:
    """Gather what is known about a version or a cycle; by default of what serves, else of the newest.

    Args:
        ledger: The ledger with its history.
        workspace: The workspace with the evidence that it kept.
        open_tracker: Opens the training runs, where this workspace kept nothing.
        found: The facts that all views share.
        version: Of the registered model.
        cycle: Of the loop; not together with ``version``.

    Raises:
        NotFoundError: if there is no such version or cycle.
    """
    state = found.state
    shown, subject = choose_cycle(ledger, state, version=version, cycle=cycle)
    others = tuple(one.version for one in reversed(found.history.newest_verdicts))
    if shown is None:
        return Debug(subject, "", others=others, missing=found.missing)
    name = shown.candidate.version if shown.candidate else ""
    weights = shown.candidate.weights_digest if shown.candidate else ""
    missing = list(found.missing)
    evidence = read_kept(workspace, shown)
    if evidence is None:
        evidence, training = _ask_mlflow(workspace, open_tracker, shown, missing)
    else:
        training = evidence.training
    windows = tuple(one for one in reversed(found.history.windows) if weights == one.weights_digest)
    times = next((one for one in found.history.cycles if one.id == shown.id), None)
    return Debug(
        subject=subject,
        version=name,
        cycle=shown,
        line=divide(times, found.now) if times else None,
        facts=lineage(recall_version(ledger, state, name), name) if name else (),
        verdict=shown.verdict,
        evidence=evidence,
        training=training,
        windows=windows,
        samples={one.judged.window_id: read_samples(workspace, one) for one in windows[:MAX_WINDOWS]},
        entries=tuple(tell_history(ledger, cycle=shown.id, newest=MAX_ENTRIES)[::-1]),
        others=tuple(one for one in others if one != name),
        missing=tuple(missing),
    )


def choose_cycle(
    ledger: Ledger, state: LoopState, *, version: str = "", cycle: str = ""
) -> tuple[Cycle | None, str]:
    """Return the cycle to show, with the words for it; None before the first one.

    Raises:
        NotFoundError: if there is no such version or cycle.
    """
    if cycle:
        return _recall_cycle(ledger, state, cycle), cycle
    if version:
        if state.candidate_of(version) is None:
            raise NotFoundError(
                f"there is no version {version}", hint="`maskloop history` shows all versions"
            )
        serves = ", which serves" if state.champion and state.champion.version == version else ""
        return _cycle_of(ledger, state, version), f"version {version}{serves}"
    if state.champion:
        return _cycle_of(
            ledger, state, state.champion.version
        ), f"version {state.champion.version}, which serves"
    if state.candidates:
        newest = next(reversed(state.candidates.values())).version
        return _cycle_of(ledger, state, newest), f"version {newest}, the newest; nothing serves yet"
    if state.newest_cycle:
        return state.newest_cycle, f"{state.newest_cycle.id}, the newest; there is no version yet"
    return None, "nothing was trained yet"


def read_samples(workspace: Workspace, window: DriftWindow) -> WindowSamples:
    """Return the samples of a window that were written down beside its page."""
    file = (workspace.root / window.judged.report).with_name(WINDOW_FILE)
    try:
        ids = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the page was deleted, or never finished
        ids = []
    return WindowSamples(window.judged.window_id, len(ids), tuple(ids[:MAX_SAMPLES]))


def _cycle_of(ledger: Ledger, state: LoopState, version: str) -> Cycle | None:
    """Return the newest cycle of a version, with its verdict where one of its cycles has it."""
    recalled = recall_version(ledger, state, version)
    owner = recalled.candidate_of(version)
    return recalled.cycles.get(owner.cycle_id) if owner else None


def _recall_cycle(ledger: Finder, state: LoopState, cycle: str) -> Cycle:
    if cycle not in state.cycles and not ledger.find(cycle_id=cycle, limit=1):
        raise NotFoundError(f"there is no {cycle}", hint="`maskloop history` names the cycles")
    return recall_cycles(ledger, state, [cycle]).cycles[cycle]


def _ask_mlflow(
    workspace: Workspace, open_tracker: Callable[[], RunTracker], cycle: Cycle, missing: list[str]
) -> tuple[JudgedEvidence | None, Mapping[str, tuple[Point, ...]]]:
    """Return evidence and curves of a training that this workspace did not keep; what is missing is said."""
    try:
        tracker = open_tracker()
        evidence = find_evidence(workspace, tracker, cycle)
    except MaskloopError as error:  # the page shows the rest
        missing.append(f"curves and evidence are not in this workspace, and MLflow cannot be asked: {error}")
        return None, {}
    if evidence is None and cycle.verdict is not None:
        missing.append("what judging kept is gone, here and in MLflow; the verdict itself is in the ledger")
    if evidence is not None and evidence.training:
        return evidence, evidence.training
    run_id = cycle.training.run_id if cycle.training else ""
    return evidence, read_training(tracker, run_id, missing.append) if run_id else {}
