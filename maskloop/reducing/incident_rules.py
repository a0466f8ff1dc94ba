"""Which entries open an incident, join it, and end it. Pure; called for every entry, before its reducer.

========= ==================================== ====================================================
kind      opened by                            ended by
========= ==================================== ====================================================
drift     a window that has drifted            a quiet window, or another champion
training  a cycle that is given up as failed   a verdict in a cycle that takes it up, or its abandoning
rollout   a check that fails, or a person      the challenger is out of all traffic
champion  a rollback that begins               the champion before it serves
alias     an alias that was moved by hand      the same entry: the reconcile has moved it back
reported  a person                             a person
========= ==================================== ====================================================

A training that fails in a cycle that answers a drift has the drift's cause and belongs to its incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from maskloop.ledger.port import Entry
from maskloop.records.kinds import (
    AliasTampered,
    ApprovalDecided,
    CandidateRegistered,
    ChampionChanged,
    ChampionChanging,
    CycleClosed,
    CycleOpened,
    DriftJudged,
    IncidentEnded,
    IncidentReported,
    JudgingStarted,
    LabelsPulled,
    LabelsPushed,
    LabelsRequested,
    Record,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
    TrainingFailed,
    TrainingStarted,
    TriggerJoined,
    TriggerSuppressed,
    VerdictReached,
)
from maskloop.reducing.draft import Draft
from maskloop.state.incident_state import Incident, IncidentKind

_FIRST_ENTRIES, _NEWEST_ENTRIES, _NEWEST_PAGES = 20, 80, 5
_ALARMS: Final = ("failed", "given_up", "stopped")
"""Events that take a challenger out of the traffic because of itself; ``replaced`` is none."""
_STEPS: Final = (
    ApprovalDecided,
    CandidateRegistered,
    CycleClosed,
    JudgingStarted,
    LabelsPulled,
    LabelsPushed,
    LabelsRequested,
    RolloutMoved,
    RolloutStarted,
    SliceRecorded,
    TrainingFailed,
    TrainingStarted,
    VerdictReached,
)
"""What a cycle does about the incident that it answers."""


def follow_incidents(draft: Draft, entry: Entry, record: Record) -> None:
    """Open, continue and end incidents by one more entry; the draft is as it was before this entry."""
    _note_steps(draft, entry, record)
    match record:
        case DriftJudged(outcome="drift"):
            _raise_drift(draft, entry, record)
        case DriftJudged(outcome="quiet"):
            _restore(draft, entry, "drift", record.weights_digest, "a quiet window: production fits again")
        case CycleOpened():
            _answer(draft, entry, record)
        case TriggerJoined(reason="drift"):
            _answer_drift(draft, entry)
        case TriggerSuppressed() if record.trigger_key.startswith("drift:"):
            for incident in _open(draft, "drift"):
                draft.incidents[incident.id] = with_entry(incident, entry)
        case CycleClosed(outcome="failed"):
            _raise_failure(draft, entry, record)
        case CycleClosed(outcome="abandoned"):
            _end_trainings(draft, entry, f"{entry.actor} ended the cycle: {record.reason}")
        case VerdictReached():
            _end_trainings(draft, entry, f"version {record.candidate_version} was trained and judged")
        case RolloutMoved(phase="aborting") if record.event in _ALARMS:
            _raise_rollout(draft, entry, record)
        case RolloutMoved(phase="rolled-back"):
            said = "the challenger answers no request; the champion answers all"
            _restore(draft, entry, "rollout", entry.cycle_id, said)
        case ChampionChanging(cause="rollback"):
            _raise_champion(draft, entry, record)
        case ChampionChanged():
            said = f"version {record.version} serves"
            _restore(draft, entry, "champion", record.previous_digest, said)
            _restore(draft, entry, "drift", record.previous_digest, said)
        case AliasTampered():
            _raise_alarm(draft, entry, "alias", record.alias, record.sentence(), entry.at)
            _restore(draft, entry, "alias", record.alias, "the reconcile moved it back")
        case IncidentReported():
            subject, about = str(entry.sequence), {"version": record.version}
            _raise_alarm(draft, entry, "reported", subject, record.headline, entry.at, **about)
        case IncidentEnded() if ended := draft.incidents.get(record.incident_id):
            _restore(draft, entry, "reported", ended.subject, f"{record.by}: {record.why}")
        case _:
            pass


def with_entry(incident: Incident, entry: Entry) -> Incident:
    """Return the incident with one more entry in its timeline."""
    if entry.sequence in incident.entries:
        return incident
    entries = (*incident.entries, entry.sequence)
    if len(entries) > _FIRST_ENTRIES + _NEWEST_ENTRIES:
        entries = (*entries[:_FIRST_ENTRIES], *entries[-_NEWEST_ENTRIES:])
    return replace(incident, entries=entries)


def _raise_alarm(
    draft: Draft,
    entry: Entry,
    kind: IncidentKind,
    subject: str,
    headline: str,
    began_at: datetime,
    **about: Any,
) -> None:
    draft.num_incidents += 1
    name = f"incident-{draft.num_incidents}"
    draft.incidents[name] = Incident(
        name,
        kind,
        subject,
        headline,
        began_at=min(began_at, entry.at),
        detected_at=entry.at,
        entries=(entry.sequence,),
        **about,
    )


def _restore(draft: Draft, entry: Entry, kind: IncidentKind, subject: str, by: str) -> None:
    for incident in _open(draft, kind):
        if incident.subject == subject:
            over = replace(incident, restored_at=entry.at, restored_by=by)
            draft.incidents[incident.id] = with_entry(over, entry)
            draft.num_restored += 1


def _raise_drift(draft: Draft, entry: Entry, record: DriftJudged) -> None:
    """Open an incident, or join the one about the same champion; only news gets a place in its timeline."""
    pages = (record.report,) if record.report else ()
    for incident in _open(draft, "drift"):
        if incident.subject == record.weights_digest:
            is_new = not set(incident.sources).issuperset(record.sources)
            joined = replace(
                incident,
                num_alarms=incident.num_alarms + 1,
                signals=_union(incident.signals, record.drifted_features),
                sources=_union(incident.sources, record.sources),
                pages=_union(incident.pages, pages)[-_NEWEST_PAGES:],
            )
            draft.incidents[incident.id] = with_entry(joined, entry) if is_new else joined
            return
    serving = next(
        (one for one in reversed(draft.serving) if one.change.weights_digest == record.weights_digest), None
    )
    began_at = serving.since if serving else entry.at
    if draft.last_drift and draft.last_drift[1].weights_digest == record.weights_digest:
        began_at = max(began_at, draft.last_drift[0])
    version = serving.change.version if serving else ""
    headline = f"{record.headline()}: {record.reason}"
    about = {
        "version": version,
        "signals": record.drifted_features,
        "sources": record.sources,
        "pages": pages,
    }
    _raise_alarm(draft, entry, "drift", record.weights_digest, headline, began_at, **about)


def _answer(draft: Draft, entry: Entry, record: CycleOpened) -> None:
    """Note which incidents a new cycle answers: the open drift, and failed cycles that it takes up."""
    if record.reason == "drift":
        _answer_drift(draft, entry)
    for incident in _open(draft):
        if set(incident.cycles) & set(record.takes_up):
            joined = replace(incident, cycles=_union(incident.cycles, (entry.cycle_id,)))
            draft.incidents[incident.id] = with_entry(joined, entry)


def _answer_drift(draft: Draft, entry: Entry) -> None:
    champion = draft.champions[-1][1] if draft.champions else ""
    for incident in _open(draft, "drift"):
        if incident.subject == champion:
            joined = replace(incident, cycles=_union(incident.cycles, (entry.cycle_id,)))
            draft.incidents[incident.id] = with_entry(joined, entry)


def _raise_failure(draft: Draft, entry: Entry, record: CycleClosed) -> None:
    """Open an incident, unless the cycle answers one that is open: then it has that one's cause."""
    answered = [one for one in _open(draft) if entry.cycle_id in one.cycles and one.kind != "rollout"]
    for incident in answered:
        draft.incidents[incident.id] = replace(incident, num_alarms=incident.num_alarms + 1)
    if answered or (cycle := draft.cycles.get(entry.cycle_id)) is None:
        return
    version = cycle.candidate.version if cycle.candidate else ""
    headline = f"{entry.cycle_id} was given up: {record.reason}"
    about = {"version": version, "cycles": (entry.cycle_id,)}
    began_at = cycle.failing_since or entry.at
    _raise_alarm(draft, entry, "training", entry.cycle_id, headline, began_at, **about)


