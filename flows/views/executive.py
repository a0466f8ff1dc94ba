"""The executive view: is the model good, what does it cost, what happened, what waits for a person. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flows.incidents.overview import Times, measure_times
from flows.metrics.figure import Figure, Reading
from flows.slo.budgets import Budgets
from flows.views.gathered import Gathered
from flows.views.history import Attempt, DriftWindow, History, JudgedVersion
from flows.views.waiting import Waiting, find_waiting
from maskloop.records.kinds import QualityEstimate
from maskloop.state.incident_state import Incident
from maskloop.wording import count

MAX_MONTHS: Final = 12
_HOUR_S: Final = 3600.0


@dataclass
class Month:
    """What one calendar month, UTC, saw; the newest month goes on.

    Attributes:
        name: ``2026-03``.
        training_hours: Of all attempts that ended in it.
        wasted_hours: Of those, of the attempts without a result.
        num_labelled: Pictures that were labelled or relabelled.
        num_cycles: Turns of the loop that were opened.
        num_promotions: Changes of champion to a better model.
        num_rollbacks: Changes back.
        num_incidents: Detected in it; None where the state has forgotten some of them.
    """

    name: str
    training_hours: float = 0.0
    wasted_hours: float = 0.0
    num_labelled: int = 0
    num_cycles: int = 0
    num_promotions: int = 0
    num_rollbacks: int = 0
    num_incidents: int | None = 0


@dataclass(frozen=True)
class Executive:
    """Everything that the page says.

    Attributes:
        headline: Whether all is well, in one sentence.
        is_well: None where nothing can be said yet.
        champion: The version that serves; empty for none.
        serves_since: UTC.
        figures: M1 to M10.
        budgets: What is promised and how much of each error budget is left; None if it was not asked.
        classes: The readings of M5 on test pictures, the lowest first.
        labelled: Those by labels of production, by class.
        estimates: By class, how good its masks probably are in production; of the newest window of the
            champion that has any.
        estimated_at: When that window was judged, UTC.
        versions: The newest verdict on each version, oldest first.
        months: The newest twelve, newest first.
        attempts: All attempts at training that ended, oldest first.
        training_hours: Of all of them.
        wasted_hours: Of those without a result.
        num_labelled: Pictures ever labelled or relabelled.
        open_incidents: Those that go on.
        num_incidents: That there ever were.
        num_remembered: The newest of them and the open ones, which the state holds.
        incident_times: How long those took.
        waiting: What waits for a person.
        samples: Production samples: received, scored, skipped, pending.
        feedback: What people said about answers, in words.
        missing: What could not be read.
    """

    headline: str
    is_well: bool | None
    champion: str
    serves_since: datetime | None
    figures: tuple[Figure, ...]
    budgets: Budgets | None
    classes: tuple[Reading, ...]
    labelled: Mapping[str, Reading]
    estimates: Mapping[str, QualityEstimate]
    estimated_at: datetime | None
    versions: tuple[JudgedVersion, ...]
    months: tuple[Month, ...]
    attempts: tuple[Attempt, ...]
    training_hours: float
    wasted_hours: float
    num_labelled: int
    open_incidents: tuple[Incident, ...]
    num_incidents: int
    num_remembered: int
    incident_times: tuple[Times, ...]
    waiting: tuple[Waiting, ...]
    samples: Mapping[str, int]
    feedback: tuple[str, ...]
    missing: tuple[str, ...] = field(default=())


def make_executive(found: Gathered) -> Executive:
    """Make the view of the facts."""
    state, history = found.state, found.history
    serving = state.serving[-1] if state.serving else None
    headline, is_well = say_headline(found.figures, serving.change.version if serving else "")
    classes = found.figures_by_id["M5"].readings if "M5" in found.figures_by_id else ()
    waiting = find_waiting(found.status, found.notices, num_feedback_waiting=found.num_feedback_waiting)
    incidents = tuple(state.incidents.values())
    weights = serving.change.weights_digest if serving else ""
    estimated_at, estimates = find_estimates(history.windows, weights)
    return Executive(
        headline=headline,
        is_well=is_well,
        champion=serving.change.version if serving else "",
        serves_since=serving.since if serving else None,
        figures=found.figures,
        budgets=found.budgets,
        classes=tuple(
            sorted(
                (one for one in classes if one.origin == "verdict"),
                key=lambda one: (one.value is None, one.value or 0.0),
            )
        ),
        labelled={one.class_name: one for one in classes if one.origin == "labels"},
        estimates=estimates,
        estimated_at=estimated_at,
        versions=history.newest_verdicts,
        months=count_by_month(history, incidents, num_incidents=state.num_incidents),
        attempts=history.attempts,
        training_hours=sum(one.seconds for one in history.attempts) / _HOUR_S,
        wasted_hours=sum(one.seconds for one in history.attempts if one.failure) / _HOUR_S,
        num_labelled=sum(one.num_new_labelled for one in history.labels),
        open_incidents=state.open_incidents,
        num_incidents=state.num_incidents,
        num_remembered=len(incidents),
        incident_times=measure_times(incidents),
        waiting=tuple(one for one in waiting if one.is_for_a_person),
        samples=found.status.sample_counts,
        feedback=tuple(one.sentence() for one in found.status.judged),
        missing=found.missing,
    )


def find_estimates(
    windows: Sequence[DriftWindow], weights_digest: str
) -> tuple[datetime | None, dict[str, QualityEstimate]]:
    """Return when the mask IoU of a model's classes was estimated last, and each estimate or refusal."""
    for window in reversed(windows):
        found = {one.class_name: one for one in window.judged.estimates if one.metric == "mask_iou"}
        if found and window.weights_digest == weights_digest:
            return window.at, found
    return None, {}


