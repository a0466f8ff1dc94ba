"""What judging found and the ledger does not hold: figures by class, pictures, what changed in the data.

It is kept as one JSON file, so that the approval page can be written again and again without a model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from evaluation.bootstrap import class_iou_interval
from evaluation.instances import IouTable
from maskloop.errors import IntegrityError
from maskloop.records.kinds import Check, Outcome
from maskloop.settings.workspace_settings import GateSettings
from registry.evidence.diagnosis import Diagnosis
from registry.gates.drops import Drop, measure_drops
from registry.gates.gates import find_gate
from registry.gates.outcomes import outcome_of

if TYPE_CHECKING:
    from dataset.labelled_pictures import LabelledPicture
    from dataset.versions.difference import VersionDiff

Row = TypeVar("Row", "ClassRow", "SourceRow")

SIGNS: Final[Mapping[Outcome, str]] = {"pass": "✓", "inconclusive": "?", "fail": "✗"}
MAX_SIDE_PX: Final = 480
"""Of one picture on the page."""


@dataclass(frozen=True)
class ClassRow:
    """One class's line in the table; None where there is nothing to say."""

    name: str
    num_instances: int
    candidate_iou: float | None
    iou_low: float | None
    iou_high: float | None
    champion_iou: float | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    floor: float
    outcome: Outcome

    @property
    def sign(self) -> str:
        """The outcome as a sign, for whoever cannot see the colour."""
        return SIGNS[self.outcome]

    @property
    def source(self) -> str:
        """Empty: all pictures."""
        return ""


@dataclass(frozen=True)
class SourceRow:
    """One class on the pictures of one source; None where there is nothing to say.

    An empty ``name`` stands for the mean of the classes. ``drop`` is champion minus candidate; its interval
    is the one the gates judged.
    """

    source: str
    name: str
    num_instances: int
    candidate_iou: float | None
    champion_iou: float | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    outcome: Outcome

    @property
    def sign(self) -> str:
        """The outcome as a sign, for whoever cannot see the colour."""
        return SIGNS[self.outcome]


@dataclass(frozen=True)
class Panel:
    """One picture: its title, and itself as a data URL."""

    title: str
    url: str


