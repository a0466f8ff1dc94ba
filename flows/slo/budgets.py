"""How much of each error budget is left, by the workspace's own figures: without Prometheus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.deciding.freezing import find_freeze
from flows.metrics.gathering import ask_service
from flows.workspace.wiring import App
from maskloop.state.incident_state import Incident
from maskloop.state.loop_state import LoopState
from maskloop.wording import span
from monitoring.slo.label_quality import QualityBudget, find_quality_budgets
from monitoring.slo.objective import Objective, find_objectives
from registry.approval.freeze import Freeze
from serving.telemetry.reading import ServiceFigures


@dataclass(frozen=True)
class BudgetReading:
    """How one objective is kept.

    Attributes:
        name: Of the objective.
        promise: What is promised, in words.
        good: The share that was good, or the mean mask IoU, 0..1; None if it was not measured.
        left: What is left of the budget: 1 is all, 0 none, below 0 more than all is used up.
        window: What the figure is about.
        source: Where it comes from.
        missing: Why there is none, and how to get it.
        is_share: ``good`` is a share, not a mask IoU.
    """

    name: str
    promise: str
    good: float | None = None
    left: float | None = None
    window: str = ""
    source: str = ""
    missing: str = ""
    is_share: bool = True

    @property
    def figure(self) -> str:
        """Return what was good as people read it; empty if it was not measured."""
        if self.good is None:
            return ""
        return f"{100.0 * self.good:.4g} %" if self.is_share else f"IoU {self.good:.3f}"


@dataclass(frozen=True)
class Budgets:
    """All objectives of a workspace.

    Attributes:
        readings: One for each objective.
        freeze: Why the policy promotes nothing now; None while it may.
    """

    readings: tuple[BudgetReading, ...]
    freeze: Freeze | None


def read_budgets(app: App, *, url: str = "", key: str = "", service: ServiceFigures | None = None) -> Budgets:
    """Return how every objective is kept.

    Args:
        app: The workspace.
        url: Of the service; empty: the one that `maskloop up` runs for this workspace, if it does.
        key: An API key that may read figures.
        service: What the service counts, where that is known already.

    Raises:
        UnavailableError: if a service that was named does not answer.
        DataError: if what it answers are no figures.
        ConfigurationError: if two objectives have one name.
    """
    objectives, now, state = find_objectives(app.settings), app.clock.now(), app.state()
    service, why = (service, "") if service else ask_service(app.workspace, url, key)
    by_quality = {one.objective.name: one for one in find_quality_budgets(state, app.settings, now)}
    readings = []
    for one in objectives:
        match one.indicator:
            case "availability" | "latency":
                readings.append(read_service(one, service, why, now))
            case "drift":
                readings.append(read_drift(one, state, now))
            case "quality":
                readings.append(read_quality(one, by_quality.get(one.name)))
    return Budgets(tuple(readings), find_freeze(state, app.settings, now))


def read_service(
    one: Objective, figures: ServiceFigures | None, why_none: str, now: datetime
) -> BudgetReading:
    """Return how an objective about answers is kept since the service started. Pure."""
    if figures is None:
        missing = f"{why_none}; start `maskloop serve` or `maskloop up`, or name a service with --url"
        return BudgetReading(one.name, one.promise(), missing=missing)
    good, every = count_answers(one, figures)
    if not every:
        missing = "the service has not answered anything yet"
        if good is None:
            missing = f"the service does not count answers within {1000 * one.within_s:g} ms"
        return BudgetReading(one.name, one.promise(), missing=missing)
    share = (good or 0.0) / every
    uptime = now.timestamp() - figures.began_at_s if figures.began_at_s is not None else None
    since = f" ({span(timedelta(seconds=max(uptime, 0.0)))})" if uptime is not None else ""
    window = f"since the service started{since}"
    return BudgetReading(one.name, one.promise(), share, _left(one, share), window, "the service's /metrics")


def count_answers(one: Objective, figures: ServiceFigures) -> tuple[float | None, float]:
    """Return good answers and all of them; None and 0 if the service does not count good ones. Pure."""
    if one.indicator == "availability":
        whole = figures.all_requests
        return whole.num_all - whole.num_errors, whole.num_all
    good = every = 0.0
    for buckets in figures.latency_s.values():
        within = [number for bound, number in buckets if math.isclose(bound, one.within_s)]
        if not within:
            return None, 0.0
        good, every = good + within[0], every + buckets[-1][1]
    return good, every


def read_drift(one: Objective, state: LoopState, now: datetime) -> BudgetReading:
    """Return how much of the time production had drifted, by the incidents in the record. Pure."""
    if state.last_drift is None or state.champion is None:
        missing = "no window was judged yet; `maskloop monitor`, once there are enough samples"
        return BudgetReading(one.name, one.promise(), missing=missing)
    at, judged = state.last_drift
    begin = now - timedelta(days=one.window_days)
    if at < begin:
        missing = f"no window was judged since {at:%Y-%m-%d %H:%M} UTC; do samples come? `maskloop monitor`"
        return BudgetReading(one.name, one.promise(), missing=missing)
    drifted = time_in_drift(tuple(state.incidents.values()), begin, now)
    share = 1.0 - drifted / (now - begin)
    return BudgetReading(
        one.name,
        one.promise(),
        share,
        _left(one, share),
        f"{one.window_days:g} days, {span(drifted) if drifted else 'none'} of it in drift; newest window: "
        f"{judged.outcome}, {at:%Y-%m-%d %H:%M} UTC",
        "incidents in the ledger",
    )


def time_in_drift(incidents: Sequence[Incident], begin: datetime, now: datetime) -> timedelta:
    """Return how long at least one drift went on between two times. Pure."""
    spans = sorted(
        (max(one.detected_at, begin), min(one.restored_at or now, now))
        for one in incidents
        if one.kind == "drift"
    )
    total, reached = timedelta(0), begin
    for start, end in spans:
        total += max(end - max(start, reached), timedelta(0))
        reached = max(reached, end)
    return total


def read_quality(one: Objective, budget: QualityBudget | None) -> BudgetReading:
    """Return how an objective of quality is kept. Pure."""
    if budget is None or budget.iou is None:
        missing = budget.missing if budget else "nothing serves yet"
        how = "label production pictures: `maskloop label request`, or `maskloop ingest`"
        return BudgetReading(one.name, one.promise(), missing=f"{missing}; {how}")
    at = f"until {budget.measured_at:%Y-%m-%d %H:%M} UTC" if budget.measured_at else ""
    return BudgetReading(
        one.name,
        one.promise(),
        budget.iou.value,
        budget.left,
        f"{one.window_days:g} days, {at}",
        budget.sentence(),
        is_share=False,
    )


def _left(one: Objective, share: float) -> float:
    return 1.0 - (1.0 - share) / one.budget
