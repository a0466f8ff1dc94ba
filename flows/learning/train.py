"""One training: from a data version and, for retraining, the champion, to a registered candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dataset.labelled_pictures import DatasetVersion
from flows.intake.audit import refuse_without_test_pictures
from flows.learning.anchors import measure_present_anchors
from flows.learning.class_thresholds import calibrate, find_threshold_sources
from flows.learning.hard_examples import weigh_hard_examples
from flows.workspace.figure_log import FigureLog
from flows.workspace.running import WorkNote
from flows.workspace.served import fetch_champion
from flows.workspace.wiring import App
from maskloop.digest import digest_value
from maskloop.errors import DataError, RefusedError
from maskloop.records.kinds import CandidateRegistered, TrainingAdvanced, TrainingStarted, write_record
from maskloop.settings.settings import GateSettings, Settings, ThresholdSettings
from maskloop.state.cycle_state import Cycle
from maskloop.state.loop_state import LoopState
from models.artifacts.manifest import ArtifactFacts
from models.loading.request import TrainingRequest
from models.ports import TrainedModel

_STARVED_PERCENT: Final = 20.0
_OF_TRAINING: Final = ("step", "training_loss", "learning_rate")
"""What an evaluation's figures say about the training itself, which its steps have recorded."""


@dataclass(frozen=True)
class Start:
    """What a training starts from: the champion's weights and the data they have seen, or nothing.

    A champion may instead be the teacher of a training that starts from nothing.
    """

    artifact: Path | None = None
    weights_digest: str = ""
    data_tag: str = ""
    teacher: Path | None = None
    teacher_digest: str = ""


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
    version = _version_to_train_on(app, cycle)
    start = find_start(app, cycle)
    started = _begin(app, cycle, version, start)
    request = make_request(app, cycle, version, start)
    figures = FigureLog(app, started.run_id)
    advance = _Advance(app, app.state().cycles[cycle.id], started.attempt, request.steps)
    batch_size = request.settings.training.batch_size
    log = _StepLog(figures, request.steps, batch_size, check_lease, advance, app.teller.say)
    try:
        figures.log(measure_present_anchors(version, app.settings.model, app.trainer), step=0)
        with app.teller.progress("training") as progress:
            trained = app.trainer.train(
                request,
                on_step=log.on_step,
                on_evaluation=log.on_evaluation,
                progress=progress,
                on_checkpoint=advance.on_checkpoint,
                should_stop=should_stop,
            )
        figures.flush()
    except Exception:
        app.tracker.close_run(started.run_id, "failed")
        raise
    _say_if_starved(app, log.waits_percent)
    return _register(app, cycle, version, started, request, trained)


def _begin(app: App, cycle: Cycle, version: DatasetVersion, start: Start) -> TrainingStarted:
    """Open the run, or the one of an earlier attempt with these settings, and record the attempt."""
    settings_digest = digest_settings(app.settings)
    run_id = app.tracker.open_run(
        key=f"{cycle.id}:{settings_digest[:12]}",  # other settings make another model
        name=f"train {cycle.id} {version.tag}",
        tags={"maskloop.cycle": cycle.id},
    )
    started = TrainingStarted(
        attempt=cycle.num_attempts + 1,
        data_tag=version.tag,
        data_fingerprint=version.fingerprint,
        settings_digest=settings_digest,
        code_revision=app.code_revision,
        parent_digest=start.weights_digest,
        run_id=run_id,
        device=app.machine.device(app.settings.training.device),
        teacher_digest=start.teacher_digest,
    )
    write_record(app.ledger, started, actor=app.actor, cycle=cycle.id)
    app.teller.say(started.sentence())
    _log_inputs(app, run_id, version, started)
    return started


class _Advance:
    """Notes how far a training is, for `maskloop status`; records once that it got further than before."""

    def __init__(self, app: App, cycle: Cycle, attempt: int, num_steps: int) -> None:
        self._app, self._cycle, self._attempt, self._num_steps = app, cycle, attempt, num_steps
        self._note = WorkNote(app.workspace, cycle.id)
        self._is_recorded = False

    def on_step(self, step: int) -> None:
        self._note.write("training", step, self._num_steps)

    def on_checkpoint(self, step: int) -> None:
        if self._is_recorded or step <= self._cycle.furthest_step:
            return
        self._is_recorded = True
        advanced = TrainingAdvanced(attempt=self._attempt, step=step, steps=self._num_steps)
        write_record(self._app.ledger, advanced, actor=self._app.actor, cycle=self._cycle.id)