def say_headline(figures: Sequence[Figure], champion: str) -> tuple[str, bool | None]:
    """Say whether the model that serves keeps its targets; None where nothing can be said."""
    if not champion:
        return "Nothing serves yet", None
    judged = [one for one in figures if one.is_met is not None]
    missed = [one for one in judged if one.is_met is False]
    if not judged:
        return f"Version {champion} serves; none of its targets was measured", None
    targets = count(len(judged), "target")
    if not missed:
        return f"Version {champion} serves and keeps every target that was measured ({targets})", True
    named = ", ".join(f"{one.name} ({one.id})" for one in missed)
    return f"Version {champion} serves and misses {len(missed)} of {targets}: {named}", False


def count_by_month(
    history: History, incidents: Sequence[Incident], *, num_incidents: int
) -> tuple[Month, ...]:
    """Count what each month saw; months in which nothing happened are left out.

    Args:
        history: The whole.
        incidents: Those that the state remembers, oldest first.
        num_incidents: That there ever were.
    """
    months: dict[str, Month] = defaultdict(lambda: Month(""))

    def month(at: datetime) -> Month:
        found = months[f"{at:%Y-%m}"]
        found.name = f"{at:%Y-%m}"
        return found

    for attempt in history.attempts:
        of = month(attempt.ended_at)
        of.training_hours += attempt.seconds / _HOUR_S
        of.wasted_hours += attempt.seconds / _HOUR_S if attempt.failure else 0.0
    for labels in history.labels:
        month(labels.at).num_labelled += labels.num_new_labelled
    for cycle in history.cycles:
        month(cycle.opened_at).num_cycles += 1
    for change in history.deployments:
        month(change.at).num_promotions += change.event == "promotion"
        month(change.at).num_rollbacks += change.event == "rollback"
    detected = Counter(f"{incident.detected_at:%Y-%m}" for incident in incidents)
    is_whole = len(incidents) == num_incidents
    first_whole = "" if is_whole or not incidents else _next_month(incidents[0].detected_at)
    for name in detected:
        months[name].name = name
    for name, of in months.items():
        of.num_incidents = detected[name] if name >= first_whole else None
    return tuple(months[name] for name in sorted(months, reverse=True)[:MAX_MONTHS])


def _next_month(at: datetime) -> str:
    return f"{at.year + at.month // 12}-{at.month % 12 + 1:02}"
