"""One training: from a data version and, for retraining, the champion, to a registered candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from dataset.labelled_pictures import DatasetVersion
from dataset.version_store import DatasetStore
from flows.intake.audit import refuse_without_test_pictures
from flows.learning.anchors import measure_present_anchors
from flows.learning.class_thresholds import calibrate, find_threshold_sources
from flows.learning.hard_examples import weigh_hard_examples
from flows.learning.progress import Advance, StepLog, describe_starvation
from flows.learning.request import Start, digest_settings, make_request, score_threshold
from flows.rollouts.slices import kept_pictures
from flows.workspace.figure_log import FigureLog
from flows.workspace.running import WorkNote
from flows.workspace.telling import Teller
from flows.workspace.wiring import App
from maskloop.errors import DataError, RefusedError
from maskloop.records.kinds import CandidateRegistered, TrainingStarted, write_record
from maskloop.settings.workspace_settings import Settings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from models.artifacts.manifest import ArtifactFacts
from models.loading.request import TrainingRequest
from models.ports import Machine, TrainedModel, Trainer
from registry.champion.serving_copy import ServedModel
from registry.ports import (
    APPROVAL_PENDING,
    APPROVAL_TAG,
    STATUS_TAG,
    ModelStore,
    RegisteredVersion,
    RunTracker,
    VersionStatus,
)


def train_candidate(
    app: App, cycle: Cycle, check_lease: Callable[[], None], should_stop: Callable[[], bool]
) -> CandidateRegistered:
    """Train (or go on training) for a cycle and register the result as a version awaiting judgement.

    Raises:
        DataError: if there is no data version to train on.
        TrainingError: if the training diverged; the batch is named.
        StoppedError: if ``should_stop`` became true; a checkpoint was written.
        UnavailableError: if MLflow does not answer, or this process lost its lease.
    """
    version = _version_to_train_on(app.data, cycle)
    start = find_start(app.state(), cycle, lambda: app.copies.fetch_champion(app.state()))
    started = describe_attempt(
        cycle,
        version,
        start,
        app.settings,
        run_id=_open_run(app.tracker, cycle, version, app.settings),
        code_revision=app.code_revision,
        device=app.machine.device(app.settings.training.device),
    )
    write_record(app.ledger, started, actor=app.actor, cycle_id=cycle.id)
    app.teller.say(started.sentence())
    _log_origins(app.tracker, app.machine, app.settings, version, started)
    app.shared_files.bring(app.workspace.slices_dir)
    failed_on = kept_pictures(app.workspace.slices_dir, app.state().slices)
    weight = app.settings.training.sampling.hard_example_weight
    request = make_request(
        app.settings,
        version,
        start,
        folder=app.workspace.training_dir / cycle.id,
        draw_weights=weigh_hard_examples(version, failed_on, weight),
    )
    figures = FigureLog(app.tracker, started.run_id, app.clock, app.teller.say)
    with _closed_if_it_fails(app.tracker, started.run_id):
        figures.log(measure_present_anchors(version, app.settings.model, app.trainer), step=0)
        advance = Advance(
            partial(write_record, app.ledger, actor=app.actor, cycle_id=cycle.id),
            WorkNote(app.workspace, cycle.id),
            started.attempt,
            app.state().cycles[cycle.id].furthest_step,
            request.steps,
        )
        log = StepLog(figures, advance, request.settings.training.batch_size, check_lease, app.teller.say)
        trained = _train(app.trainer, request, log, app.teller, should_stop)
        figures.flush()
    directory = request.checkpoint_dir / "artifact"
    if not directory.exists():  # else an earlier attempt ended between saving and registering
        thresholds = calibrate(app.settings, version, trained, figures, app.teller.say)
        facts = describe_artifact(app.settings, version, started, thresholds, created_at=app.clock.now())
        trained.save(directory, facts)
    weights_digest = app.predictors.verify(directory).weights_digest
    registered = _register(app.models, directory, cycle, started, weights_digest)
    record = describe_candidate(cycle, version, registered, app.settings, seconds=trained.seconds)
    key = f"candidate:{cycle.id}:{weights_digest}"
    write_record(app.ledger, record, actor=app.actor, cycle_id=cycle.id, key=key)
    app.teller.say(record.sentence())
    return record


def _open_run(tracker: RunTracker, cycle: Cycle, version: DatasetVersion, settings: Settings) -> str:
    """Open a cycle's run, or the one of an earlier attempt with these settings, and return its id."""
    return tracker.open_run(
        key=f"{cycle.id}:{digest_settings(settings)[:12]}",  # other settings make another model
        name=f"train {cycle.id} {version.tag}",
        tags={"maskloop.cycle": cycle.id},
    )


def describe_attempt(
    cycle: Cycle,
    version: DatasetVersion,
    start: Start,
    settings: Settings,
    *,
    run_id: str,
    code_revision: str,
    device: str,
) -> TrainingStarted:
    """Return the record of a started attempt. Pure."""
    return TrainingStarted(
        attempt=cycle.num_attempts + 1,
        data_tag=version.tag,
        data_fingerprint=version.fingerprint,
        settings_digest=digest_settings(settings),
        code_revision=code_revision,
        parent_digest=start.weights_digest,
        run_id=run_id,
        device=device,
        teacher_digest=start.teacher_digest,
        workers=settings.training.cluster.workers,
    )


