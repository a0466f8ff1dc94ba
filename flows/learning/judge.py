"""A candidate meets the gates: same pictures for it and the champion, a verdict, and evidence to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.labelled_pictures import DatasetVersion
from flows.evidence.evaluate import ModelOnPictures, evaluate_model
from flows.evidence.examples import draw_examples
from flows.evidence.iou_by_source import save_iou_rows
from flows.evidence.judged import PAGE_PATH, collect_evidence, keep_evidence
from flows.learning.agreement import record_agreements
from flows.rollouts.slices import check_slices
from flows.workspace.figure_log import FigureLog
from flows.workspace.running import WorkNote
from flows.workspace.served import fetch_champion, fetch_version
from flows.workspace.wiring import App
from maskloop.errors import DataError, RefusedError
from maskloop.records.kinds import Check, JudgingStarted, VerdictReached, write_record
from maskloop.state.cycle_state import Cycle
from registry.evidence.evidence import worst_checks_first
from registry.gates.blessing import evaluated_pictures_digest, make_verdict
from registry.gates.gates import judge
from registry.gates.policy import policy_digest
from registry.store import EVIDENCE_TAG


@dataclass(frozen=True)
class Contest:
    """Candidate and champion on the same test pictures."""

    version: DatasetVersion
    candidate: ModelOnPictures
    champion: ModelOnPictures | None
    champion_digest: str


def judge_candidate(app: App, cycle: Cycle, check_lease: Callable[[], None]) -> VerdictReached:
    """Evaluate, judge, write the verdict down and put its evidence where a reviewer looks.

    Raises:
        ConfigurationError: if no gates are configured.
        DataError: if the data version has no test pictures.
    """
    if cycle.candidate is None:
        raise RefusedError(f"{cycle.id} has no candidate to judge")
    gates = app.settings.required_gates()
    started = JudgingStarted(attempt=cycle.num_attempts + 1, version=cycle.candidate.version)
    write_record(app.ledger, started, actor=app.actor, cycle=cycle.id)
    contest = hold_contest(app, cycle, check_lease)
    record_agreements(
        app,
        cycle.id,
        contest.version,
        candidate=(cycle.candidate.weights_digest, contest.candidate),
        champion=(contest.champion_digest, contest.champion) if contest.champion else None,
    )
    measured = contest.candidate.evaluation.iou
    checks = judge(
        measured,
        contest.champion.evaluation.iou if contest.champion else None,
        gates,
        latency_p95_ms=contest.candidate.latency_p95_ms,
        seed=app.settings.training.seed,
    )
    checks = (*checks, *ask_about_slices(app, cycle.candidate.weights_digest))
    verdict = make_verdict(
        checks,
        candidate_version=cycle.candidate.version,
        candidate_digest=cycle.candidate.weights_digest,
        champion_digest=contest.champion_digest,
        data_tag=contest.version.tag,
        data_fingerprint=contest.version.fingerprint,
        policy_digest=policy_digest(gates, measured.class_names),
        evaluated_pictures_digest=evaluated_pictures_digest(measured),
    )
    publish_evidence(app, cycle, contest, verdict)
    key = f"verdict:{cycle.id}:{verdict.blessing_id}"  # the same verdict may be reached in a later cycle
    write_record(app.ledger, verdict, actor=app.actor, cycle=cycle.id, key=key)
    app.teller.say(verdict.sentence())
    return verdict


def hold_contest(app: App, cycle: Cycle, check_lease: Callable[[], None]) -> Contest:
    """Run candidate and champion over the test pictures of the data the candidate was trained on."""
    assert cycle.candidate is not None  # noqa: S101 - checked by the caller
    version = app.data.open(cycle.candidate.data_tag)
    if not version.by_split["test"]:
        raise DataError(
            "the data version has no test pictures, so nothing can be judged",
            where=version.tag,
            hint="ingest some with --split test, or raise data.test_percent",
        )
    directory = fetch_version(app, cycle.candidate.version, cycle.candidate.weights_digest)
    title = "candidate on the test pictures"
    note = WorkNote(app.workspace, cycle.id)
    candidate = _run(app, title, directory, cycle.candidate.weights_digest, version, check_lease, note)
    if app.state().champion is None:
        return Contest(version, candidate, None, "")
    served = fetch_champion(app)
    title = "champion on the same pictures"
    champion = _run(app, title, served.directory, served.weights_digest, version, check_lease, note)
    return Contest(version, candidate, champion, served.weights_digest)


def ask_about_slices(app: App, weights_digest: str) -> list[Check]:
    """Ask the candidate about the pictures that earlier challengers failed on."""
    if not app.state().slices:
        return []
    directory = app.workspace.models_dir / weights_digest
    device = app.settings.training.device
    return check_slices(app, app.predictors.load(directory, expected_digest=weights_digest, device=device))


def publish_evidence(app: App, cycle: Cycle, contest: Contest, verdict: VerdictReached) -> None:
    """Log figures and pictures to the run, and keep what the approval page is made of."""
    assert cycle.candidate is not None  # noqa: S101 - checked by the caller
    run_id, version = cycle.candidate.run_id, cycle.candidate.version
    examples = draw_examples(
        contest.version,
        contest.candidate,
        contest.champion,
        app.artist,
        max_mpx=app.settings.data.max_picture_mpx,
    )
    evidence = collect_evidence(
        app, run_id, verdict, contest.version, contest.candidate, contest.champion, examples
    )
    keep_evidence(app, run_id, version, evidence)
    champion = contest.champion.evaluation.iou if contest.champion else None
    by_source = save_iou_rows(app.workspace, version, contest.candidate.evaluation.iou, champion)
    app.tracker.log_text(run_id, verdict.model_dump_json(indent=1), "verdict/verdict.json")
    app.tracker.log_table(run_id, contest.candidate.evaluation.rows(), "evaluation/per_class.json")
    app.tracker.log_table(run_id, by_source, "evaluation/by_source.json")
    app.tracker.log_table(run_id, contest.candidate.evaluation.error_rows(), "evaluation/error_types.csv")
    app.tracker.log_table(run_id, contest.candidate.evaluation.confusion.rows(), "evaluation/confusion.csv")
    app.tracker.log_text(run_id, json.dumps(contest.candidate.evaluation.to_json()), "evaluation/report.json")
    for number, example in enumerate(examples, start=1):
        app.tracker.log_picture(run_id, example.picture, f"evaluation/example_{number}.png")
    FigureLog(app, run_id).log(_headline_metrics(contest), step=0)
    app.models.set_tag(version, EVIDENCE_TAG, "not written yet")
    app.models.set_tag(version, "verdict", verdict.outcome)
    app.models.set_tag(version, "approval", "pending")  # a yes from before the verdict counts for nothing
    app.tracker.close_run(run_id, "finished")
    app.teller.table("verdict", verdict_rows(verdict), f"verdict on version {version}: {verdict.outcome}")
    if url := app.tracker.url(run_id, PAGE_PATH):
        app.teller.link("evidence", url, "the evidence")


def verdict_rows(verdict: VerdictReached) -> list[dict[str, Any]]:
    """Lay the checks out as table rows, those that did not pass first."""
    return [
        {
            "check": check.name,
            "outcome": check.outcome,
            "measured": check.measured,
            "required": check.required,
            "reason": check.reason,
        }
        for check in worst_checks_first(verdict.checks)
    ]


def _run(
    app: App,
    title: str,
    directory: Path,
    digest: str,
    version: DatasetVersion,
    check_lease: Callable[[], None],
    note: WorkNote,
) -> ModelOnPictures:
    state = app.state()
    trained_on = state.data_of(digest)
    with app.teller.progress(title) as progress:

        def on_progress(done: int, total: int) -> None:
            check_lease()
            note.write("judging", done, total)
            progress(done, total)

        device = app.settings.training.device
        return evaluate_model(
            app.predictors.load(directory, expected_digest=digest, device=device),
            version,
            version.by_split["test"],
            score_threshold=app.settings.required_gates().score_threshold,
            max_detections=app.settings.model.max_detections,
            max_mpx=app.settings.data.max_picture_mpx,
            progress=on_progress,
            called_now=lambda name: state.class_between(name, trained_on, version.tag),
        )


def _headline_metrics(contest: Contest) -> dict[str, float]:
    evaluation = contest.candidate.evaluation
    class_iou = evaluation.iou.class_iou()
    named = {
        f"test/iou/{name}": float(iou)
        for name, iou in zip(evaluation.iou.class_names, class_iou, strict=True)
    }
    named["test/iou/mean"] = float(class_iou.mean())
    named["test/mask_ap"] = float(evaluation.ap_segm.figures["AP"])
    named["test/box_ap"] = float(evaluation.ap_bbox.figures["AP"])
    named["test/calibration_error"] = evaluation.calibration.expected_error()
    named |= {f"test/ap50_lost_to/{kind}": gain for kind, gain in evaluation.errors.gains().items()}
    named["test/latency_p95_ms"] = contest.candidate.latency_p95_ms
    return {name: value for name, value in named.items() if value == value}  # NaN: a class without instances
