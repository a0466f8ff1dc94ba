"""What a search found, for people and for machines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.tuning.difference import apply_values, changed_values, show_difference, write_fragment
from models.search.space import Values
from models.search.trials import SearchTrial, best_trial, result_of


@dataclass(frozen=True)
class Found:
    """The best of a search beside the present settings.

    Attributes:
        trial: The number of the best trial; below 0 for an earlier run; None if none has finished.
        result: Its objective, 0..1.
        present: That of the present settings; None if they were not trained to the end.
        values: What of the best settings is not as it is now; empty if the present ones are the best.
    """

    trial: int | None
    result: float | None
    present: float | None
    values: Values


@dataclass(frozen=True)
class TuneReport:
    """What `maskloop tune` answers.

    Attributes:
        search: Its id.
        objective: In words.
        data_tag: The data version.
        outcome: ``hours used``, or ``trials done``.
        spent_hours: Over all its runs.
        hours: The budget.
        num_known: Earlier trainings and trials that it began with.
        trials: One row each.
        found: The best.
        difference: To `maskloop.toml`, as ``diff -u`` shows it; empty if nothing better was found.
        fragment_file: The best settings as TOML; empty as well then.
        applied: Whether they are in `maskloop.toml` now.
        url: Where MLflow shows the search, if a server runs.
    """

    search: str
    objective: str
    data_tag: str
    outcome: str
    spent_hours: float
    hours: float
    num_known: int
    trials: tuple[dict[str, Any], ...]
    found: Found
    difference: str
    fragment_file: str
    applied: bool
    url: str


def find_best(
    trials: Sequence[SearchTrial], known: Sequence[SearchTrial], present: Values, classes: Sequence[str]
) -> Found:
    """Return the best finished trial, its own or a known one, beside the present settings. Pure.

    Args:
        trials: Of the search.
        known: What it began with.
        present: The values that the settings have.
        classes: See `models.search.trials.objective`.
    """
    everything = [*trials, *known]
    best = best_trial(everything, classes)
    own = best_trial([one for one in everything if one.values == present], classes)
    present_result = result_of(own, classes) if own else None
    if best is None:
        return Found(None, None, present_result, {})
    result = result_of(best, classes)
    if present_result is not None and result is not None and result <= present_result:
        return Found(best.number, result, present_result, {})
    return Found(best.number, result, present_result, changed_values(present, best.values))


def describe_found(found: Found, text: str, *, search: str, data_tag: str) -> tuple[str, str]:
    """Return a fragment of `maskloop.toml` and the difference to its text; empty without gain. Pure."""
    if not found.values or found.result is None:
        return "", ""
    which = f"trial {found.trial}" if (found.trial or 0) > 0 else "an earlier training"
    beside = "not measured" if found.present is None else f"{found.present:.4f}"
    remarks = (
        f"maskloop tune, search {search} on {data_tag}: {which}",
        f"objective on the validation pictures {found.result:.4f}; of the settings before: {beside}",
    )
    return write_fragment(found.values, remarks), show_difference(text, apply_values(text, found.values))


def trial_rows(trials: Sequence[SearchTrial], classes: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Return one row for each trial, best results first. Pure."""
    ranked = sorted(trials, key=lambda one: (-(result_of(one, classes) or -1.0), one.number))
    return tuple(
        {
            "trial": one.number,
            "result": result_of(one, classes),
            "outcome": "unfinished" if one.outcome == "running" else one.outcome,
            "step": one.last_step,
            "minutes": round(one.seconds / 60, 2),
            "values": dict(one.values),
        }
        for one in ranked
    )


def say_trial(trial: SearchTrial, steps: int, classes: Sequence[str]) -> str:
    """Say how a trial ended. Pure."""
    result = result_of(trial, classes)
    after = f"after step {trial.last_step} of {steps}"
    if trial.outcome in ("diverged", "failed"):
        return f"trial {trial.number} {trial.outcome} {after}: {trial.said}"
    how = "stopped early" if trial.outcome == "stopped early" else "finished"
    return f"trial {trial.number} {how} {after}: {result or 0.0:.3f}"


def name_objective(classes: Sequence[str]) -> str:
    """Say what trials are compared by. Pure.

    >>> name_objective(["nut"])
    'mean mask IoU of nut on the validation pictures'
    """
    return f"mean mask IoU of {', '.join(classes) or 'all classes'} on the validation pictures"