@dataclass(frozen=True)
class _StepLog:
    """Writes down what a training tells as it goes, and stops it if this process lost its lease."""

    figures: FigureLog
    num_steps: int
    batch_size: int
    check_lease: Callable[[], None]
    advance: _Advance
    say: Callable[[str], None]
    waits_percent: list[float] = field(default_factory=list)

    def on_step(
        self,
        step: int,
        losses: Mapping[str, float],
        rate: float,
        pictures_per_s: float,
        wait_percent: float,
    ) -> None:
        self.check_lease()
        self.advance.on_step(step)
        self.waits_percent.append(wait_percent)
        if step % max(1, self.num_steps // 10) == 0:
            self.say(describe_step(step, self.num_steps, losses, self.batch_size / pictures_per_s))
        if step % 10 == 0 or step == self.num_steps:
            speed = {"pictures_per_s": pictures_per_s, "wait_percent": wait_percent}
            rows = {**losses, "learning_rate": rate, **speed}
            self.figures.log({f"train/{name}": value for name, value in rows.items()}, step=step)

    def on_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        if "mean_iou" in metrics:
            self.say(
                f"step {step} of {self.num_steps}: mean IoU {metrics['mean_iou']:.3f} on validation pictures"
            )
        measured = {name: value for name, value in metrics.items() if name not in _OF_TRAINING}
        self.figures.log({f"validation/{name}": value for name, value in measured.items()}, step=step)


def describe_step(step: int, num_steps: int, losses: Mapping[str, float], step_s: float) -> str:
    """Say how a training goes; ``step_s`` is how many seconds the step took.

    >>> describe_step(40, 400, {"loss/total": 0.75, "loss/mask": 0.5, "loss/box_reg": 0.25}, 0.5)
    'step 40 of 400: loss 0.75, 0.50 s a step'
    """
    return f"step {step} of {num_steps}: loss {losses['loss/total']:.2f}, {step_s:.2f} s a step"


def _say_if_starved(app: App, waits_percent: Sequence[float]) -> None:
    """Tell whoever reads along if the steps spent much of their time waiting for pictures."""
    if waits_percent and (mean := sum(waits_percent) / len(waits_percent)) > _STARVED_PERCENT:
        app.teller.say(
            f"the steps spent {mean:.0f} % of their time waiting for pictures; more training.num_workers or "
            "training.picture_cache_mb may help"
        )


def find_start(app: App, cycle: Cycle) -> Start:
    """Find what a cycle's training starts from, and learns from. Without a champion: first weights alone."""
    state, is_taught = app.state(), cycle.opened.is_taught
    is_alone = cycle.opened.starts_from == "first-weights" and not is_taught
    if is_alone or state.champion is None:
        return Start()

    served = fetch_champion(app)
    if is_taught:
        return Start(teacher=served.directory, teacher_digest=served.weights_digest)
    return Start(served.directory, served.weights_digest, trained_on(state, served.weights_digest))


def trained_on(state: LoopState, weights_digest: str) -> str:
    """Return the tag of the data version that some weights were trained on; empty if nobody recorded it."""
    for cycle in state.cycles.values():
        if cycle.candidate and cycle.candidate.weights_digest == weights_digest:
            return cycle.candidate.data_tag
    return ""


def make_request(app: App, cycle: Cycle, version: DatasetVersion, start: Start) -> TrainingRequest:
    """Turn the settings, the data and the start into what the trainer needs."""
    training = app.settings.training
    again = start.artifact is not None
    new = new_pictures(version, start.data_tag) if again else ()
    old = tuple(p.digest for p in version.by_split["train"] if p.digest not in set(new)) if new else ()
    return TrainingRequest(
        dataset=version,
        settings=app.settings,
        parent_artifact=start.artifact,
        parent_digest=start.weights_digest or None,
        teacher_artifact=start.teacher,
        teacher_digest=start.teacher_digest or None,
        replay_digests=old,
        new_digests=new,
        draw_weights=weigh_hard_examples(app, version) if again else {},
        steps=training.retrain_steps if again else training.steps,
        learning_rate=training.retrain_learning_rate if again else training.learning_rate,
        checkpoint_dir=app.workspace.training_dir / cycle.id / _name_of_request(app, version, start),
        device=training.device,
    )


def _name_of_request(app: App, version: DatasetVersion, start: Start) -> str:
    """Name the folder after what shapes the model, so that edited settings start afresh."""
    origins = [start.weights_digest, start.teacher_digest]
    shaping = [version.fingerprint, digest_settings(app.settings), *origins]
    return digest_value(shaping)[:12]


def new_pictures(version: DatasetVersion, since_tag: str) -> tuple[str, ...]:
    """Return the digests of the training pictures that came after ``since_tag``."""
    known = tag_number(since_tag)
    return tuple(p.digest for p in version.by_split["train"] if tag_number(p.added_in) > known)


def tag_number(tag: str) -> int:
    """Return the N of ``data-vN``; 0 for an empty tag.

    >>> tag_number("data-v12"), tag_number("")
    (12, 0)
    """
    return int(tag.rpartition("-v")[2] or 0)


def digest_settings(settings: Settings) -> str:
    """Return the digest of everything in the settings that shapes a model: its weights and its thresholds.

    Thresholds at their defaults are left out, so that trainings recorded before they counted keep theirs.
    """
    shaping: dict[str, Any] = {
        "model": settings.model.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json"),
    }
    if _score_threshold(settings) != GateSettings().score_threshold:
        shaping["score_threshold"] = _score_threshold(settings)
    if settings.thresholds != ThresholdSettings():
        shaping["thresholds"] = settings.thresholds.model_dump(mode="json")
    return digest_value(shaping)


def _score_threshold(settings: Settings) -> float:
    return (settings.gates or GateSettings()).score_threshold


def _version_to_train_on(app: App, cycle: Cycle) -> DatasetVersion:
    """Take the version an interrupted attempt began with, else the current one."""
    version = app.data.open(cycle.training.data_tag) if cycle.training else app.data.current()
    if version is None:
        raise DataError("there is nothing to train on yet", hint="run `maskloop ingest` first")
    if not version.by_split["train"]:
        raise DataError("the data version has no training pictures", where=version.tag)
    refuse_without_test_pictures(version)
    return version


def _log_inputs(app: App, run_id: str, version: DatasetVersion, started: TrainingStarted) -> None:
    training = app.settings.training
    bf16 = app.machine.uses_bf16(training.precision, training.device)
    parameters: dict[str, Any] = {
        **{f"model.{k}": v for k, v in app.settings.model.model_dump(mode="json").items()},
        **{f"training.{k}": v for k, v in app.settings.training.model_dump(mode="json").items()},
        "settings_digest": started.settings_digest,
        "code_revision": started.code_revision,
        "parent_digest": started.parent_digest,
        "teacher_digest": started.teacher_digest,
        "device": started.device,
        "computed_in": "bf16" if bf16 else "fp32",
    }
    app.tracker.log_params(run_id, parameters)
    app.tracker.log_table(run_id, [app.machine.environment()], "environment.json")
    for split, pictures in version.by_split.items():
        app.tracker.log_dataset(
            run_id,
            name=f"{app.settings.model_name}-{split}",
            tag=version.tag,
            fingerprint=version.fingerprint,
            dvc_md5=version.dvc_md5,
            context=split,
            num_pictures=len(pictures),
        )


def _register(
    app: App,
    cycle: Cycle,
    version: DatasetVersion,
    started: TrainingStarted,
    request: TrainingRequest,
    trained: TrainedModel,
) -> CandidateRegistered:
    directory = request.checkpoint_dir / "artifact"
    weights_digest = _save(app, directory, version, started, trained)
    tags = {
        "approval": "pending",
        "maskloop.cycle": cycle.id,
        "data": version.tag,
        "data_fingerprint": version.fingerprint,
        "status": "candidate",
    }
    registered = app.models.register(
        directory, run_id=started.run_id, weights_digest=weights_digest, tags=tags
    )
    record = CandidateRegistered(
        version=registered.version,
        weights_digest=weights_digest,
        run_id=started.run_id,
        data_tag=version.tag,
        data_fingerprint=version.fingerprint,
        seconds=trained.seconds,
        requested_by=cycle.actor,
        threshold_sources=find_threshold_sources(app.settings, version),
    )
    key = f"candidate:{cycle.id}:{weights_digest}"
    write_record(app.ledger, record, actor=app.actor, cycle=cycle.id, key=key)
    app.teller.say(record.sentence())
    return record


def _save(
    app: App, directory: Path, version: DatasetVersion, started: TrainingStarted, trained: TrainedModel
) -> str:
    """Save the model and return its weights digest."""
    if directory.exists():  # an earlier attempt ended between saving and registering
        return app.predictors.verify(directory).weights_digest
    facts = ArtifactFacts(
        class_names=version.class_names,
        settings=app.settings.model,
        settings_digest=started.settings_digest,
        dataset_tag=version.tag,
        dataset_fingerprint=version.fingerprint,
        parent_digest=started.parent_digest,
        teacher_digest=started.teacher_digest,
        code_revision=started.code_revision,
        score_threshold=_score_threshold(app.settings),
        class_score_thresholds=calibrate(app, version, started, trained),
        created_at=app.clock.now(),
    )
    return trained.save(directory, facts).weights_digest


def refuse_without_champion(state: LoopState) -> None:
    """Raise RefusedError if there is nothing to retrain, or to learn from."""
    if state.champion is None:
        raise RefusedError(
            "there is no champion to start or learn from", hint="run `maskloop train` for a first model"
        )
