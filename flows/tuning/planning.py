"""What a search is, and what its engine is asked to do: from settings, data and the record so far. Pure."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dataset.labelled_pictures import DatasetVersion
from flows.learning.request import Start, make_request, score_threshold
from flows.tuning.book import SearchFacts, settings_to_document
from flows.tuning.budget import evaluation_interval
from flows.tuning.warm_start import WarmStart
from maskloop.digest import digest_value
from maskloop.errors import ConfigurationError
from maskloop.settings.model_settings import TuneSettings
from maskloop.settings.workspace_settings import GateSettings, Settings, parse_settings
from models.search.space import Space, Values, holds, present_values
from models.search.trials import SearchPlan, SearchTrial


@dataclass(frozen=True)
class TuneRequest:
    """What is asked for, in place of what [tune] says where it is not None.

    Attributes:
        hours: Of the whole search.
        trials: The most of them; 0 for no limit.
        concurrent: Trials at a time.
        vary: Settings to search, as lines of TOML.
        apply: Write the best settings into `maskloop.toml`.
    """

    hours: float | None = None
    trials: int | None = None
    concurrent: int | None = None
    vary: tuple[str, ...] = ()
    apply: bool = False


@dataclass(frozen=True)
class Search:
    """A search that is about to begin or to go on."""

    asked: TuneSettings
    version: DatasetVersion
    space: Space
    facts: SearchFacts
    folder: Path
    warm: WarmStart

    @property
    def steps(self) -> int:
        """Of each trial."""
        return int(self.facts.settings["training"]["steps"])

    @property
    def first_rung_steps(self) -> int:
        """After which a trial is evaluated, and compared, for the first time."""
        return evaluation_interval(self.steps, self.asked.reduction_factor)

    @property
    def present(self) -> Values:
        """The values that the settings had when it began."""
        return present_values(parse_settings(dict(self.facts.settings)), self.space)


def read_asked(settings: TuneSettings, request: TuneRequest) -> TuneSettings:
    """Return how to search: as [tune] says, but for what is asked for. Pure.

    Raises:
        ConfigurationError: if a line of ``vary`` is not such a setting.
    """
    changes: dict[str, Any] = {
        name: value
        for name, value in (
            ("hours", request.hours),
            ("max_trials", request.trials),
            ("concurrent_trials", request.concurrent),
        )
        if value is not None
    }
    space: dict[str, Any] = {}
    for line in request.vary:
        try:
            document = tomllib.loads(line)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(
                f"this is not TOML: {error}",
                where=f"--vary {line}",
                hint="for example 'training.weight_decay = {low = 1e-6, high = 1e-2, log = true}'",
            ) from error
        space |= parse_settings({"tune": {"space": document}}, where=f"--vary {line}").tune.space
    if space:
        changes["space"] = space
    return settings.model_copy(update=changes)


def describe_search(
    asked: TuneSettings, settings: Settings, version: DatasetVersion, space: Space
) -> SearchFacts:
    """Return what a search is about; its id changes with everything but its hours and its width. Pure."""
    document = settings_to_document(settings)
    gates = settings.gates or GateSettings()
    shaping = {
        "data": version.fingerprint,
        "settings": document,
        "score_threshold": score_threshold(settings),
        "critical_classes": list(gates.critical_classes),
        "space": {path: asdict(each) for path, each in space.items()},
        "search": [asked.sampler, asked.early_stopping, asked.reduction_factor],
    }
    return SearchFacts(
        search_id=digest_value(json.loads(json.dumps(shaping)))[:12],
        data_tag=version.tag,
        data_fingerprint=version.fingerprint,
        settings=document,
        score_threshold=score_threshold(settings),
        critical_classes=gates.critical_classes,
    )


def choose_waiting(
    trials: tuple[SearchTrial, ...], warm: WarmStart, space: Space, present: Values
) -> tuple[SearchTrial, ...]:
    """Return what runs before anything is drawn. Pure.

    First trials that were interrupted, then the present settings, which everything is compared with, and what
    was best on other data; each unless there is a trial or a known result of it already.
    """
    interrupted = tuple(one for one in trials if one.outcome == "running")
    tried = [one.values for one in (*trials, *warm.known)]
    number, fresh = max((one.number for one in trials), default=0), []
    for values in (present, *warm.proposed):
        if holds(space, values) and values not in tried:
            tried.append(values)
            number += 1
            fresh.append(SearchTrial(number, values))
    return (*interrupted, *fresh)


def make_plan(search: Search, settings: Settings, trials: tuple[SearchTrial, ...]) -> SearchPlan:
    """Return what the engine is asked to do.

    Args:
        search: The search.
        settings: Of the workspace.
        trials: So far.
    """
    waiting = choose_waiting(trials, search.warm, search.space, search.present)
    request = make_request(settings, search.version, Start(), folder=search.folder, draw_weights={})
    asked = search.asked
    return SearchPlan(
        request=replace(request, checkpoint_dir=search.folder),
        space=search.space,
        critical_classes=search.facts.critical_classes,
        known=(*(one for one in trials if one.outcome != "running"), *search.warm.known),
        waiting=waiting,
        next_number=max((one.number for one in (*trials, *waiting)), default=0) + 1,
        evaluate_every_steps=search.first_rung_steps,
        reduction_factor=asked.reduction_factor if asked.early_stopping else 0,
        sampler=asked.sampler,
        concurrent_trials=asked.concurrent_trials,
        spared=tuple(one.number for one in waiting if one.values == search.present),
    )
