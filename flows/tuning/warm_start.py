"""What a search begins with: earlier trainings and trials whose results it may believe.

The ledger says that there was a training, on which data, and the digest of its settings. MLflow says what the
settings were and what was measured. Settings that do not add up to the digest are not believed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flows.learning.request import digest_settings, score_threshold
from flows.tuning.book import SearchBook, SearchFacts, settings_from_document
from maskloop.errors import ConfigurationError, NotFoundError
from maskloop.settings.model_settings import TrainingSettings
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState
from models.search.space import Space, Values, holds, present_values, with_values
from models.search.trials import Measured, Outcome, SearchTrial, result_of
from registry.ports import RunTracker

_NOT_SHAPING: Final = (
    "evaluate_every_steps",
    "evaluate_beside",
    "early_stopping_evaluations",
    "checkpoint_every_steps",
    "num_workers",
    "picture_cache_mb",
    "device",
    "seed",
    "cluster",
    "compile",
    "batch_parts",
    "fast_parts",
    "distillation",
    "retrain_steps",
    "retrain_learning_rate",
    "replay_percent",
)
"""Settings of [training] that change a first training's result by chance, or not at all."""
_METRICS: Final = ("mean_iou", "loss/total")


@dataclass(frozen=True)
class EarlierRun:
    """A training, or a trial of an earlier search.

    Attributes:
        name: For people.
        settings: What it was trained with; its score threshold is that of [gates].
        data_fingerprint: What it was trained on.
        measured: On the validation pictures.
        outcome: How it ended.
    """

    name: str
    settings: Settings
    data_fingerprint: str
    measured: tuple[Measured, ...]
    outcome: Outcome = "finished"


@dataclass(frozen=True)
class WarmStart:
    """What a search begins with.

    Attributes:
        known: Results on the same data with otherwise the same settings: given to the search as its own.
        proposed: Settings that were best on other data: tried early, because figures on other pictures say
            nothing about these.
    """

    known: tuple[SearchTrial, ...]
    proposed: tuple[Values, ...]


def choose_warm_start(
    runs: Sequence[EarlierRun],
    settings: Settings,
    space: Space,
    *,
    data_fingerprint: str,
    critical_classes: Sequence[str],
) -> WarmStart:
    """Choose what a search may begin with. Pure.

    A run counts if it differs from the present settings in nothing but what is searched, and its values lie
    in the space. Of several runs with equal values the first counts.
    """
    known: list[SearchTrial] = []
    elsewhere: list[tuple[float, Values]] = []
    for run in runs:
        values = present_values(run.settings, space)
        if not holds(space, values) or not _differ_in_space_alone(run.settings, settings, space):
            continue
        trial = SearchTrial(-1 - len(known), values, run.measured, run.outcome)
        result = result_of(trial, critical_classes)
        if result is None:
            continue
        if run.data_fingerprint != data_fingerprint:
            elsewhere += [(result, values)] if run.outcome == "finished" else []
        elif all(values != one.values for one in known):
            known.append(trial)
    best = max(elsewhere, key=lambda one: one[0], default=None)
    proposed = () if best is None or any(best[1] == one.values for one in known) else (best[1],)
    return WarmStart(tuple(known), proposed)


def read_trainings(
    state: LoopState, tracker: RunTracker, settings: Settings, class_names: Sequence[str]
) -> list[EarlierRun]:
    """Return the trainings from first weights that made a candidate, newest first.

    Raises:
        UnavailableError: if MLflow does not answer.
    """
    found = []
    for cycle in reversed(state.cycles.values()):
        started = cycle.training
        if started is None or cycle.candidate is None or started.parent_digest or started.teacher_digest:
            continue
        try:
            was = read_settings(tracker.params(started.run_id), settings)
            measured = _read_measured(tracker, started.run_id, class_names)
        except (ConfigurationError, NotFoundError):
            continue  # it was deleted in MLflow, or is of another version of maskloop
        if digest_settings(was) == started.settings_digest:
            found.append(EarlierRun(cycle.id, was, started.data_fingerprint, measured))
    return found


def read_searches(books: Sequence[SearchBook], settings: Settings, *, but: str) -> list[EarlierRun]:
    """Return the ended trials of earlier searches that were judged at the present score threshold.

    Args:
        books: Their records.
        settings: At present.
        but: The search that is about to begin or to go on.
    """
    found: list[EarlierRun] = []
    for book in books:
        facts = book.facts()
        if facts is None or facts.search_id == but or facts.score_threshold != score_threshold(settings):
            continue
        found += _read_trials(book, facts, settings)
    return found


def read_settings(params: Mapping[str, str], settings: Settings) -> Settings:
    """Return settings with the [model] and [training] that a run in MLflow shows. Pure.

    Raises:
        ConfigurationError: if they are no settings of this version.
    """
    document: dict[str, dict[str, Any]] = {"model": {}, "training": {}}
    for name, text in params.items():
        section, _, key = name.partition(".")
        if section in document:
            document[section][key] = _to_value(text)
    was = settings_from_document(document, where="MLflow")
    return settings.model_copy(update={"model": was.model, "training": was.training})


def _read_trials(book: SearchBook, facts: SearchFacts, settings: Settings) -> list[EarlierRun]:
    found = []
    for trial in book.trials():
        if trial.outcome == "running":
            continue
        try:
            was = with_values(settings_from_document(facts.settings, where=str(book.folder)), trial.values)
        except ConfigurationError:
            continue  # a trial that failed for this very reason, or of another version of maskloop
        own = settings.model_copy(update={"model": was.model, "training": was.training})
        name = f"trial {trial.number} of {facts.search_id}"
        found.append(EarlierRun(name, own, facts.data_fingerprint, trial.measured, trial.outcome))
    return found


def _read_measured(tracker: RunTracker, run_id: str, class_names: Sequence[str]) -> tuple[Measured, ...]:
    by_step: dict[int, dict[str, float]] = {}
    for name in (*_METRICS, *(f"iou/{each}" for each in class_names)):
        for step, value in tracker.metric_history(run_id, f"validation/{name}"):
            by_step.setdefault(step, {})[name] = value
    return tuple(Measured(step, by_step[step]) for step in sorted(by_step) if "mean_iou" in by_step[step])


def _differ_in_space_alone(was: Settings, settings: Settings, space: Space) -> bool:
    try:
        alike = with_values(was, present_values(settings, space))
    except ConfigurationError:
        return False
    return alike.model == settings.model and _shaping(alike.training) == _shaping(settings.training)


def _shaping(training: TrainingSettings) -> TrainingSettings:
    fields = TrainingSettings.model_fields
    return training.model_copy(
        update={name: fields[name].get_default(call_default_factory=True) for name in _NOT_SHAPING}
    )


def _to_value(text: str) -> Any:
    """Return what MLflow keeps as text; what is no literal is a text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
