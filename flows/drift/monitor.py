"""The newest production samples meet the champion's own pictures; drift asks for a turn of the loop."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from flows.drift.champion_pictures import ServingChampion
from flows.drift.gallery import open_gallery
from flows.drift.publication import (
    IN_WORDS,
    PAGE,
    describe_verdict,
    publish_verdict,
    quality_rows,
    signal_rows,
    write_pages,
)
from flows.drift.quality import SWITCHED_OFF, QualityEyes, WindowQuality, estimate_window
from flows.drift.trends import keep_sketches
from flows.drift.watching import note_asked, watch_production
from flows.evidence.estimate_check import tell_checks
from flows.loop.cycles import record_trigger
from flows.pages.loop_report import refresh_report
from flows.workspace.journal import Journal
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.clock import Clock
from maskloop.files import write_text
from maskloop.ledger.leases import leased
from maskloop.records.kinds import DriftJudged, TriggerSuppressed, write_record
from maskloop.settings.workspace_settings import MonitoringSettings, Settings
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from monitoring.drift.references import POOLED, ClosestReference
from monitoring.drift.sources import JudgedSources, judge_window
from monitoring.drift.triggers import JudgedWindow, TriggerState, decide_trigger, keys_of_causes
from monitoring.drift.verdict import waits_for_scenes
from monitoring.pages.feature_report import FeatureReport
from monitoring.samples.left_out import tell_clocks, tell_expired, tell_other_versions
from monitoring.samples.sample_log import SampleLog
from monitoring.samples.values import Sample
from monitoring.samples.windows import SUPERSEDED, WINDOW_FILE, Window, WindowPlan, choose_window
from monitoring.selection.carriers import find_carriers_of
from monitoring.sequential.confirmation import Watched, confirm
from registry.ports import RunTracker

DETECTOR = "drift"
MONITOR_LEASE: Final = "drift check"


@dataclass(frozen=True)
class Monitored:
    """The result of one drift check.

    Attributes:
        judged: The verdict; None while too few new samples have come.
        num_pending: Samples that wait for a complete window.
        trigger: What the verdict meant for the loop, as a sentence.
        said: The verdict, or why there is none, as the teller was told.
        watched: The evidence over time; None without a budget of false alarms.
        remarks: Samples that were not judged, and why; clocks that are wrong.
    """

    judged: DriftJudged | None
    num_pending: int
    trigger: str
    said: str
    watched: Watched | None = None
    remarks: tuple[str, ...] = ()


def monitor(app: App) -> Monitored:
    """Judge the newest window of samples, write the report, and record a trigger if the loop should turn.

    Each sample is judged at most once, so a second run without new samples changes nothing. One process of
    all hosts does it at a time, because the evidence over time is continued as a whole.

    Raises:
        NotFoundError: if no champion serves yet.
        BusyError: if another process does it.
        UnavailableError: if this one lost its lease meanwhile; it has shared no evidence since.
    """
    with leased(app.ledger, MONITOR_LEASE, ttl_s=app.settings.retraining.lease_s) as check:
        served = app.copies.fetch_champion(app.state())
        settings, weights_digest = app.settings.monitoring, served.weights_digest
        decide = partial(
            decide_whether_to_retrain, app.journal, app.settings, weights_digest, app.clock, by=app.actor
        )
        keep_sketches(app.samples, app.sketches, app.clock, app.teller)
        _finish_last_window(app.samples, app.state(), app.workspace.root)
        pending, remarks = _find_pending(app.samples, weights_digest, settings, app.state(), app.clock.now())
        app.samples.prune(app.clock.now())
        app.corrections.prune(app.clock.now())
        for remark in remarks:
            app.teller.say(remark)
        champion = ServingChampion(
            served,
            app.state(),
            app.data,
            app.samples,
            app.copies,
            app.workspace,
            app.shared_files,
            app.teller,
            check_lease=check,
        )
        now = app.clock.now()
        watched = watch_production(champion, now)
        planned = choose_window(pending, weights_digest=weights_digest, settings=settings)
        if said := _why_not_judged(planned, app.state(), settings.min_window_samples):
            return _without_verdict(app.teller, len(planned.window.samples), decide(), said, watched, remarks)
        compared = champion.compared
        found = judge_window(compared.references, planned.window, settings, known=compared.known)
        note_asked(champion, watched, found, now)
        found = confirm(found, planned.window, watched)
        quality = _estimate(champion, planned.window).beside(tell_checks(app.state(), weights_digest))
        champion.share()
        judged, directory = _publish(champion, found, quality, planned.window, app.feature_report, watched)
        write_record(app.ledger, judged, key=f"drift:{judged.window_id}")
        _show(judged, found.deciding, directory, app.tracker, app.clock, app.teller)
        _finish_last_window(app.samples, app.state(), app.workspace.root)
        for sample_id in planned.superseded_ids:
            app.samples.skip(sample_id, SUPERSEDED)
        app.teller.say(judged.sentence())
        trigger = decide()
        refresh_report(app)
        return Monitored(judged, 0, trigger, judged.sentence(), watched, remarks)


def _find_pending(
    samples: SampleLog, weights_digest: str, settings: MonitoringSettings, state: LoopState, now: datetime
) -> tuple[list[Sample], tuple[str, ...]]:
    """Return the champion's newest samples to judge, and what is odd about these and about all others."""
    limit, oldest = 10 * settings.window_samples, now - timedelta(days=settings.retention_days)
    own = samples.newest(limit, weights_digest=weights_digest, pending_only=True)
    fresh = [sample for sample in own if sample.received_at >= oldest]
    everything = samples.newest(limit, pending_only=True)
    return fresh, (
        *tell_other_versions(everything, weights_digest, state.version_of),
        *tell_clocks(fresh[: settings.window_samples], now),
        *tell_expired(len(own) - len(fresh), settings.retention_days),
    )


