"""The record of a search in the workspace: from it a killed search goes on, and later ones learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from maskloop.errors import IntegrityError
from maskloop.files import write_text
from maskloop.settings.workspace_settings import Settings, parse_settings
from models.search.trials import Measured, SearchTrial

_SEARCH_FILE: Final = "search.json"
_PUBLISHED_FILE: Final = "published.json"
_TRIALS: Final = "trials"


@dataclass(frozen=True)
class SearchFacts:
    """What a search is about.

    Attributes:
        search_id: Of everything that its results depend on, the space aside: twelve digits.
        data_tag: The data version.
        data_fingerprint: Its content.
        settings: [model] and [training] of all trials, before their own values.
        score_threshold: From which on detections are judged.
        critical_classes: See `models.search.trials.objective`.
        spent_s: Seconds used, over all its runs.
    """

    search_id: str
    data_tag: str
    data_fingerprint: str
    settings: Mapping[str, Any]
    score_threshold: float
    critical_classes: tuple[str, ...]
    spent_s: float = 0.0


class SearchBook:
    """The folder of one search: its facts, a file for each trial, and what is published.

    Args:
        folder: ``.maskloop/tuning/<search>``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def fragment_file(self) -> Path:
        """The best settings, as `maskloop.toml` takes them."""
        return self.folder / "best.toml"

    def open(self, facts: SearchFacts) -> SearchFacts:
        """Begin the record, or return the facts of the one that is there, with the seconds it has used."""
        found = self.facts()
        if found is None:
            self._write_facts(facts)
            return facts
        return replace(facts, spent_s=found.spent_s)

    def facts(self) -> SearchFacts | None:
        """Return what the search is about; None if there is no record. Raises IntegrityError."""
        document = _read(self.folder / _SEARCH_FILE)
        if document is None:
            return None
        return SearchFacts(**{**document, "critical_classes": tuple(document["critical_classes"])})

    def spend(self, facts: SearchFacts, spent_s: float) -> None:
        """Note how many seconds are used."""
        self._write_facts(replace(facts, spent_s=spent_s))

    def write(self, trial: SearchTrial) -> None:
        """Keep a trial as it stands."""
        write_text(self.folder / _TRIALS / f"{trial.number:04d}.json", json.dumps(asdict(trial), indent=1))

    def trials(self) -> tuple[SearchTrial, ...]:
        """Return all trials, by number. Raises IntegrityError if a file was changed by hand."""
        files = sorted((self.folder / _TRIALS).glob("*.json"))
        return tuple(_to_trial(document) for file in files if (document := _read(file)) is not None)

    def published(self) -> frozenset[int]:
        """Return the numbers of the ended trials that are in MLflow."""
        document = _read(self.folder / _PUBLISHED_FILE) or {"trials": []}
        return frozenset(document["trials"])

    def note_published(self, number: int) -> None:
        """Note that an ended trial is in MLflow."""
        numbers = sorted({*self.published(), number})
        write_text(self.folder / _PUBLISHED_FILE, json.dumps({"trials": numbers}))

    def _write_facts(self, facts: SearchFacts) -> None:
        write_text(self.folder / _SEARCH_FILE, json.dumps(asdict(facts), indent=1))


def find_books(tuning_dir: Path) -> tuple[SearchBook, ...]:
    """Return the records of all searches of a workspace."""
    return tuple(SearchBook(file.parent) for file in sorted(tuning_dir.glob(f"*/{_SEARCH_FILE}")))


def settings_to_document(settings: Settings) -> dict[str, Any]:
    """Return [model] and [training] as plain values."""
    return {
        "model": settings.model.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json"),
    }


def settings_from_document(document: Mapping[str, Any], *, where: str) -> Settings:
    """Return settings with these [model] and [training].

    Raises:
        ConfigurationError: if they are of another version of maskloop.
    """
    return parse_settings({"model": document["model"], "training": document["training"]}, where=where)


def _to_trial(document: Mapping[str, Any]) -> SearchTrial:
    measured = tuple(Measured(one["step"], one["metrics"]) for one in document["measured"])
    return SearchTrial(**{**document, "measured": measured})


def _read(file: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise IntegrityError(
            "the record of a search was changed by hand", where=str(file), hint="move its folder away"
        ) from error
    return document