def _log_origins(
    tracker: RunTracker,
    machine: Machine,
    settings: Settings,
    version: DatasetVersion,
    started: TrainingStarted,
) -> None:
    """Log parameters, environment and data with the run."""
    training = settings.training
    is_bf16 = machine.uses_bf16(training.precision, training.device)
    tracker.log_params(started.run_id, describe_parameters(settings, started, is_bf16=is_bf16))
    tracker.log_table(started.run_id, [machine.environment()], "environment.json")
    _log_data(tracker, started.run_id, settings.model_name, version)


@contextmanager
def _closed_if_it_fails(tracker: RunTracker, run_id: str) -> Iterator[None]:
    """Close the run as failed if the body raises."""
    try:
        yield
    except Exception:
        tracker.close_run(run_id, "failed")
        raise


def _train(
    trainer: Trainer, request: TrainingRequest, log: StepLog, teller: Teller, should_stop: Callable[[], bool]
) -> TrainedModel:
    with teller.progress("training") as progress:
        trained = trainer.train(
            request,
            on_step=log.on_step,
            on_evaluation=log.on_evaluation,
            progress=progress,
            on_checkpoint=log.advance.on_checkpoint,
            should_stop=should_stop,
        )
    if sentence := describe_starvation(log.waits_percent):
        teller.say(sentence)
    return trained


def find_start(state: LoopState, cycle: Cycle, fetch_champion: Callable[[], ServedModel]) -> Start:
    """Find what a cycle's training starts from, and learns from. Without a champion: first weights alone."""
    is_taught = cycle.opened.is_taught
    is_alone = cycle.opened.starts_from == "first-weights" and not is_taught
    if is_alone or state.champion is None:
        return Start()
    served = fetch_champion()
    if is_taught:
        return Start(teacher=served.directory, teacher_digest=served.weights_digest)
    return Start(served.directory, served.weights_digest, state.data_of(served.weights_digest))


def describe_parameters(settings: Settings, started: TrainingStarted, *, is_bf16: bool) -> dict[str, Any]:
    """Return what a run is made with, by the names that MLflow shows."""
    return {
        **{f"model.{k}": v for k, v in settings.model.model_dump(mode="json").items()},
        **{f"training.{k}": v for k, v in settings.training.model_dump(mode="json").items()},
        "settings_digest": started.settings_digest,
        "code_revision": started.code_revision,
        "parent_digest": started.parent_digest,
        "teacher_digest": started.teacher_digest,
        "device": started.device,
        "workers": started.workers,
        "computed_in": "bf16" if is_bf16 else "fp32",
    }


def _version_to_train_on(data: DatasetStore, cycle: Cycle) -> DatasetVersion:
    """Take the version an interrupted attempt began with, else the current one."""
    version = data.open(cycle.training.data_tag) if cycle.training else data.current()
    if version is None:
        raise DataError("there is nothing to train on yet", hint="run `maskloop ingest` first")
    if not version.by_split["train"]:
        raise DataError("the data version has no training pictures", where=version.tag)
    refuse_without_test_pictures(version)
    return version


def _log_data(tracker: RunTracker, run_id: str, model_name: str, version: DatasetVersion) -> None:
    for split, pictures in version.by_split.items():
        tracker.log_dataset(
            run_id,
            name=f"{model_name}-{split}",
            tag=version.tag,
            fingerprint=version.fingerprint,
            dvc_md5=version.dvc_md5,
            context=split,
            num_pictures=len(pictures),
        )


def _register(
    models: ModelStore, directory: Path, cycle: Cycle, started: TrainingStarted, weights_digest: str
) -> RegisteredVersion:
    tags = {
        APPROVAL_TAG: APPROVAL_PENDING,
        "maskloop.cycle": cycle.id,
        "data": started.data_tag,
        "data_fingerprint": started.data_fingerprint,
        STATUS_TAG: VersionStatus.CANDIDATE.value,
    }
    return models.register(directory, run_id=started.run_id, weights_digest=weights_digest, tags=tags)


def describe_candidate(
    cycle: Cycle,
    version: DatasetVersion,
    registered: RegisteredVersion,
    settings: Settings,
    *,
    seconds: float,
) -> CandidateRegistered:
    """Return the record of a registered candidate. Pure."""
    return CandidateRegistered(
        version=registered.version,
        weights_digest=registered.weights_digest,
        run_id=registered.run_id,
        data_tag=version.tag,
        data_fingerprint=version.fingerprint,
        seconds=seconds,
        requested_by=cycle.actor,
        threshold_sources=find_threshold_sources(settings, version),
    )


def describe_artifact(
    settings: Settings,
    version: DatasetVersion,
    started: TrainingStarted,
    thresholds: Mapping[str, float],
    *,
    created_at: datetime,
) -> ArtifactFacts:
    """Return what the manifest of a trained model says about it."""
    return ArtifactFacts(
        class_names=version.class_names,
        settings=settings.model,
        settings_digest=started.settings_digest,
        dataset_tag=version.tag,
        dataset_fingerprint=version.fingerprint,
        conversion=version.conversion,
        parent_digest=started.parent_digest,
        teacher_digest=started.teacher_digest,
        code_revision=started.code_revision,
        score_threshold=score_threshold(settings),
        class_score_thresholds=thresholds,
        created_at=created_at,
    )


def refuse_without_champion(state: LoopState) -> None:
    """Raise RefusedError if there is nothing to retrain, or to learn from."""
    if state.champion is None:
        raise RefusedError(
            "there is no champion to start or learn from", hint="run `maskloop train` for a first model"
        )
