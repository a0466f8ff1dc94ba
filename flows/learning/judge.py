"""Judging a candidate: both models predict the same pictures, gates give a verdict, evidence is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flows.evidence.evaluate import ModelOnPictures, evaluate_model
from flows.evidence.examples import draw_examples
from flows.evidence.iou_by_source import save_iou_rows
from flows.evidence.judged import (
    PAGE_PATH,
    collect_evidence,
    compare_data,
    describe_machine,
    keep_evidence,
    read_training,
)
from flows.learning.agreement import agreement_key, measure_agreements
from flows.learning.dossier import Contest, VerdictDossier, verdict_rows
from flows.rollouts.slices import check_slices
from flows.workspace.figure_log import FigureLog
from flows.workspace.running import WorkNote
from flows.workspace.served import fetch_champion, fetch_version
from flows.workspace.wiring import App
from maskloop.errors import DataError, RefusedError
from maskloop.records.kinds import CandidateRegistered, Check, JudgingStarted, VerdictReached, write_record
from maskloop.settings.workspace_settings import GateSettings
from maskloop.state.cycle_state import Cycle
from registry.gates.blessing import evaluated_pictures_digest, make_verdict
from registry.gates.gates import judge
from registry.gates.policy import policy_digest


def judge_candidate(app: App, cycle: Cycle, check_lease: Callable[[], None]) -> VerdictReached:
    """Evaluate, judge, write the verdict down and put its evidence where a reviewer looks.

    Raises:
        ConfigurationError: if no gates are configured.
        DataError: if the data version has no test pictures.
    """
    if cycle.candidate is None:
        raise RefusedError(f"{cycle.id} has no candidate to judge")
    gates, seed = app.settings.required_gates(), app.settings.training.seed
    started = JudgingStarted(attempt=cycle.num_attempts + 1, version=cycle.candidate.version)
    write_record(app.ledger, started, actor=app.actor, cycle_id=cycle.id)
    contest = hold_contest(app, cycle.id, cycle.candidate, check_lease)
    for record in measure_agreements(contest, app.state(), min_pictures=gates.min_pictures):
        write_record(app.ledger, record, cycle_id=cycle.id, key=agreement_key(record, contest.version))
    verdict = reach_verdict(contest, gates, seed=seed, more_checks=_ask_about_slices(app, contest))
    examples = draw_examples(
        contest.version,
        contest.candidate,
        contest.champion,
        app.artist,
        max_mpx=app.settings.data.max_picture_mpx,
    )
    evidence = collect_evidence(
        verdict,
        contest.candidate,
        contest.champion,
        examples,
        gates,
        seed=seed,
        data=compare_data(app.data, app.state(), verdict, contest.version, app.teller.say),
        training=read_training(app.tracker, contest.registered.run_id, app.teller.say),
        machine=describe_machine(app.machine, app.settings.training.device),
    )
    keep_evidence(app.workspace, app.tracker, contest.registered, evidence)
    _publish(app, VerdictDossier.of(contest, verdict, examples))
    key = f"verdict:{cycle.id}:{verdict.blessing_id}"  # the same verdict may be reached in a later cycle
    write_record(app.ledger, verdict, actor=app.actor, cycle_id=cycle.id, key=key)
    app.teller.say(verdict.sentence())
    return verdict


def hold_contest(
    app: App, cycle_id: str, registered: CandidateRegistered, check_lease: Callable[[], None]
) -> Contest:
    """Run candidate and champion over the test pictures of the data the candidate was trained on.

    Raises:
        DataError: if there are no test pictures.
    """
    version = app.data.open(registered.data_tag)
    if not version.by_split["test"]:
        raise DataError(
            "the data version has no test pictures, so nothing can be judged",
            where=version.tag,
            hint="ingest some with --split test, or raise data.test_percent",
        )
    note, state = WorkNote(app.workspace, cycle_id), app.state()

    def run(title: str, directory: Path, digest: str) -> ModelOnPictures:
        predictor = app.predictors.load(
            directory, expected_digest=digest, device=app.settings.training.device
        )
        trained_on = state.data_of(digest)
        with app.teller.progress(title) as progress:

            def on_progress(done: int, total: int) -> None:
                check_lease()
                note.write("judging", done, total)
                progress(done, total)

            return evaluate_model(
                predictor,
                version,
                version.by_split["test"],
                score_threshold=app.settings.required_gates().score_threshold,
                max_detections=app.settings.model.max_detections,
                max_mpx=app.settings.data.max_picture_mpx,
                progress=on_progress,
                called_now=lambda name: state.class_between(name, trained_on, version.tag),
            )

    directory = fetch_version(app, registered.version, registered.weights_digest)
    candidate = run("candidate on the test pictures", directory, registered.weights_digest)
    if state.champion is None:
        return Contest(version, registered, candidate, None, "")
    served = fetch_champion(app)
    champion = run("champion on the same pictures", served.directory, served.weights_digest)
    return Contest(version, registered, candidate, champion, served.weights_digest)


def reach_verdict(
    contest: Contest, gates: GateSettings, *, seed: int, more_checks: Sequence[Check]
) -> VerdictReached:
    """Judge a contest. Pure.

    Args:
        contest: Candidate and champion on the same pictures.
        gates: What is required.
        seed: Of the resampling.
        more_checks: Of what the test pictures do not tell.
    """
    measured = contest.candidate.evaluation.iou
    checks = judge(
        measured,
        contest.champion.evaluation.iou if contest.champion else None,
        gates,
        latency_p95_ms=contest.candidate.latency_p95_ms,
        seed=seed,
    )
    return make_verdict(
        (*checks, *more_checks),
        candidate_version=contest.registered.version,
        candidate_digest=contest.registered.weights_digest,
        champion_digest=contest.champion_digest,
        data_tag=contest.version.tag,
        data_fingerprint=contest.version.fingerprint,
        policy_digest=policy_digest(gates, measured.class_names),
        evaluated_pictures_digest=evaluated_pictures_digest(measured),
    )


def _ask_about_slices(app: App, contest: Contest) -> list[Check]:
    """Ask the candidate about the pictures that earlier challengers failed on."""
    slices = app.state().slices
    if not slices:
        return []
    digest = contest.registered.weights_digest
    predictor = app.predictors.load(
        app.workspace.models_dir / digest, expected_digest=digest, device=app.settings.training.device
    )
    return check_slices(
        slices,
        predictor,
        app.corrections,
        app.workspace.slices_dir,
        max_mpx=app.settings.data.max_picture_mpx,
    )


def _publish(app: App, dossier: VerdictDossier) -> None:
    """Put a verdict into the run and onto the version. The version's tags come after the run's files."""
    run_id, version = dossier.registered.run_id, dossier.registered.version
    save_iou_rows(app.workspace, version, dossier.iou_by_source)
    for path, text in dossier.texts.items():
        app.tracker.log_text(run_id, text, path)
    for path, rows in dossier.tables.items():
        app.tracker.log_table(run_id, rows, path)
    for path, picture in dossier.pictures.items():
        app.tracker.log_picture(run_id, picture, path)
    FigureLog(app.tracker, run_id, app.clock, app.teller.say).log(dossier.figures, step=0)
    for name, value in dossier.tags.items():
        app.models.set_tag(version, name, value)
    app.tracker.close_run(run_id, "finished")
    title = f"verdict on version {version}: {dossier.verdict.outcome}"
    app.teller.table("verdict", verdict_rows(dossier.verdict), title)
    if url := app.tracker.url(run_id, PAGE_PATH):
        app.teller.link("evidence", url, "the evidence")