@dataclass(frozen=True)
class ShownPicture:
    """One picture as several sides see it, beside each other."""

    caption: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Latency:
    """Of one picture, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Change:
    """What a data version has more than another, in one source of pictures or one class.

    Attributes:
        name: Of the source or class.
        num_new: Pictures only the new version holds.
        num_relabelled: Pictures both hold, with other annotations.
        num_removed: Pictures only the old version holds.
    """

    name: str
    num_new: int
    num_relabelled: int
    num_removed: int


@dataclass(frozen=True)
class DataChange:
    """From the data the champion was trained on to the candidate's.

    Attributes:
        old_tag: The champion's version; empty for no champion.
        new_tag: The candidate's.
        by_source: Sources with changes, largest first.
        by_class: Classes with changes, in the order of the schema.
        instances: Class name to annotated instances before and after.
    """

    old_tag: str
    new_tag: str
    by_source: tuple[Change, ...]
    by_class: tuple[Change, ...]
    instances: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class JudgedEvidence:
    """Everything judging leaves for the approval page.

    Attributes:
        blessing_id: Of the verdict it belongs to.
        rows: From `class_rows`.
        confidence: Of the intervals in ``rows``.
        pictures: The worst regressions first.
        data: What changed in the data; None if the champion's data are not known.
        candidate: Latency on the machine that judged.
        champion: Likewise; None for no champion.
        machine: That machine, in words.
        num_pictures: Test pictures.
        gates: Those of the verdict.
        candidate_diagnosis: Where it errs; None in evidence from before this was kept.
        champion_diagnosis: Likewise; None for no champion.
        source_rows: From `source_rows`; empty for one source or no champion, and in older evidence.
        training: How the training went, by name of the figure: ``training loss``, ``validation loss``,
            ``validation IoU``; step and value. Empty where the tracker had nothing, and in older evidence.
    """

    blessing_id: str
    rows: tuple[ClassRow, ...]
    confidence: float
    pictures: tuple[ShownPicture, ...]
    data: DataChange | None
    candidate: Latency
    champion: Latency | None
    machine: str
    num_pictures: int
    gates: dict[str, Any] = field(default_factory=dict)
    candidate_diagnosis: Diagnosis | None = None
    champion_diagnosis: Diagnosis | None = None
    source_rows: tuple[SourceRow, ...] = ()
    training: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    @property
    def diagnoses(self) -> list[tuple[str, Diagnosis]]:
        """Those there are, by whose they are."""
        both = (("candidate", self.candidate_diagnosis), ("champion", self.champion_diagnosis))
        return [(name, diagnosis) for name, diagnosis in both if diagnosis is not None]

    def to_json(self) -> str:
        """Write it down."""
        data: bytes = _adapter().dump_json(self)
        return data.decode()


def read_evidence(text: str) -> JudgedEvidence:
    """Read what `JudgedEvidence.to_json` wrote. Raises IntegrityError."""
    try:
        evidence: JudgedEvidence = _adapter().validate_json(text)
    except ValidationError as error:
        raise IntegrityError("the kept evidence cannot be read", hint=str(error)[:200]) from error
    return evidence


def class_rows(
    candidate: IouTable,
    champion: IouTable | None,
    checks: Sequence[Check],
    gates: GateSettings,
    *,
    seed: int,
) -> tuple[ClassRow, ...]:
    """Put each class's figures together.

    Its IoU has a two-sided interval at ``gates.confidence``; its drop has the interval the gates judged.
    """
    sampling: dict[str, Any] = {"resamples": gates.resamples, "confidence": gates.confidence, "seed": seed}
    candidate_iou, (low, high) = candidate.class_iou(), class_iou_interval(candidate, **sampling)
    drops = measure_drops(candidate, champion, gates, seed=seed) if champion else ()
    drop_of = {drop.name: drop for drop in drops if not drop.source and not drop.is_mean}
    return tuple(
        ClassRow(
            name=name,
            num_instances=int(candidate.num_instances[:, index].sum()),
            candidate_iou=_known(candidate_iou[index]),
            iou_low=_known(low[index]),
            iou_high=_known(high[index]),
            **_drop_figures(drop_of.get(name)),
            floor=gates.class_iou_floors.get(name, gates.min_class_iou),
            outcome=_outcome_for_class(name, checks),
        )
        for index, name in enumerate(candidate.class_names)
    )


def source_rows(
    candidate: IouTable, champion: IouTable | None, gates: GateSettings, *, seed: int
) -> tuple[SourceRow, ...]:
    """Return a row for each class, and their mean, on each source's pictures, as the gates judged them.

    Empty without a champion, and where all pictures come from one source.
    """
    drops = measure_drops(candidate, champion, gates, seed=seed) if champion else ()
    return tuple(
        SourceRow(
            source=drop.source,
            name=drop.name,
            num_instances=drop.num_instances,
            candidate_iou=_known(drop.candidate_iou),
            **_drop_figures(drop),
            outcome=drop.outcome,
        )
        for drop in drops
        if drop.source
    )


def _drop_figures(drop: Drop | None) -> dict[str, float | None]:
    if drop is None:
        return dict.fromkeys(("champion_iou", "drop", "drop_low", "drop_high"))
    return {
        "champion_iou": _known(drop.champion_iou),
        "drop": _known(drop.drop),
        "drop_low": _known(drop.low),
        "drop_high": _known(drop.high),
    }


def worst_rows_first(rows: Sequence[Row]) -> list[Row]:
    """Sort by outcome, then by what was lost, then by how little there is."""
    order: list[Outcome] = ["fail", "inconclusive", "pass"]
    return sorted(
        rows, key=lambda row: (order.index(row.outcome), -(row.drop or 0.0), row.candidate_iou or 0.0)
    )


def worst_checks_first(checks: Sequence[Check]) -> list[Check]:
    """Sort by outcome and keep the order within each."""
    order: list[Outcome] = ["fail", "inconclusive", "pass"]
    return sorted(checks, key=lambda check: order.index(check.outcome))


def summarise_change(diff: VersionDiff, class_names: Sequence[str]) -> DataChange:
    """Count a difference by source and by class; ``class_names`` is the new version's schema."""
    kinds = (diff.added, diff.relabelled, diff.removed)
    sources = [Counter(picture.source for picture in pictures) for pictures in kinds]
    new_and_relabelled = [_count_by_class(pictures, class_names) for pictures in kinds[:2]]
    by_source = _changes(dict.fromkeys(name for counter in sources for name in counter), sources)
    by_source.sort(key=lambda change: -(change.num_new + change.num_relabelled + change.num_removed))
    by_class = _changes(class_names, [*new_and_relabelled, Counter()])
    return DataChange(
        diff.old_tag,
        diff.new_tag,
        tuple(by_source),
        tuple(change for change in by_class if change.num_new or change.num_relabelled),
        dict(diff.instances_per_class),
    )


def _changes(names: Any, counters: Sequence[Counter[str]]) -> list[Change]:
    return [Change(name, *(counter[name] for counter in counters)) for name in names]


def _count_by_class(pictures: Sequence[LabelledPicture], class_names: Sequence[str]) -> Counter[str]:
    """Count the pictures that hold each class."""
    return Counter(
        class_names[index]
        for picture in pictures
        for index in {instance.class_index for instance in picture.instances if not instance.is_crowd}
    )


def _outcome_for_class(name: str, checks: Sequence[Check]) -> Outcome:
    gates = [(check, find_gate(check)) for check in checks if check.subject == name]
    about = [check for check, gate in gates if gate and gate.scope == "class"]
    return outcome_of(about) if about else "inconclusive"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


@cache
def _adapter() -> Any:
    return TypeAdapter(JudgedEvidence)