def _estimate(champion: ServingChampion, window: Window) -> WindowQuality:
    """Estimate how good the champion is in a window, unless that is switched off."""
    settings = champion.settings
    if not settings.monitoring.estimate_pictures:
        return SWITCHED_OFF
    eyes = QualityEyes.of(
        champion.load(),
        may_mirror=not settings.training.augmentation.mirrored_classes,
        max_mpx=settings.data.max_picture_mpx,
    )
    with champion.teller.progress("learning how good the champion is under known changes") as progress:
        return estimate_window(
            window.samples,
            champion.samples,
            champion.compared.version,
            champion.compared.held_out,
            eyes,
            champion.workspace.quality_file(champion.weights_digest),
            num_pictures=settings.monitoring.estimate_pictures,
            progress=progress,
        )


def _show(
    judged: DriftJudged,
    closest: ClosestReference,
    directory: Path,
    tracker: RunTracker,
    clock: Clock,
    teller: Teller,
) -> None:
    url = publish_verdict(tracker, judged, closest, directory, at=clock.now(), say=teller.say)
    teller.table("drift", signal_rows(closest), f"drift check: {IN_WORDS[judged.outcome]}")
    if judged.estimates:
        teller.table("quality", quality_rows(judged.estimates), "quality without labels, estimated")
    if judged.no_estimate:
        teller.say(f"quality without labels was not estimated: {judged.no_estimate}")
    teller.link("drift-report", url or (directory / PAGE).as_uri(), "the drift page")


def _without_verdict(
    teller: Teller,
    num_pending: int,
    trigger: str,
    said: str,
    watched: Watched | None,
    remarks: tuple[str, ...],
) -> Monitored:
    teller.say(said)
    return Monitored(None, num_pending, trigger, said, watched, remarks)


