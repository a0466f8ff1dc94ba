"""The facts that all views are made of, gathered once; whatever is missing is said and holds nothing up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flows.metrics.figure import Figure
from flows.metrics.gathering import measure_workspace
from flows.notifications.notices import Notice, find_notices
from flows.pages.status import Status, describe_status
from flows.slo.budgets import Budgets, read_budgets
from flows.views.history import History, read_history
from flows.workspace.wiring import App
from maskloop.errors import UnavailableError
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from serving.telemetry.reading import ServiceFigures


@dataclass(frozen=True)
class Gathered:
    """All facts.

    Attributes:
        workspace: The folder's name.
        now: UTC.
        settings: Of the workspace.
        status: The loop at this moment, with its state.
        history: Everything that happened, a line each.
        figures: M1 to M10.
        notices: What people should be told now.
        budgets: What is promised and how much of each error budget is left; None if it was not asked.
        num_feedback_waiting: Corrections that wait to become labels.
        missing: What could not be read, and what to do about it.
    """

    workspace: str
    now: datetime
    settings: Settings
    status: Status
    history: History = field(default_factory=History)
    figures: tuple[Figure, ...] = ()
    notices: tuple[Notice, ...] = ()
    budgets: Budgets | None = None
    num_feedback_waiting: int = 0
    missing: tuple[str, ...] = ()

    @property
    def state(self) -> LoopState:
        """What is recorded."""
        return self.status.state

    @property
    def figures_by_id(self) -> Mapping[str, Figure]:
        """M1 to M10 by their names."""
        return {one.id: one for one in self.figures}


def gather_facts(
    app: App, *, url: str = "", key: str = "", service: ServiceFigures | None = None
) -> Gathered:
    """Read ledger, sample log, corrections and the service's figures. Changes nothing.

    Args:
        app: The workspace.
        url: Of the service; empty: the one that `maskloop up` runs for this workspace, if it does.
        key: An API key that may read figures.
        service: What the service counts, where that is known already.

    Raises:
        IntegrityError: if the ledger was changed by hand.
    """
    missing: tuple[str, ...] = ()
    now, status = app.clock.now(), describe_status(app)
    try:
        figures = measure_workspace(app, url=url, key=key, service=service)
        budgets = read_budgets(app, url=url, key=key, service=service)
    except UnavailableError as error:  # the views show the rest
        missing = (str(error),)
        figures, budgets = measure_workspace(app), read_budgets(app)
    return Gathered(
        workspace=app.workspace.root.name,
        now=now,
        settings=app.settings,
        status=status,
        history=read_history(app.ledger),
        figures=figures,
        notices=find_notices(status.state, app.settings, now),
        budgets=budgets,
        num_feedback_waiting=app.corrections.num_waiting(),
        missing=missing,
    )
