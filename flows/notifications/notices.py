"""What somebody should be told now: a pure function of the state.

A notice says what is the case, not what happened: it is there as long as it holds, under one id. Which
channels were told already is looked up in the ledger, so a lost, late or repeated reconcile changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from maskloop.settings.notification_settings import NoticeEvent
from maskloop.settings.workspace_settings import Settings
from maskloop.state.cycle_state import Cycle
from maskloop.state.incident_state import Incident
from maskloop.state.loop_state import LabelRequest, LoopState
from maskloop.wording import count, span
from monitoring.features.table import FEATURES
from monitoring.slo.label_quality import find_quality_budgets, spent_since
from registry.champion.lineage import rollback_target

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Notice:
    """One thing that somebody should know.

    Attributes:
        id: Names what is the case; a channel is told each once.
        event: Which kind of thing it is.
        headline: One line that a stranger understands.
        since: UTC.
        facts: Further lines, by what they are about: ``model``, ``class``, ``why``, ``page``.
        commands: What to type, in order.
        follows: The id of another notice: only those who were told that one are told this one; empty: all.
    """

    id: str
    event: NoticeEvent
    headline: str
    since: datetime
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    follows: str = ""


def find_notices(state: LoopState, settings: Settings, now: datetime) -> tuple[Notice, ...]:
    """Return everything that is the case, the most urgent first."""
    return (
        *_find_rollback(state),
        *_find_drifts(state, settings),
        *_find_spent_quality(state, settings, now),
        *_find_restored(state, now),
        *_find_spent_budget(state, settings, now),
        *_find_failed_cycle(state),
        *_find_decisions(state),
        *_find_label_requests(state),
    )


def classes_of(signals: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes that a drift showed in.

    >>> classes_of(("brightness", "count of bolt"))
    ('bolt',)
    """
    found = [FEATURES.find(name) for name in signals]
    return tuple(dict.fromkeys(one.class_name for one in found if one and one.class_name))


def _find_drifts(state: LoopState, settings: Settings) -> Iterator[Notice]:
    for incident in state.open_incidents:
        if incident.kind != "drift" or incident.num_alarms < settings.monitoring.confirm_windows:
            continue
        sources = f" in pictures of {', '.join(incident.sources)}" if incident.sources else ""
        target = rollback_target(state)
        rollback = [f"maskloop rollback --why ...   (version {target} serves again)"] if target else []
        yield Notice(
            f"drift:{incident.id}",
            "drift",
            f"production has drifted from what version {incident.version or '?'} knows{sources}",
            incident.detected_at,
            (*_about(incident), ("why", incident.headline)),
            (f"maskloop incidents show {incident.id}", "maskloop status", *rollback),
        )


def _find_restored(state: LoopState, now: datetime) -> Iterator[Notice]:
    """Find the drifts of the last week that are over: whoever was told of one is told its end."""
    for incident in state.incidents.values():
        at = incident.restored_at
        if incident.kind == "drift" and at is not None and at > now - _WEEK:
            yield Notice(
                f"restored:{incident.id}",
                "drift",
                f"the drift of {incident.detected_at:%Y-%m-%d %H:%M} UTC is over: {incident.restored_by}",
                at,
                (("lasted", span(incident.time_to_restore)), *_about(incident)),
                (f"maskloop incidents postmortem {incident.id}",),
                follows=f"drift:{incident.id}",
            )


def _find_rollback(state: LoopState) -> Iterator[Notice]:
    """Find the newest rollout, if it was stopped by a check or because nobody decided."""
    rollout = next(reversed(state.rollouts.values()), None)
    stopped = [
        one
        for one in state.incidents.values()
        if one.kind == "rollout" and rollout and one.subject == rollout.cycle_id
    ]
    if not stopped or not stopped[-1].is_automatic:
        return
    incident = stopped[-1]
    champion = state.champion.version if state.champion else "?"
    yield Notice(
        f"rollback:{incident.subject}",
        "rollback",
        f"version {incident.version} was taken out of the traffic by itself; version {champion} serves",
        incident.detected_at,
        (*_about(incident), ("why", incident.headline)),
        (f"maskloop rollout show --cycle {incident.subject}", f"maskloop incidents show {incident.id}"),
    )


def _find_spent_budget(state: LoopState, settings: Settings, now: datetime) -> Iterator[Notice]:
    """Find a drift that no cycle may answer, because all cycles of the week were used."""
    budget = settings.retraining.max_cycles_per_week
    recent = [at for at in state.openings if at > now - _WEEK]
    if len(recent) < budget or state.open_cycles or not settings.retraining.on_drift:
        return
    confirmed = settings.monitoring.confirm_windows
    for incident in state.open_incidents:
        if incident.kind == "drift" and incident.num_alarms >= confirmed:
            free_at = sorted(recent)[-budget] + _WEEK
            yield Notice(
                f"budget:{incident.id}:{recent[-1]:%Y-%m-%dT%H:%M:%S}",
                "budget",
                f"production has drifted, and the {count(budget, 'cycle')} of this week are spent",
                recent[-1],
                (
                    *_about(incident),
                    ("why", f"retraining.max_cycles_per_week = {budget}"),
                    ("next", f"a cycle may open from {free_at:%Y-%m-%d %H:%M} UTC on"),
                ),
                ("maskloop retrain", f"maskloop incidents show {incident.id}"),
            )


