"""Judging a candidate: both models predict the same pictures, gates give a verdict, evidence is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
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
from flows.workspace.served import ModelCopies
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import DataError, RefusedError
from maskloop.records.kinds import (
    CandidateRegistered,
    Check,
    JudgingStarted,
    SliceRecorded,
    VerdictReached,
    write_record,
)
from maskloop.settings.workspace_settings import GateSettings, Settings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from maskloop.workspace import Workspace
from monitoring.samples.corrections import CorrectionLog
from registry.gates.blessing import evaluated_pictures_digest, make_verdict
from registry.gates.gates import judge
from registry.gates.policy import policy_digest
from registry.ports import ModelStore, RunTracker


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
    contest = hold_contest(
        open_test_pictures(app.data, cycle.candidate),
        cycle.candidate,
        app.state(),
        app.copies,
        app.settings,
        partial(_progress_under_lease, app.teller, WorkNote(app.workspace, cycle.id), check_lease),
    )
    for record in measure_agreements(contest, app.state(), min_pictures=gates.min_pictures):
        write_record(app.ledger, record, cycle_id=cycle.id, key=agreement_key(record, contest.version))
    more_checks: list[Check] = []
    if slices := app.state().slices:
        app.shared_files.bring(app.workspace.slices_dir)
        more_checks = _ask_about_slices(slices, contest, app.copies, app.corrections, app.workspace)
    verdict = reach_verdict(contest, gates, seed=seed, more_checks=more_checks)
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
    figures = FigureLog(app.tracker, contest.registered.run_id, app.clock, app.teller.say)
    dossier = VerdictDossier.of(contest, verdict, examples)
    _publish(dossier, app.workspace, app.tracker, app.models, figures)
    _tell(app.teller, verdict, app.tracker.url(contest.registered.run_id, PAGE_PATH))
    key = f"verdict:{cycle.id}:{verdict.blessing_id}"  # the same verdict may be reached in a later cycle
    write_record(app.ledger, verdict, actor=app.actor, cycle_id=cycle.id, key=key)
    app.teller.say(verdict.sentence())
    return verdict


def open_test_pictures(data: DatasetStore, registered: CandidateRegistered) -> DatasetVersion:
    """Open the data a candidate was trained on. Raises DataError if there are no test pictures."""
    version = data.open(registered.data_tag)
    if not version.by_split["test"]:
        raise DataError(
            "the data version has no test pictures, so nothing can be judged",
            where=version.tag,
            hint="ingest some with --split test, or raise data.test_percent",
        )
    return version


@contextmanager
def _progress_under_lease(
    teller: Teller, note: WorkNote, check_lease: Callable[[], None], title: str
) -> Iterator[Callable[[int, int], None]]:
    """Yield a progress callback that shows and notes the progress; it raises if the lease is lost."""
    with teller.progress(title) as progress:

        def on_progress(done: int, total: int) -> None:
            check_lease()
            note.write("judging", done, total)
            progress(done, total)

        yield on_progress


def hold_contest(
    version: DatasetVersion,
    registered: CandidateRegistered,
    state: LoopState,
    copies: ModelCopies,
    settings: Settings,
    progress_of: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
) -> Contest:
    """Run candidate and champion over the test pictures of the data the candidate was trained on.

    Args:
        version: The data version, with test pictures.
        registered: The candidate.
        state: The state of the loop, which names the champion.
        copies: The copies of both models.
        settings: The score threshold and the limits of an evaluation.
        progress_of: Opens a progress callback with a title.
    """

    def run(title: str, directory: Path, digest: str) -> ModelOnPictures:
        predictor = copies.load(directory, digest)
        trained_on = state.data_of(digest)
        with progress_of(title) as progress:
            return evaluate_model(
                predictor,
                version,
                version.by_split["test"],
                score_threshold=settings.required_gates().score_threshold,
                max_detections=settings.model.max_detections,
                max_mpx=settings.data.max_picture_mpx,
                progress=progress,
                called_now=lambda name: state.class_between(name, trained_on, version.tag),
            )

    directory = copies.fetch_version(registered.version, registered.weights_digest)
    candidate = run("candidate on the test pictures", directory, registered.weights_digest)
    if state.champion is None:
        return Contest(version, registered, candidate, None, "")
    served = copies.fetch_champion(state)
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


def _ask_about_slices(
    slices: Sequence[SliceRecorded],
    contest: Contest,
    copies: ModelCopies,
    corrections: CorrectionLog,
    workspace: Workspace,
) -> list[Check]:
    """Ask the candidate about the pictures that earlier challengers failed on."""
    digest = contest.registered.weights_digest
    predictor = copies.load(copies.directory / digest, digest)
    max_mpx = workspace.settings.data.max_picture_mpx
    return check_slices(slices, predictor, corrections, workspace.slices_dir, max_mpx=max_mpx)


def _publish(
    dossier: VerdictDossier, workspace: Workspace, tracker: RunTracker, models: ModelStore, figures: FigureLog
) -> None:
    """Put a verdict into the run and onto the version. The version's tags come after the run's files."""
    run_id, version = dossier.registered.run_id, dossier.registered.version
    save_iou_rows(workspace, version, dossier.iou_by_source)
    for path, text in dossier.texts.items():
        tracker.log_text(run_id, text, path)
    for path, rows in dossier.tables.items():
        tracker.log_table(run_id, rows, path)
    for path, picture in dossier.pictures.items():
        tracker.log_picture(run_id, picture, path)
    figures.log(dossier.figures, step=0)
    for name, value in dossier.tags.items():
        models.set_tag(version, name, value)
    tracker.close_run(run_id, "finished")


def _tell(teller: Teller, verdict: VerdictReached, page_url: str) -> None:
    title = f"verdict on version {verdict.candidate_version}: {verdict.outcome}"
    teller.table("verdict", verdict_rows(verdict), title)
    if page_url:
        teller.link("evidence", page_url, "the evidence")