def _end_trainings(draft: Draft, entry: Entry, by: str) -> None:
    for incident in _open(draft, "training"):
        if entry.cycle_id in incident.cycles:
            _restore(draft, entry, "training", incident.subject, by)


def _raise_rollout(draft: Draft, entry: Entry, record: RolloutMoved) -> None:
    rollout = draft.rollouts.get(entry.cycle_id)
    if rollout is None or rollout.is_over:
        return
    version = rollout.started.version
    is_automatic = record.event != "stopped"
    about = {"version": version, "cycles": (entry.cycle_id,), "is_automatic": is_automatic}
    headline = f"version {version} was taken out of the traffic: {record.reason}"
    _raise_alarm(draft, entry, "rollout", entry.cycle_id, headline, rollout.started_at, **about)


def _raise_champion(draft: Draft, entry: Entry, record: ChampionChanging) -> None:
    """Open an incident about the champion that is left, unless an open one is about it already."""
    if any(one.subject == record.previous_digest for one in _open(draft)):
        for incident in _open(draft):
            if incident.subject == record.previous_digest:
                draft.incidents[incident.id] = with_entry(incident, entry)
        return
    left = [one for one in draft.serving if one.change.weights_digest == record.previous_digest]
    headline = f"version {record.previous_version} was rolled back from: {record.why}"
    about = {"version": record.previous_version}
    began_at = left[-1].since if left else entry.at
    _raise_alarm(draft, entry, "champion", record.previous_digest, headline, began_at, **about)


def _note_steps(draft: Draft, entry: Entry, record: Record) -> None:
    """Put what a cycle does into the timelines of the open incidents that it answers."""
    if not isinstance(record, _STEPS):
        return
    cycle = entry.cycle_id
    if isinstance(record, LabelsPushed | LabelsPulled):
        request = draft.label_requests.get(record.request_id)
        cycle = cycle or (request.cycle_id if request else "")
    for incident in _open(draft):
        if cycle and cycle in incident.cycles:
            draft.incidents[incident.id] = with_entry(incident, entry)


def _open(draft: Draft, kind: IncidentKind | None = None) -> Iterator[Incident]:
    """Yield the open incidents, of a kind or all; the draft may be changed meanwhile."""
    if draft.num_restored == len(draft.incidents):
        return
    for one in tuple(draft.incidents.values()):
        if one.is_open and kind in (None, one.kind):
            yield one


def _union(known: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))
