"""A search in MLflow: one run for the search, and below it one for each trial. Its troubles end no search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from flows.tuning.book import SearchBook, SearchFacts
from maskloop.clock import Clock
from maskloop.errors import MaskloopError, UnavailableError
from models.search.trials import SearchTrial, objective, result_of
from registry.ports import RunTracker

_PAUSE: Final = timedelta(seconds=60)
"""How long nothing is tried after MLflow did not answer: each try may wait for many seconds."""


class SearchRuns:
    """Records the trials of a search as they go. Those that MLflow cannot take now are tried again later.

    Args:
        tracker: Takes them.
        book: The search's own record, which knows what was taken.
        facts: What the search is about.
        clock: Says when to try again.
        say: Hears of trouble, once.

    Raises:
        UnavailableError: if MLflow does not answer when the search begins.
    """

    def __init__(
        self,
        tracker: RunTracker,
        book: SearchBook,
        facts: SearchFacts,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._tracker, self._book, self._facts, self._clock, self._say = tracker, book, facts, clock, say
        self._waiting: dict[int, SearchTrial] = {}
        self._logged: dict[int, int] = {}
        self._paused_until: datetime | None = None
        self._has_warned = False
        self.parent_id = tracker.open_run(
            f"search:{facts.search_id}",
            name=f"search {facts.search_id} {facts.data_tag}",
            tags={"maskloop.search": facts.search_id, "data": facts.data_tag},
            kind="search",
        )
        taken = book.published()
        self._waiting = {one.number: one for one in book.trials() if one.number not in taken}

    @property
    def url(self) -> str:
        """Where MLflow shows the search, if a server runs; empty else, or while it does not answer."""
        try:
            return self._tracker.url(self.parent_id)
        except MaskloopError:
            return ""

    def log_plan(self, params: Mapping[str, Any]) -> None:
        """Record what is searched with the search's own run."""
        self._tracker.log_params(self.parent_id, {**params, "data_fingerprint": self._facts.data_fingerprint})

    def tell(self, trial: SearchTrial) -> None:
        """Record a trial as it stands, now or as soon as MLflow answers again."""
        self._waiting[trial.number] = trial
        if self._paused_until is None or self._clock.now() >= self._paused_until:
            self.flush()

    def flush(self) -> int:
        """Record what waits; return how many trials still do."""
        for number, trial in list(self._waiting.items()):
            try:
                self._record(trial)
            except UnavailableError as error:
                self._paused_until = self._clock.now() + _PAUSE
                self._warn(f"trials wait for MLflow; the search goes on: {error}")
                return len(self._waiting)
            except MaskloopError as error:
                self._warn(f"a trial is not in MLflow; the search goes on: {error}")
            del self._waiting[number]
        self._paused_until = None
        return 0

    def conclude(
        self, fragment: str, rows: Sequence[Mapping[str, Any]], status: Literal["finished", "failed"]
    ) -> None:
        """Record what was found, and close the run of the search. What waits, waits for the next run."""
        try:
            if fragment:
                self._tracker.log_text(self.parent_id, fragment, "best.toml")
            self._tracker.log_table(self.parent_id, rows, "trials.json")
            self._tracker.close_run(self.parent_id, status)
        except MaskloopError as error:
            self._warn(f"the result is not in MLflow; it is in {self._book.folder}: {error}")

    def _record(self, trial: SearchTrial) -> None:
        run_id = self._tracker.open_run(
            f"search:{self._facts.search_id}:{trial.number}",
            name=f"trial {trial.number}",
            tags={"maskloop.search": self._facts.search_id},
            kind="search",
            parent_id=self.parent_id,
        )
        classes = self._facts.critical_classes
        self._tracker.log_params(run_id, trial.values)
        for one in trial.measured:
            if one.step > self._logged.get(trial.number, 0):
                figures = {
                    f"validation/{name}": value for name, value in one.metrics.items() if name != "step"
                }
                figures["objective"] = objective(one.metrics, classes)
                self._tracker.log_metrics(run_id, figures, step=one.step)
                self._logged[trial.number] = one.step
        if trial.outcome == "running":
            return
        result = result_of(trial, classes)
        self._tracker.log_params(run_id, {"outcome": trial.outcome, "said": trial.said or "-"})
        if result is not None:
            self._tracker.log_metrics(self.parent_id, {"result": result}, step=trial.number)
            self._tracker.log_metrics(run_id, {"result": result}, step=trial.last_step)
        is_well = trial.outcome in ("finished", "stopped early")
        self._tracker.close_run(run_id, "finished" if is_well else "failed")
        self._book.note_published(trial.number)

    def _warn(self, sentence: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._say(sentence)
