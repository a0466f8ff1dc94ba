"""The newest production samples meet the champion's own pictures; drift asks for a turn of the loop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dataset.pictures.decoding import decode_picture
from flows.drift.references import choose_reference_pictures, open_references
from flows.evidence.evaluate import load_picture
from flows.learning.train import trained_on
from flows.loop.cycles import record_trigger
from flows.pages.report import refresh_report
from flows.planning.plan import count_new_labels
from flows.workspace.served import fetch_champion
from flows.workspace.wiring import App
from maskloop.errors import UnavailableError
from maskloop.files import write_text
from maskloop.records.kinds import DriftJudged, TriggerSuppressed, write_record
from maskloop.state.loop_state import LoopState
from maskloop.wording import count
from monitoring.drift.references import POOLED, ClosestReference, judge_against_references
from monitoring.drift.triggers import JudgedWindow, TriggerState, decide_trigger
from monitoring.pages.drift_page import MAX_THUMBNAILS, write_drift_page, write_p_value
from monitoring.pages.feature_report import HTML_FILE
from monitoring.samples.windows import SUPERSEDED, Window, choose_window
from registry.champion.serving_copy import ServedModel

DETECTOR = "drift"
WINDOW_FILE = "samples.json"
_PAGE = "index.html"
_IN_WORDS = {"drift": "drifted", "quiet": "no drift", "inconclusive": "inconclusive"}


@dataclass(frozen=True)
class Monitored:
    """What one look at production found.

    Attributes:
        judged: The verdict; None while too few new samples have come.
        num_pending: Samples that wait for a complete window.
        trigger: What the verdict meant for the loop, as a sentence.
    """

    judged: DriftJudged | None
    num_pending: int
    trigger: str


def monitor(app: App) -> Monitored:
    """Judge the newest window of samples, write the report, and record a trigger if the loop should turn.

    Each sample is judged at most once; run again without new samples, nothing happens.

    Raises:
        NotFoundError: if no champion serves yet.
    """
    served = fetch_champion(app)
    settings = app.settings.monitoring
    app.samples.prune(app.clock.now())
    app.corrections.prune(app.clock.now())
    _finish_last_window(app)
    pending = app.samples.newest(
        10 * settings.window_samples, weights_digest=served.weights_digest, pending_only=True
    )
    planned = choose_window(pending, weights_digest=served.weights_digest, settings=settings)
    if not planned.is_complete:
        waiting = len(planned.window.samples)
        app.teller.say(
            f"{count(waiting, 'new sample')} so far; a drift check needs {settings.min_window_samples}"
        )
        return Monitored(None, waiting, decide_whether_to_retrain(app, served.weights_digest))
    judged = _judge_window(app, served, planned.window)
    _finish_last_window(app)
    for sample_id in planned.superseded_ids:
        app.samples.skip(sample_id, SUPERSEDED)
    app.teller.say(judged.sentence())
    trigger = decide_whether_to_retrain(app, served.weights_digest)
    refresh_report(app)
    return Monitored(judged, 0, trigger)


def decide_whether_to_retrain(app: App, weights_digest: str) -> str:
    """Turn the recorded drift verdicts and new labels into a trigger, or into a recorded reason for none."""
    decision = decide_trigger(
        _as_trigger_state(app, app.state(), weights_digest),
        app.settings.retraining,
        confirm_windows=app.settings.monitoring.confirm_windows,
        now=app.clock.now(),
    )
    if decision.action == "record" and decision.kind:
        app.teller.say(record_trigger(app, decision.key, decision.kind, decision.cause).sentence())
    if decision.action == "suppress":
        suppressed = TriggerSuppressed(trigger_key=decision.key, reason=decision.reason)
        write_record(app.ledger, suppressed, key=f"suppressed:{decision.key}")
    return decision.reason


def _finish_last_window(app: App) -> None:
    """Mark the samples of the newest recorded verdict as judged, also after a crash between the two."""
    drift = app.state().drift
    window = app.workspace.root / drift[-1][1].report if drift else None
    if window is not None and (ids := window.with_name(WINDOW_FILE)).exists():
        app.samples.mark_scored(DETECTOR, json.loads(ids.read_text()))


def _judge_window(app: App, served: ServedModel, window: Window) -> DriftJudged:
    references = open_references(app, served)
    closest = judge_against_references(references, window, app.settings.monitoring)
    verdict = closest.verdict
    report = app.workspace.reports_dir / "drift" / verdict.window_id
    _write_report(app, served, report, closest, window)
    write_text(report / WINDOW_FILE, json.dumps(window.sample_ids))
    judged = DriftJudged(
        outcome=verdict.outcome,
        reason=f"{verdict.cause or verdict.reason} (compared with {closest.name})",
        window_id=verdict.window_id,
        num_samples=verdict.num_samples,
        missing_percent=verdict.missing_percent,
        baseline_digest=references[POOLED].digest,
        weights_digest=verdict.weights_digest,
        threshold_digest=verdict.threshold_digest,
        drifted_features=tuple(signal.name for signal in verdict.signals if signal.drifted),
        report=str((report / _PAGE).relative_to(app.workspace.root)),
        sources=tuple(sorted({sample.source for sample in window.samples})),
    )
    write_record(app.ledger, judged, key=f"drift:{verdict.window_id}")
    page = _publish(app, judged, closest, report) or (report / _PAGE).as_uri()
    app.teller.table(
        "drift",
        [
            {
                "signal": signal.name,
                "effect": signal.effect,
                "p (corrected)": write_p_value(signal.corrected_p_value),
                "reference": signal.reference_mean,
                "now": signal.current_mean,
                "drifted": "yes" if signal.drifted else "",
            }
            for signal in verdict.signals[:8]
        ],
        f"drift check: {_IN_WORDS[judged.outcome]}",
    )
    app.teller.link("drift-report", page, "the drift page")
    return judged


def _publish(app: App, judged: DriftJudged, closest: ClosestReference, report: Path) -> str:
    """Show the verdict in MLflow too, where it can be followed over time; the workspace keeps it anyway.

    Returns:
        The page's address there, which a Prefect artifact can link to; empty without a server.
    """
    try:
        run_id = app.tracker.open_run(
            f"drift:{judged.window_id}",
            name=name_drift_check(judged, app.clock.now()),
            tags={
                "maskloop.kind": "drift",
                "outcome": judged.outcome,
                "window": judged.window_id,
                "weights_digest": judged.weights_digest,
            },
            kind="drift check",
        )
        figures = {f"drift/{signal.name}": signal.effect for signal in closest.verdict.signals}
        figures |= {"drift/num_drifted": float(closest.verdict.num_drifted)}
        app.tracker.log_metrics(run_id, figures, step=0)
        for file in sorted(report.iterdir()):
            app.tracker.log_file(run_id, file, "drift")
        app.tracker.close_run(run_id, "finished")
        return app.tracker.url(run_id, f"drift/{_PAGE}")
    except UnavailableError as error:
        app.teller.say(f"the drift report could not be shown in MLflow: {error}")
        return ""


def name_drift_check(judged: DriftJudged, at: datetime) -> str:
    """Name a check as a person reads it in a list: ``drift check 11-30 01:30: drifted``, in UTC."""
    return f"drift check {at:%m-%d %H:%M}: {_IN_WORDS[judged.outcome]}"


def _write_report(
    app: App, served: ServedModel, directory: Path, closest: ClosestReference, window: Window
) -> None:
    baseline, max_mpx = closest.baseline, app.settings.data.max_picture_mpx
    settings = app.settings.monitoring
    app.feature_report.write(
        baseline.rows(),
        [sample.features for sample in window.samples],
        directory,
        false_alarm_rate=settings.false_alarm_rate,
        min_drifted_features=settings.min_drifted_features,
    )
    version = app.data.open(trained_on(app.state(), served.weights_digest))
    chosen = [
        picture
        for picture in choose_reference_pictures(version, settings.min_window_samples)
        if closest.name in (POOLED, picture.source)
    ]
    kept = [app.samples.picture_bytes(sample) for sample in window.samples[:MAX_THUMBNAILS]]
    write_drift_page(
        directory,
        closest.verdict,
        baseline,
        window,
        reference_pictures=[load_picture(version.path(p), max_mpx) for p in chosen[:MAX_THUMBNAILS]],
        current_pictures=[decode_picture(data, max_mpx=max_mpx) for data in kept if data],
        links={"Every feature in Evidently": HTML_FILE, "The loop (in the workspace)": "../../loop.html"},
    )


def _as_trigger_state(app: App, state: LoopState, weights_digest: str) -> TriggerState:
    now = app.clock.now()
    ended = max((cycle.closed_at for cycle in state.cycles.values() if cycle.closed_at), default=None)
    own = [(at, judged) for at, judged in state.unanswered_drift if judged.weights_digest == weights_digest]
    tag = trained_on(state, weights_digest)
    return TriggerState(
        weights_digest=weights_digest,
        baseline_digest=own[-1][1].baseline_digest if own else "",
        windows=[JudgedWindow(one.window_id, one.outcome, one.sources, at) for at, one in own],
        trigger_keys=frozenset(state.trigger_actors),
        open_cycle=state.open_cycles[0].id if state.open_cycles else "",
        last_cycle_ended_at=ended,
        num_cycles_last_7_days=sum(
            cycle.opened_at > now - timedelta(days=7) and cycle.opened.reason != "manual"
            for cycle in state.cycles.values()
        ),
        num_new_labelled_samples=count_new_labels(state, tag),
        data_version=tag,
    )