def decide_whether_to_retrain(
    journal: Journal, settings: Settings, weights_digest: str, clock: Clock, *, by: str
) -> str:
    """Turn the recorded drift verdicts and new labels into a trigger, or into a recorded reason for none."""
    retraining, confirm_windows = settings.retraining, settings.monitoring.confirm_windows
    state = _as_trigger_state(journal.state(), weights_digest, clock.now())
    keys = keys_of_causes(state, retraining, confirm_windows=confirm_windows)
    recorded = frozenset(key for key in keys if journal.ledger.find(key=f"trigger:{key}", limit=1))
    state = replace(state, trigger_keys=recorded)
    decision = decide_trigger(state, retraining, confirm_windows=confirm_windows, now=clock.now())
    if decision.action == "record" and decision.kind:
        trigger = record_trigger(journal, decision.key, decision.kind, decision.cause, by=by)
        journal.teller.say(trigger.sentence())
    if decision.action == "suppress":
        suppressed = TriggerSuppressed(trigger_key=decision.key, reason=decision.reason)
        write_record(journal.ledger, suppressed, key=f"suppressed:{decision.key}")
    return decision.reason


def _why_not_judged(planned: WindowPlan, state: LoopState, min_samples: int) -> str:
    """Say why a window waits for more samples; empty if it is judged now."""
    if not planned.is_complete:
        return f"{count(len(planned.window.samples), 'new sample')} so far; a drift check needs {min_samples}"
    is_judged = state.last_drift is not None and state.last_drift[1].window_id == planned.window.window_id
    return "no new sample since the last drift check" if is_judged else ""


def _finish_last_window(samples: SampleLog, state: LoopState, root: Path) -> None:
    """Mark the samples of the newest recorded verdict as judged, also after a crash between the two."""
    drift = state.last_drift
    window = root / drift[1].report if drift else None
    if window is not None and (ids := window.with_name(WINDOW_FILE)).exists():
        samples.mark_scored(DETECTOR, json.loads(ids.read_text()))


def _publish(
    champion: ServingChampion,
    found: JudgedSources,
    quality: WindowQuality,
    window: Window,
    features: FeatureReport,
    watched: Watched | None,
) -> tuple[DriftJudged, Path]:
    """Write the pages of a verdict; return the record that names them, not written yet, and their folder.

    Args:
        champion: What was judged; the pages are written to its workspace's reports.
        found: The verdict, its reference, and what was found in each source.
        quality: How good the champion probably is in the window.
        window: The judged window.
        features: Writes the page of the features' distributions.
        watched: The evidence over time; None without a budget.
    """
    settings, evidence = champion.settings, watched.sentence() if watched else ""
    directory = champion.workspace.reports_dir / "drift" / found.deciding.verdict.window_id
    carriers = find_carriers_of(found, window)
    write_pages(
        directory,
        found,
        window,
        settings.monitoring,
        features,
        quality=quality,
        gallery=open_gallery(champion, found.deciding.name, window, carriers),
        evidence=evidence,
        carriers=carriers,
    )
    waits = waits_for_scenes(found.deciding.verdict, settings.monitoring)
    write_text(directory / WINDOW_FILE, json.dumps([] if waits else window.sample_ids))
    judged = describe_verdict(
        found,
        window,
        quality,
        baseline_digest=champion.compared.references[POOLED].digest,
        page=str((directory / PAGE).relative_to(champion.workspace.root)),
        evidence=evidence,
    )
    return judged, directory


def _as_trigger_state(state: LoopState, weights_digest: str, now: datetime) -> TriggerState:
    own = [(at, judged) for at, judged in state.unanswered_drift if judged.weights_digest == weights_digest]
    tag = state.data_of(weights_digest)
    return TriggerState(
        weights_digest=weights_digest,
        baseline_digest=own[-1][1].baseline_digest if own else "",
        windows=[
            JudgedWindow(one.window_id, one.outcome, one.drifted_sources or one.sources, at)
            for at, one in own
        ],
        open_cycle=state.open_cycles[0].id if state.open_cycles else "",
        last_cycle_ended_at=state.last_cycle_ended_at,
        num_cycles_last_7_days=sum(opened_at > now - timedelta(days=7) for opened_at in state.openings),
        training_hours_last_30_days=sum(
            seconds / 3600.0 for at, seconds in state.trainings if at > now - timedelta(days=30)
        ),
        num_new_labelled_samples=state.count_new_labels(tag),
        data_version=tag,
    )
