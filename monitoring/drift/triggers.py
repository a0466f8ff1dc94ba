"""Whether the loop should start another turn: one pure decision, the same however often it is asked.

Called at every tick with the recorded state. A drift over many windows is one episode with one key, so it
causes one trigger, and one more for each further source it reaches. A quiet window ends the episode and
re-arms the alarm; a new champion does the same, because its key differs. Drift during an open cycle is
recorded too, so that the cycle names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from maskloop.settings.workspace_settings import RetrainingSettings
from monitoring.drift.verdict import Outcome

TriggerKind = Literal["drift", "labels"]
Action = Literal["record", "coalesce", "suppress", "none"]


@dataclass(frozen=True)
class JudgedWindow:
    """One line of the verdict history.

    Attributes:
        window_id: Of the window.
        outcome: What was found.
        sources: Where its pictures came from.
        at: When it was judged, UTC.
    """

    window_id: str
    outcome: Outcome
    sources: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True)
class TriggerState:
    """The recorded state of one champion and its loop.

    Attributes:
        weights_digest: Of the champion.
        baseline_digest: Of its baseline.
        windows: The verdicts about this champion and baseline that no cycle has answered, oldest first.
        trigger_keys: Those of `keys_of_causes` that a trigger was recorded for.
        open_cycle: The cycle now open, or an empty string.
        last_cycle_ended_at: UTC, or None.
        num_cycles_last_7_days: Cycles opened in the seven days before now.
        training_hours_last_30_days: Of all trainings that made a candidate in the thirty days before now.
        num_new_labelled_samples: Labelled pictures that came since the champion's data version.
        data_version: The champion's data version, e.g. ``data-v3``.
    """

    weights_digest: str
    baseline_digest: str
    windows: Sequence[JudgedWindow] = ()
    trigger_keys: AbstractSet[str] = field(default_factory=frozenset)
    open_cycle: str = ""
    last_cycle_ended_at: datetime | None = None
    num_cycles_last_7_days: int = 0
    training_hours_last_30_days: float = 0.0
    num_new_labelled_samples: int = 0
    data_version: str = ""


@dataclass(frozen=True)
class TriggerDecision:
    """What to do about it.

    Attributes:
        action: ``record`` a trigger (idempotently, under ``key``); ``coalesce`` with one that is already
            there; ``suppress`` for now, to be asked again at the next tick; ``none``: there is no cause.
        kind: The cause, or None.
        key: The trigger's idempotency key, or an empty string.
        reason: One sentence.
        cause: Its part that says what happened, whatever is done about it.
    """

    action: Action
    kind: TriggerKind | None
    key: str
    reason: str
    cause: str = ""


def decide_trigger(
    state: TriggerState, settings: RetrainingSettings, *, confirm_windows: int, now: datetime
) -> TriggerDecision:
    """Decide whether drift, or new labels, should open a cycle.

    Args:
        state: What is recorded.
        settings: Cooldown, budget, switches.
        confirm_windows: Drifting windows in a row that make an episode.
        now: UTC.
    """
    causes = _find_causes(state, settings, confirm_windows)
    decisions = [_decide_cause(cause, state, settings, now) for cause in causes]
    if not decisions:
        return TriggerDecision("none", None, "", _why_none(state, confirm_windows))
    return next((decision for decision in decisions if decision.action == "record"), decisions[0])


def keys_of_causes(
    state: TriggerState, settings: RetrainingSettings, *, confirm_windows: int
) -> tuple[str, ...]:
    """Return the keys of the triggers there is cause for now: those `TriggerState.trigger_keys` is about."""
    return tuple(cause.key for cause in _find_causes(state, settings, confirm_windows))


def drift_episode(windows: Sequence[JudgedWindow], confirm_windows: int) -> JudgedWindow | None:
    """Return the window at which the drift going on now began, or last reached a new source; else None.

    An episode begins with ``confirm_windows`` drifting windows in a row and ends with a quiet one.
    Inconclusive windows neither confirm nor end it. A drift that reaches a source not seen in its earlier
    windows counts anew: one camera's false alarm must not hide later drift of the others.

    >>> found = drift_episode(
    ...     [JudgedWindow("a", "quiet"), JudgedWindow("b", "drift"), JudgedWindow("c", "drift")], 2
    ... )
    >>> found.window_id
    'b'
    """
    found: JudgedWindow | None = None
    sources: set[str] = set()
    num_drifting = 0
    for window in windows:
        if window.outcome == "quiet":
            found, sources, num_drifting = None, set(), 0
        elif window.outcome == "drift":
            num_drifting += 1
            if found is None or not sources.issuperset(window.sources):
                found = window
            sources.update(window.sources)
    return found if num_drifting >= confirm_windows else None


@dataclass(frozen=True)
class _Cause:
    kind: TriggerKind
    key: str
    why: str


def _find_causes(
    state: TriggerState, settings: RetrainingSettings, confirm_windows: int
) -> tuple[_Cause, ...]:
    causes = (_drift_cause(state, confirm_windows), _labels_cause(state, settings))
    return tuple(cause for cause in causes if cause)


def _decide_cause(
    cause: _Cause, state: TriggerState, settings: RetrainingSettings, now: datetime
) -> TriggerDecision:
    def decided(action: Action, addition: str = "") -> TriggerDecision:
        return TriggerDecision(action, cause.kind, cause.key, cause.why + addition, cause.why)

    if cause.kind == "drift" and not settings.on_drift:
        return decided("suppress", ", but retraining on drift is switched off")
    if cause.key in state.trigger_keys:
        return decided("coalesce", ", which already has its trigger")
    if state.open_cycle:
        action: Action = "record" if cause.kind == "drift" else "coalesce"
        return decided(action, f"; {state.open_cycle} is open and takes it up")
    if obstacle := _obstacle(state, settings, now):
        return decided("suppress", f", but {obstacle}")
    return decided("record")


def _drift_cause(state: TriggerState, confirm_windows: int) -> _Cause | None:
    began = drift_episode(state.windows, confirm_windows)
    if began is None:
        return None
    key = f"drift:{state.weights_digest}:{state.baseline_digest}:{began.window_id}"
    at = f" at {began.at:%Y-%m-%d %H:%M} UTC" if began.at else ""
    sources = f" in pictures of {', '.join(began.sources)}" if began.sources else ""
    return _Cause("drift", key, f"drift found{at}{sources} (window {began.window_id[:12]})")


def _labels_cause(state: TriggerState, settings: RetrainingSettings) -> _Cause | None:
    """Every further ``on_new_labelled_samples`` pictures are a new cause, should the first cycle fail."""
    wanted, num_new = settings.on_new_labelled_samples, state.num_new_labelled_samples
    if not wanted or num_new < wanted:
        return None
    key = f"labels:{state.weights_digest}:{state.data_version}:{num_new // wanted}"
    return _Cause("labels", key, f"{num_new} labelled pictures are new, {wanted} were asked for")


def _obstacle(state: TriggerState, settings: RetrainingSettings, now: datetime) -> str:
    """Return what forbids a new cycle now, or an empty string."""
    if state.num_cycles_last_7_days >= settings.max_cycles_per_week:
        return f"the budget of {settings.max_cycles_per_week} cycles in 7 days is used up"
    hours, most = state.training_hours_last_30_days, settings.max_training_hours_per_month
    if 0 < most <= hours:
        return f"the budget of {most:g} training hours in 30 days is used up ({hours:.1f} h)"
    if state.last_cycle_ended_at is None:
        return ""
    ready_at = state.last_cycle_ended_at + timedelta(hours=settings.cooldown_hours)
    return f"the cooldown lasts until {ready_at:%Y-%m-%d %H:%M} UTC" if now < ready_at else ""


def _why_none(state: TriggerState, confirm_windows: int) -> str:
    if not state.windows:
        return "no window of this champion has been judged yet"
    if drift_episode(state.windows, 1):
        return f"drift is not confirmed by {confirm_windows} windows in a row yet"
    return "the champion's input has not drifted"