def _find_spent_quality(state: LoopState, settings: Settings, now: datetime) -> Iterator[Notice]:
    """Find budgets of quality that are spent: until they are not, the policy promotes nothing."""
    for budget in find_quality_budgets(state, settings, now):
        since = spent_since(budget, state, settings)
        if since is None:
            continue
        target = rollback_target(state)
        back = [f"maskloop rollback --why ...   (version {target} serves again)"] if target else []
        worst = f"{budget.worst[0]} (mask IoU {budget.worst[1]:.2f})" if budget.worst else ""
        yield Notice(
            f"quality:{budget.objective.name}:{budget.version}:{since:%Y-%m-%dT%H:%M:%S}",
            "quality",
            f"version {budget.version} finds less in production than promised; "
            "the policy promotes nothing until that is mended",
            since,
            (("model", f"version {budget.version}"), ("class", worst), ("why", budget.sentence())),
            ("maskloop slo", *back, "maskloop approve VERSION --by NAME   (a person may still promote)"),
        )


def _find_failed_cycle(state: LoopState) -> Iterator[Notice]:
    cycle = state.unanswered_failure
    if cycle is None or cycle.closed is None or cycle.closed_at is None:
        return
    is_first = state.champion is None or cycle.opened.starts_from == "first-weights"
    kind = "distil" if cycle.opened.is_taught else "train" if is_first else "retrain"
    serves = f"version {state.champion.version} serves on" if state.champion else "nothing serves yet"
    yield Notice(
        f"failed-cycle:{cycle.id}",
        "failed-cycle",
        f"{cycle.id} was given up without a new model; {serves}",
        cycle.closed_at,
        (("cause", "; ".join(cycle.causes)), ("why", cycle.closed.reason)),
        (f"maskloop history --cycle {cycle.id}", f"maskloop {kind}   (once the cause is mended)"),
    )


def _find_decisions(state: LoopState) -> Iterator[Notice]:
    for cycle in state.open_cycles:
        waiting, verdict = cycle.waiting, cycle.verdict
        rollout = state.rollouts.get(cycle.id)
        if rollout and rollout.phase == "paused":
            yield Notice(
                f"decision:{cycle.id}:{rollout.num_moves}",
                "decision",
                f"the rollout of version {rollout.started.version} is paused and waits for a person",
                rollout.since,
                (
                    ("model", f"version {rollout.started.version}, at {rollout.share_percent:g} %"),
                    ("why", rollout.moved.reason if rollout.moved else ""),
                ),
                ("maskloop rollout show", "maskloop rollout resume   (or stop)"),
            )
        elif verdict and waiting and waiting.waiting_for == "approval":
            yield _describe_approval(cycle)


def _describe_approval(cycle: Cycle) -> Notice:
    verdict, waiting = cycle.verdict, cycle.waiting
    assert verdict is not None  # noqa: S101 - the caller looked
    assert waiting is not None  # noqa: S101 - the caller looked
    version = verdict.candidate_version
    return Notice(
        f"decision:{verdict.blessing_id}",
        "decision",
        f"version {version} waits for approval (verdict: {verdict.outcome})",
        cycle.waiting_since or cycle.opened_at,
        (
            ("model", f"version {version}, trained on {verdict.data_tag}"),
            ("cause", "; ".join(cycle.causes)),
            ("why", waiting.reason),
        ),
        (f"maskloop approve {version} --by NAME", f"maskloop reject {version} --by NAME --why ..."),
    )


def _find_label_requests(state: LoopState) -> Iterator[Notice]:
    for request in state.open_requests:
        if request.pushed is not None:
            name = request.requested.request_id
            yield _describe_request(
                request,
                "labels-waiting",
                f"{count(request.num_awaited, 'picture')} of request {name} wait to be labelled",
                "maskloop label status",
            )
    newest = next(reversed(state.label_requests.values()), None)
    if newest and newest.pulled and not newest.num_awaited:
        name, tag = newest.requested.request_id, newest.pulled.data_tag
        headline = f"all {count(len(newest.requested.chosen), 'picture')} of request {name} are labelled"
        yield _describe_request(
            newest, "labels-finished", f"{headline}, in {tag}" if tag else headline, "maskloop status"
        )


def _describe_request(request: LabelRequest, event: NoticeEvent, headline: str, command: str) -> Notice:
    pushed = request.pushed
    where = (("where", f"{pushed.tool}, {pushed.project}"),) if pushed else ()
    cycle = (("cycle", request.cycle_id),) if request.cycle_id else ()
    name = request.requested.request_id
    facts = (*where, *cycle, ("why", request.requested.cause))
    return Notice(f"{event}:{name}", event, headline, request.requested_at, facts, (command,))


def _about(incident: Incident) -> Iterator[tuple[str, str]]:
    """Yield what a stranger asks first: which model, which classes, since when at the earliest."""
    if incident.version:
        yield "model", f"version {incident.version}"
    if incident.kind == "drift":
        yield "class", ", ".join(classes_of(incident.signals)) or "no single one; the pictures themselves"
        yield "shows in", ", ".join(incident.signals) or "the embedding"
    if incident.pages:
        yield "page", incident.pages[-1]
    yield "incident", f"{incident.id}; all was well at {incident.began_at:%Y-%m-%d %H:%M} UTC at the latest"
